"""TournamentReport: who stands where, how sure that is, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from agentflow.tournament.supervisor import Work

__all__ = ["EXPERT", "Note", "Outcome", "Played", "Progress", "Standing", "StopReason", "TournamentReport"]

Item = TypeVar("Item")
Outcome: TypeAlias = Literal["first", "second", "tie", "void", "timed out", "failed"]
StopReason: TypeAlias = Literal["settled", "max_matches", "budget", "no pairs", "stopped", "unsafe"]

EXPERT = "expert"  # who a person's reviews are by


@dataclass(frozen=True, slots=True)
class Note:
    """A review: by which agent, or `expert`; for which goal, by number; after how many matches of it."""

    by: str
    text: str
    goal: int = 0
    matches: int = 0


@dataclass(frozen=True, slots=True)
class Standing(Generic[Item]):
    """An item and what is known of it; `low` to `high` is the 80% credible interval of its quality.

    `rank` is its place, 1 for the best, 0 while it does not play.
    """

    id: str
    item: Item
    quality: float
    low: float
    high: float
    matches: int
    source: str = "given"
    notes: tuple[Note, ...] = ()
    withdrawn: str | None = None
    rank: int = 0

    def note(self, by: str) -> Note | None:
        """Return the last review by an agent."""
        return next((note for note in reversed(self.notes) if note.by == by), None)


@dataclass(frozen=True, slots=True)
class Played:
    """A match that has ended: its number, the ids in the order shown, how it was judged, what came of it.

    `said` is what its judge said, cut to 2,000 characters.
    """

    number: int
    first: str
    second: str
    mode: Literal["single", "debate"]
    outcome: Outcome
    said: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it was after so many verdicts: items that play, quality of the best, mean of the best ten."""

    judged: int
    playing: int
    best: float
    best_ten: float


@dataclass(frozen=True, slots=True)
class TournamentReport(Generic[Item]):
    """What came of a tournament.

    `ranking` is best first, `withdrawn` what was taken out. `settled` is the share of the best k that
    is expected to be truly among them. `order_bias` is what being shown first is worth, in quality, with
    its deviation; `sharpness` how steep each kind of judging is. Numbers: matches with a verdict
    (`judged`), without one (`void`), that timed out, that failed, and duplicates that were refused.
    `work` has what each agent did, `faults` the last error of those who failed, `advice` what studies
    and persons said last, `history` how it went. `halted` says why, where it ended as unsafe.
    `debates_pay` is how likely it is that a debate tells more than single looks for the same tokens.
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
    work: Mapping[str, Work] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Progress] = ()
    halted: str | None = None
    debates_pay: float | None = None

    @property
    def best(self) -> Standing[Item]:
        """The first of the ranking; IndexError when there is none."""
        return self.ranking[0]

    def as_markdown(self, k: int = 5) -> str:
        """Return it as a Markdown page, with the best `k` in full."""
        from agentflow.tournament.pages import markdown_page

        return markdown_page(self, k)

    def as_html(self, k: int = 5) -> str:
        """Return it as one HTML page with pictures, which needs nothing beside it."""
        from agentflow.tournament.pages import html_page

        return html_page(self, k)
