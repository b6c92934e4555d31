"""What can be known of a plan's templates before it runs: the names in them, and the order that they draw."""

from __future__ import annotations

import graphlib
import json
from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import JsonValue

from agentflow.errors import ToolRetry, UserError
from agentflow.tools import Tool
from agentflow.workflow.templates import Names, is_whole, keys_used, step_faults, template_faults
from agentflow_protocols.chat import Json
from agentflow_protocols.plan import stand_in_order
from agentflow_protocols.workflow import (
    Parsed,
    Problem,
    did_you_mean,
    fallback_of,
    named_steps,
    one_of,
    plans_in,
    steps_of,
    walk,
)

__all__ = ["argument_faults", "default_input", "plan_faults", "uses_of", "waits_of"]

Place = tuple[str | int, ...]
Mapped = Mapping[str, JsonValue]
_TEMPLATES = ("input", "with", "when", "each")


def uses_of(step: Mapped, fields: tuple[str, ...] = _TEMPLATES) -> list[str]:
    """Return the steps whose outputs a step's templates take, with those of a plan that is nested in it."""
    found = [name for field in fields for name in keys_used(cast("Json", step.get(field)), "steps")]
    nested = step.get("plan")
    if isinstance(nested, dict):
        inner = steps_of(nested)
        used = keys_used(cast("Json", nested.get("output")), "steps")
        for one in inner.values():
            used += uses_of(one)
        found += [name for name in used if name not in inner]
    return list(dict.fromkeys(found))


def waits_of(steps: Mapping[str, Mapped]) -> dict[str, list[str]]:
    """Return for each step the steps of the same plan that it comes after: by name, and by its templates.

    A step that stands in for another comes after that one anyhow, and never after its end.
    """
    stand_ins: dict[str, set[str]] = {}
    for name, step in steps.items():
        if (other := fallback_of(step)) is not None:
            stand_ins.setdefault(other, set()).add(name)
    waits: dict[str, list[str]] = {}
    for name, step in steps.items():
        named = [other for field in ("after", "any_of") for _, other in named_steps(step, field)]
        not_these = stand_ins.get(name, ())
        found = dict.fromkeys([*named, *uses_of(step)])
        waits[name] = [other for other in found if other in steps and other not in not_these]
    return waits


def default_input(step: Mapped, inputs: Mapping[str, object] | frozenset[str]) -> str | None:
    """Return the template of what an agent is told where none is written; None when there is nothing."""
    if step.get("each") is not None:
        item = step.get("as")
        return f"{{{{ {item if isinstance(item, str) else 'item'} }}}}"
    after = [name for _, name in named_steps(step, "after")]
    if len(after) == 1:
        return f"{{{{ steps.{after[0]}.output }}}}"
    if after:
        return "{{ {" + ", ".join(f"'{name}': steps.{name}.output" for name in after) + "} }}"
    return "{{ inputs.input }}" if "input" in inputs else None


def plan_faults(parsed: Parsed, names: Names) -> Iterator[Problem]:
    """Yield what is wrong with the templates of a file's plan, and with the order of its steps."""
    plan = parsed.merged.get("plan")
    if isinstance(plan, dict):
        yield from _templates(parsed, ("plan",), plan, names)
    for path, here in plans_in(parsed.merged):
        yield from _cycles(parsed, path, steps_of(here))


