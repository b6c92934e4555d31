"""Seen: a tick of the kitchen as whoever acts sees it: small, immutable, JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from agentflow_protocols.chat import Json

__all__ = ["ACTIONS", "MOVES", "Cell", "Chef", "Pot", "Seen"]

Cell: TypeAlias = tuple[int, int]
"""Column and row, from the upper left."""

MOVES: dict[str, Cell] = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
ACTIONS = (*MOVES, "stay", "interact")


@dataclass(frozen=True, slots=True)
class Chef:
    """A chef: where, looking where to, with what in hand (`onion`, `dish`, `soup` or "").

    `first` is one of the two in each kitchen, whoever looks: who settles by it settles alike. `still`
    counts the ticks since the chef last did anything that changed its place or what it holds; `took` are
    the last few things that came into its hands, the newest last, each with its tick.
    """

    at: Cell
    facing: str
    holds: str
    first: bool
    still: int = 0
    took: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pot:
    """A pot: how many onions are in it, and the ticks until it is done: None while it does not cook."""

    at: Cell
    onions: int
    left: int | None

    @property
    def open(self) -> bool:
        """Whether an onion can be put in."""
        return self.left is None and self.onions < 3


@dataclass(frozen=True, slots=True)
class Seen:
    """The kitchen at a tick. The first chef is ours, the second the partner."""

    tick: int
    score: int
    chefs: tuple[Chef, Chef]
    pots: tuple[Pot, ...]
    counters: tuple[tuple[Cell, str], ...]
    layout: str

    def mirrored(self) -> Seen:
        """Return the same kitchen in the partner's eyes."""
        ours, theirs = self.chefs
        return Seen(self.tick, self.score, (theirs, ours), self.pots, self.counters, self.layout)

    def as_json(self) -> dict[str, Json]:
        """Return what a policy or a prompt is told."""
        ours, theirs = self.chefs
        return {
            "tick": self.tick,
            "score": self.score,
            "me": {"at": list(ours.at), "holds": ours.holds},
            "partner": {
                "at": list(theirs.at),
                "holds": theirs.holds,
                "took": [what for _, what in theirs.took],
            },
            "pots": [{"at": list(pot.at), "onions": pot.onions, "left": pot.left} for pot in self.pots],
            "counters": [{"at": list(at), "thing": thing} for at, thing in self.counters],
        }
