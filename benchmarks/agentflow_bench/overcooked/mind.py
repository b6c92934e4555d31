"""Minds: what thinks slowly. `Rules` needs no model: it watches, believes, and imagines.

A mind answers two questions, as the paper's System 2 does: `assign` (what shall the fast side do) and
`reflect` (a guideline, and with a theory of mind a belief about the partner).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from agentflow import Context
from agentflow.dual import Brief, Scene, Update
from agentflow_bench.overcooked.belief import belief_of, fits
from agentflow_bench.overcooked.imagine import best_role
from agentflow_bench.overcooked.kitchen import floor_of
from agentflow_bench.overcooked.roles import next_macro
from agentflow_bench.overcooked.seen import Seen
from agentflow_protocols.chat import Json

__all__ = ["TICK", "Mind", "Rules", "watched"]

TICK = 0.25
"""Seconds of a tick."""

_STARVED = 80  # ticks without a soup served after which a role is given up


class Mind(Protocol):
    """What thinks: each answer is an `Update` of the slots `assignment`, `guideline`, `belief`."""

    @property
    def name(self) -> str:
        """How a report calls it."""

    async def assign(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Return what the fast side shall do."""

    async def reflect(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Return a guideline, and a belief where the mind has a theory of mind."""

    async def choose(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Return one macro."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A mind by rule, which takes `latency` ticks to an answer, or, heavy-tailed, that in the median.

    With `tom` it believes something about the partner from its last ticks; without, it takes it for one
    who does whatever is wanted. With `guard` what it says holds only as long as the partner does nothing
    that speaks against the belief.
    """

    latency: float = 12
    tom: bool = True
    guard: bool = True
    heavy: bool = False
    tick: float = TICK
    name: str = "rules"

    async def assign(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Assign the role that fits the partner."""
        await self._think(brief)
        if not self.tom:
            return self._assigned(brief, "all")
        told = brief.slots.get("belief")
        return self._assigned(brief, belief_of(watched(brief)) or (str(told) if told else None))

    async def reflect(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Say how it goes, and what the partner is."""
        await self._think(brief)
        seen = watched(brief)
        gained = seen[-1].score - seen[0].score if seen else 0
        values: dict[str, Json] = {"guideline": "go on" if gained or len(seen) < 60 else "do all yourself"}
        belief = belief_of(seen) if self.tom else None
        if belief is not None:
            values["belief"] = belief
        return Update(values)

    async def choose(self, context: Context[object], brief: Brief[object, object]) -> object:
        """Choose one macro, by the role that fits."""
        await self._think(brief)
        seen = cast("Seen", brief.seen)
        belief = belief_of(watched(brief)) if self.tom else "all"
        role = best_role(seen, belief) if belief else "all"
        macro = next_macro(seen, floor_of(seen.layout), role)
        return Update({"assignment": [{"macro": macro.do, "asked": brief.tick}]})

    def _assigned(self, brief: Brief[object, object], belief: str | None) -> Update:
        seen = cast("Seen", brief.seen)
        role = "all" if belief is None else best_role(seen, belief)
        if brief.slots.get("guideline") == "do all yourself":
            role = "all"
        task: dict[str, Json] = {"role": role, "asked": brief.tick}
        if self.guard and belief is not None:
            task["partner"] = belief
        holds = None
        if self.guard and belief is not None:

            def holds(later: object) -> bool:
                return fits(belief, brief.tick, cast("Seen", later))

        values: dict[str, object] = {"assignment": [task]}
        if self.tom and belief is not None:
            values["belief"] = belief
        return Update(values, holds=holds)

    async def _think(self, brief: Brief[object, object]) -> None:
        """Take the time of an answer: it arrives between two ticks, for the later one."""
        ticks = self.latency
        if self.heavy:
            chance = random.Random(f"think/{brief.tick}")
            ticks = min(160.0, max(4.0, self.latency * math.exp(chance.gauss(0, 1))))
        if ticks:
            await asyncio.sleep((ticks - 0.5) * self.tick)


def watched(brief: Brief[object, object]) -> Sequence[Seen]:
    """Return what a brief has seen, the newest last."""
    scenes = cast("Sequence[Scene[Seen, str]]", brief.history)
    return [*(scene.seen for scene in scenes), cast("Seen", brief.seen)]
