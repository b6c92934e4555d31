"""Slow: what was started and goes on by itself, until the kitchen's steps have finished it."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentflow.runtime.signal import Signal
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.kitchen import Kitchen

__all__ = ["SLOW", "Slow"]

SLOW = {"cook": "cooked", "fry": "fried", "fill-pot": "filled", "boil-water": "boiling"}
"""The actions that are slow, and what has become of their thing when they are finished."""


@dataclass(slots=True, eq=False)
class Slow:
    """One of them: its action, the thing that it is about, where that must stay, and what came of it."""

    action: str
    thing: str
    station: str
    meal: str = ""
    text: str = ""
    finished: bool = False
    _ended: Signal = field(default_factory=Signal)

    @classmethod
    def of(cls, action: Action) -> Slow:
        """Return what an action has started."""
        given = dict(action.arguments)
        return cls(action.name, given.get("i1") or given["c1"], given["s1"], given.get("m1", ""))

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return not self.text

    def look(self, kitchen: Kitchen) -> bool:
        """Return whether it has ended by now: finished, or its thing was taken away."""
        if self._done(kitchen):
            self.finished = True
            self.end(f"{self.thing} is {SLOW[self.action]}")
        elif not kitchen.holds(self._stays, self.thing, self.station):
            self.end(f"{self.thing} was taken from {self.station} before it was {SLOW[self.action]}")
        return not self.open

    def end(self, text: str) -> None:
        """Let those know who wait for it."""
        if self.open:
            self.text = text
            self._ended.set()

    async def ended(self) -> str:
        """Wait for its end and return what came of it."""
        await self._ended.wait()
        return self.text

    @property
    def _stays(self) -> str:
        return "item_on" if self.action in ("cook", "fry") else "container_at"

    def _done(self, kitchen: Kitchen) -> bool:
        if self.action == "cook":
            return kitchen.holds("iscooked", self.thing)
        if self.action == "fry":
            return kitchen.holds("isfried", self.thing)
        if self.action == "boil-water":
            return kitchen.holds("isboiling", self.meal)
        return not kitchen.holds("container_empty", self.thing)
