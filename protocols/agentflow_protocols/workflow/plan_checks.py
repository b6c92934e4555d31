"""What a plan's steps name: agents, tools, other steps, resources. Works on plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pydantic import JsonValue

from agentflow_protocols.plan.stand_ins import stand_in_faults
from agentflow_protocols.workflow.document import Path
from agentflow_protocols.workflow.problem import Problem, did_you_mean, one_of

__all__ = [
    "TAKEN",
    "Raw",
    "check_plan",
    "fallback_of",
    "named_steps",
    "plans_in",
    "stand_in_fault",
    "steps_of",
]

TAKEN = ("inputs", "output", "run", "steps")
"""What an item of `each` can't be called."""

Raw = Mapping[str, JsonValue]
"""A plan or a step as it was written."""
_Report = Callable[..., Problem]


def plans_in(file: Raw) -> Iterator[tuple[tuple[str | int, ...], Raw]]:
    """Yield the plan of a file and all that are nested in it, each with its path, outer ones first."""
    plan = file.get("plan")
    left: list[tuple[tuple[str | int, ...], Raw]] = [(("plan",), plan)] if isinstance(plan, dict) else []
    for path, here in left:  # grows as it is read
        yield path, here
        for name, step in steps_of(here).items():
            nested = step.get("plan")
            if isinstance(nested, dict):
                left.append(((*path, "steps", name, "plan"), nested))


def steps_of(plan: Raw) -> dict[str, Raw]:
    """Return the steps of a plan that are mappings, by their names."""
    steps = plan.get("steps")
    return {n: s for n, s in steps.items() if isinstance(s, dict)} if isinstance(steps, dict) else {}


def named_steps(step: Raw, field: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the steps that stand in `after` or `any_of` of a step, with their places in it."""
    value = step.get(field)
    if isinstance(value, str):
        yield (field,), value
    for index, name in enumerate(value if isinstance(value, list) else []):
        if isinstance(name, str):
            yield (field, index), name


def fallback_of(step: Raw) -> str | None:
    """Return the step that is run in a step's place when it fails."""
    on_error = step.get("on_error")
    other = on_error.get("step") if isinstance(on_error, dict) else None
    return other if isinstance(other, str) else None


def check_plan(file: Raw, report: _Report) -> Iterator[Problem]:
    """Yield what is wrong with the names in the plan of a file, and in those that are nested in it."""
    for path, plan in plans_in(file):
        steps = plan.get("steps")
        known = steps if isinstance(steps, dict) else {}
        for name, step in steps_of(plan).items():
            place = (*path, "steps", name)
            for kind in ("agent", "tool"):
                used, there = step.get(kind), file.get(f"{kind}s")
                if isinstance(used, str):
                    names = there if isinstance(there, dict) else {}
                    yield from _known(kind, used, names, (*place, kind), report)
            for field in ("after", "any_of"):
                for where, other in named_steps(step, field):
                    yield from _known("step", other, known, (*place, *where), report)
            yield from _needs(step, plan, place, report)
            if step.get("as") in TAKEN:
                message = f"an item can't be called `{step['as']}`; allowed is any other name"
                yield report((*place, "as"), message)
        yield from _fallbacks(plan, known, path, report)


def _fallbacks(plan: Raw, known: Raw, path: Path, report: _Report) -> Iterator[Problem]:
    steps = steps_of(plan)
    pairs = [(name, other) for name, step in steps.items() if (other := fallback_of(step)) is not None]
    joins = {name for name, step in steps.items() if "any_of" in step}
    for name, other in pairs:
        yield from _known("step", other, known, (*path, "steps", name, "on_error", "step"), report)
    for name, fault in stand_in_faults(pairs, joins):
        yield report((*path, "steps", name, "on_error", "step"), fault)
    stands_for = {other: name for name, other in reversed(pairs)}
    for name, step in steps_of(plan).items():
        for field in ("after", "any_of"):
            for where, other in named_steps(step, field):
                if other in stands_for:
                    yield report((*path, "steps", name, *where), stand_in_fault(other, stands_for[other]))


def stand_in_fault(other: str, failed: str) -> str:
    """Return what is wrong with waiting for a step that is run in another's place."""
    return f"`{other}` is only run when `{failed}` fails; name `{failed}`, whose place it takes"


def _needs(step: Raw, plan: Raw, place: Path, report: _Report) -> Iterator[Problem]:
    """Yield needs that can't be met: of what there is not, or of more than there is."""
    needs, shared = step.get("resources"), plan.get("resources")
    known = shared if isinstance(shared, dict) else {}
    for name, units in needs.items() if isinstance(needs, dict) else ():
        where = (*place, "resources", name)
        if name not in known:
            near = did_you_mean(name, known)
            message = f"unknown resource `{name[:60]}`; allowed: {one_of(known)}{near}"
            yield report(where, message, key=True)
            continue
        most = known[name]
        if isinstance(units, int) and isinstance(most, int) and units > most >= 1:
            message = f"it needs {units} of `{name}`, of which there are {most}: it could never start"
            yield report(where, message)


def _known(kind: str, name: str, names: Raw, path: Path, report: _Report) -> Iterator[Problem]:
    if name not in names:
        near = did_you_mean(name, names)
        yield report(path, f"unknown {kind} `{name[:60]}`; allowed: {one_of(names)}{near}")
