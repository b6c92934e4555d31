"""What is wrong with a plan, and how long it takes at least."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agentflow_protocols.plan.text import NAME, RESERVED, PlanFault, PlanText, Refs, clip, order_of

__all__ = ["MOST_SECONDS", "faults", "total"]

MOST_SECONDS = 10_000 * 366 * 86_400.0
_SHOWN = 12  # names of a cycle that are told


def faults(plan: PlanText, wanted: Sequence[str] = ()) -> list[PlanFault]:
    """Return all that is wrong with a plan: names, durations, unknown and missing steps, a cycle.

    `wanted` are names that must be there, and no others.
    """
    found = _names(plan, wanted)
    for step in plan.steps:
        low, high = step.seconds
        if not (0 <= low <= high) or math.isnan(high):
            found.append(
                PlanFault(f"step {step.name}: `{clip(step.duration)}` is no duration of 0 s or more")
            )
        elif high > MOST_SECONDS:
            found.append(PlanFault(f"step {step.name}: `{clip(step.duration)}` is more than 10,000 years"))
    refs = Refs(plan.names)
    known = set(plan.names)
    wrong = len(known) < len(plan.steps)
    for earlier, later in plan.edges:
        for name in (earlier, later):
            if name not in known:
                found.append(refs.unknown(name, 0))
                wrong = True
    if not wrong:
        _, cycle = order_of(plan.after())
        if cycle:
            found.append(
                PlanFault(f"the order goes in a cycle: {_shown(cycle)}; a step can't wait for itself")
            )
    return found


def total(plan: PlanText) -> tuple[float, float]:
    """Return the longest path in seconds (fewest, most): the shortest time with enough of everything.

    The plan must be without faults.
    """
    after = plan.after()
    order, _ = order_of(after)
    seconds = {step.name: step.seconds for step in plan.steps}
    ends: dict[str, tuple[float, float]] = {}
    for name in order:
        low, high = seconds[name]
        ends[name] = (
            low + max((ends[one][0] for one in after[name]), default=0.0),
            high + max((ends[one][1] for one in after[name]), default=0.0),
        )
    return (
        max((low for low, _ in ends.values()), default=0.0),
        max((high for _, high in ends.values()), default=0.0),
    )


def _names(plan: PlanText, wanted: Sequence[str]) -> list[PlanFault]:
    found: list[PlanFault] = []
    if not plan.steps:
        found.append(PlanFault("there are no steps; a plan has one or more"))
    seen: set[str] = set()
    for name in plan.names:
        if name.casefold() in seen:
            found.append(PlanFault(f"step {clip(name)} is there twice; each name is used once"))
        elif not NAME.fullmatch(name) or name.lower() in RESERVED:
            found.append(
                PlanFault(f"a step can't be named `{clip(name)}`: letters, digits, `_`, `-`, and not END")
            )
        seen.add(name.casefold())
    if wanted:
        missing = [name for name in wanted if name.casefold() not in seen]
        if missing:
            found.append(PlanFault(f"missing: step {', '.join(missing[:_SHOWN])}; every step must be there"))
        refs = Refs(wanted)
        found += [refs.unknown(name, 0) for name in plan.names if name not in set(wanted)]
    return found


def _shown(cycle: Sequence[str]) -> str:
    if len(cycle) <= _SHOWN:
        return " -> ".join(cycle)
    return " -> ".join([*cycle[: _SHOWN - 2], f"({len(cycle) - _SHOWN} more)", *cycle[-2:]])
