"""TournamentReport: who stands where, how sure that is, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

__all__ = ["Outcome", "Played", "Standing", "StopReason", "TournamentReport"]

Item = TypeVar("Item")
Outcome: TypeAlias = Literal["first", "second", "tie", "void", "timed out", "failed"]
StopReason: TypeAlias = Literal["settled", "max_matches", "budget", "no pairs", "stopped"]


@dataclass(frozen=True, slots=True)
class Standing(Generic[Item]):
    """An item and what is known of it; `low` to `high` is the 80% credible interval of its quality."""

    id: str
    item: Item
    quality: float
    low: float
    high: float
    matches: int
    source: str = "given"
    notes: tuple[str, ...] = ()
    withdrawn: str | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """A match that has ended: its number, the ids in the order shown, how it was judged, what came of it."""

    number: int
    first: str
    second: str
    mode: Literal["single", "debate"]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TournamentReport(Generic[Item]):
    """What came of a tournament.

    `ranking` is best first, `withdrawn` what was taken out. `settled` is the share of the best k that
    is expected to be truly among them. `order_bias` is what being shown first is worth, in quality, with
    its deviation; `sharpness` how steep each kind of judging is. Numbers: matches with a verdict
    (`judged`), without one (`void`), that timed out, that failed, and duplicates that were refused.
    """

    goal: str
    ranking: list[Standing[Item]]
    stop_reason: StopReason
    settled: float
    order_bias: tuple[float, float]
    sharpness: Mapping[str, float]
    judged: int = 0
    void: int = 0
    timed_out: int = 0
    failed: int = 0
    duplicates: int = 0
    withdrawn: list[Standing[Item]] = field(default_factory=list)
    matches: list[Played] = field(default_factory=list)

    @property
    def best(self) -> Standing[Item]:
        """The first of the ranking; IndexError when there is none."""
        return self.ranking[0]
