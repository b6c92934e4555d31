"""Supervisor: which agent works next, drawn by weights that follow from what has come of their work.

The paper samples agents by weights, and sets these by statistics of what was made, what waits and how the
tournament goes, but gives no formula (AI co-scientist, arXiv 2502.18864, section 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from agentflow.tournament.posterior import Quality

if TYPE_CHECKING:
    import numpy

__all__ = ["FixedWeights", "Statistics", "Supervisor", "Work", "WorkKind"]

WorkKind: TypeAlias = Literal["match", "make", "look", "study"]


@dataclass(frozen=True, slots=True)
class Work:
    """What an agent has done: calls that have ended, and their tokens; how many are under way; what waits.

    `made` is what is known of each item that it made, in the order in which they came. `waiting` is how
    many items or studies are due for it.
    """

    kind: WorkKind
    calls: int = 0
    tokens: int = 0
    under_way: int = 0
    waiting: int = 0
    made: Sequence[Quality] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """How a tournament goes. `work` has each agent by its name, and `match`.

    `settled` is the share of the best `k` that is expected to be truly among them; `best` is what is
    known of the first of the ranking, None while nothing plays; `room` how many items may still be made.
    """

    work: Mapping[str, Work]
    playing: int
    judged: int
    k: int
    settled: float
    best: Quality | None
    room: int


class Supervisor(Protocol):
    """Weighs agents, `match` among them. Who has no weight, or 0, is not asked; who is drawn has work."""

    def weigh(self, seen: Statistics, chance: numpy.random.Generator) -> Mapping[str, float]:
        """Return weights of 0 or more; `chance` is the only chance to be used, so that a run can go on."""


@dataclass(frozen=True, slots=True)
class FixedWeights:
    """Weights that never change."""

    weights: Mapping[str, float]

    def weigh(self, seen: Statistics, chance: numpy.random.Generator) -> Mapping[str, float]:
        """Return them."""
        return self.weights
