"""How long a tool takes, as a model is told: learned by the Runtime, frozen by a run's first step.

A model that knows the durations can start the longest path first. What it was told is a
fact of the journal, since what is learned meanwhile must not change a resumed run.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar, cast

from agentflow.runtime.ledger import decode, encode
from agentflow.tools import Tool

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["about", "frozen_estimates"]

Deps = TypeVar("Deps")

_NONE: Mapping[str, float] = MappingProxyType({})


def frozen_estimates(
    context: Context[Deps], agent: str, tools: Mapping[str, Tool[..., object]]
) -> Mapping[str, float]:
    """Return the seconds that each of `tools` takes, where that is known, as first told in this run."""
    ledger, key = context.ledger, f"estimates/{agent}"
    if ledger.durable:
        ledger.claim(key)
        known = ledger.recall(key) if ledger.recorded else None
        if known is not None:
            return cast("dict[str, float]", decode(known.output))
    learned = context.runtime.estimates
    if not ledger.durable and not learned and not any(tool.options.estimate for tool in tools.values()):
        return _NONE
    told: dict[str, float] = {}
    for name, tool in tools.items():
        given = tool.options.estimate
        if isinstance(given, int | float):
            told[name] = float(given)
        elif given is None and name in learned:
            told[name] = learned[name]
    if ledger.durable:
        ledger.put(key, encode(told, "the estimates"))
    return told


def about(seconds: float) -> str:
    """Return a duration for a sentence, to two digits: `about 0.25 s`, `about 5 min`."""
    if seconds < 0.01:
        return "less than 0.01 s"
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"about {float(f'{seconds / size:.2g}'):g} {unit}"
    return f"about {float(f'{seconds:.2g}'):g} s"