def _templates(parsed: Parsed, path: Place, plan: Mapped, names: Names) -> Iterator[Problem]:
    """Look at the templates of a plan, in which `names` may be used beside its own steps."""
    steps = plan.get("steps")
    own = frozenset(steps) if isinstance(steps, dict) else frozenset()
    names = {**names, "steps": own | (names.get("steps") or frozenset())}
    stand_ins = {
        other: name for name, step in steps_of(plan).items() if (other := fallback_of(step)) is not None
    }
    for name, step in steps_of(plan).items():
        place = (*path, "steps", name)
        inner = names
        if step.get("each") is not None:
            item = step.get("as")
            inner = {**names, item if isinstance(item, str) else "item": None}
        for field in _TEMPLATES:
            allowed = names if field in ("when", "each") else inner
            yield from _in(parsed, (*place, field), step.get(field), allowed)
        yield from _whole(parsed, place, step)
        for other in uses_of(step):
            if other in own and other in stand_ins and stand_ins[other] != name:
                failed = stand_ins[other]
                message = (
                    f"`{other}` is only run when `{failed}` fails; name `{failed}`, whose place it takes"
                )
                yield parsed.report(place, message, find=f"steps.{other}")
        inputs = names.get("inputs") or frozenset()
        alone = isinstance(step.get("agent"), str) and not step.keys() & {"tool", "plan", "any_of"}
        alone = alone and step.get("input") is None
        if alone and default_input(step, inputs) is None:
            message = "`input` is missing: nothing comes before it, and no input named `input` is declared"
            yield parsed.report(place, message, key=True)
        nested = step.get("plan")
        if isinstance(nested, dict):
            yield from _templates(parsed, (*place, "plan"), nested, inner)
            own_steps = frozenset(steps_of(nested))
            seen = {**inner, "steps": own_steps | (inner.get("steps") or frozenset())}
            yield from _in(parsed, (*place, "plan", "output"), nested.get("output"), seen)


def _in(parsed: Parsed, place: Place, value: JsonValue, names: Names) -> Iterator[Problem]:
    for path, text in walk(value, place):
        if isinstance(text, str):
            for message, find in (*template_faults(text, names), *step_faults(text)):
                yield parsed.report(path, message, find=find)


def _whole(parsed: Parsed, place: Place, step: Mapped) -> Iterator[Problem]:
    for field, allowed in (("when", "true, false"), ("each", "a list")):
        text = step.get(field)
        if isinstance(text, str) and not is_whole(text):
            yield parsed.report(
                (*place, field), f"`{field}` is text; allowed is {allowed} or one whole {{{{ … }}}}"
            )


def _cycles(parsed: Parsed, path: Place, steps: Mapping[str, Mapped]) -> Iterator[Problem]:
    waits = waits_of(steps)
    stand_in = {
        name: other
        for name, step in steps.items()
        if (other := fallback_of(step)) is not None and other in waits and other != name
    }
    graph = stand_in_order(waits, stand_in)
    order = {name: number for number, name in enumerate(steps)}
    while True:
        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            loop = cast("list[str]", error.args[1])  # each is waited for by the one after it
            first = min(range(len(loop) - 1), key=lambda i: order[loop[i]])
            loop = [*loop[first:-1], *loop[:first], loop[first]]
            shown = loop if len(loop) <= 12 else [*loop[:10], f"({len(loop) - 12} more)", *loop[-2:]]
            message = f"a cycle of steps: {' -> '.join(shown)}; a step can't wait for itself"
            yield parsed.report((*path, "steps", loop[0]), message, key=True)
            for name in loop:
                graph.pop(name, None)
            graph = {name: [one for one in waits if one in graph] for name, waits in graph.items()}
        else:
            return


def argument_faults(parsed: Parsed, tools: Mapping[str, Tool[..., object]]) -> Iterator[Problem]:
    """Yield what is wrong with the arguments of a plan's tools, as far as it is known before they run."""
    for path, plan in plans_in(parsed.merged):
        for name, step in steps_of(plan).items():
            tool, given = step.get("tool"), step.get("with", {})
            if not isinstance(tool, str) or tool not in tools or not isinstance(given, dict):
                continue
            place = (*path, "steps", name)
            schema = tools[tool].spec.parameters
            known = cast("Mapping[str, Json]", schema.get("properties") or {})
            closed = schema.get("additionalProperties") is not True and bool(known or not given)
            unknown = [key for key in given if key not in known] if closed or not known else []
            for key in unknown:
                message = f"tool `{tool}` takes no `{key[:60]}`; allowed: {one_of(known)}"
                yield parsed.report((*place, "with", key), message + did_you_mean(key, known), key=True)
            missing = [key for key in cast("list[str]", schema.get("required") or []) if key not in given]
            for key in missing:
                yield parsed.report((*place, "tool"), f"tool `{tool}` needs `{key}`; write it under `with`")
            if unknown or missing or any(isinstance(text, str) and "{" in text for _, text in walk(given)):
                continue
            try:
                tools[tool].validate(json.dumps(given))
            except (ToolRetry, UserError) as error:
                yield parsed.report((*place, "with"), str(error))
