"""Entry: an item in the book; and what the journal keeps of matches and of agents' work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agentflow.tournament.judging import Mode
from agentflow.tournament.report import Note
from agentflow_protocols.chat import Json

__all__ = ["Done", "Entry", "Pick", "Tally", "Task"]

Item = TypeVar("Item")


@dataclass(slots=True)
class Entry(Generic[Item]):
    """An item, where it comes from, what reviews say of it, and whether it has passed all gates."""

    id: str
    item: Item
    source: str
    notes: list[Note] = field(default_factory=list)
    withdrawn: str | None = None
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Pick:
    """A match that was picked.

    `goal` and notes are numbers: of the goal, and how many reviews of each are known. `seq` is the place
    in the order of what was known; `anew` says how often the pair was begun before, `instead` as which
    match.
    """

    number: int
    first: str
    second: str
    mode: Mode
    goal: int = 0
    first_notes: int = 0
    second_notes: int = 0
    seq: int = 0
    anew: int = 0
    instead: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A piece of an agent's work; a look's is `about` an item. `goal` is its number, `seq` as in `Pick`."""

    number: int
    agent: str
    about: str = ""
    goal: int = 0
    seq: int = 0


@dataclass(slots=True)
class Done:
    """What came of a task."""

    seq: int = 0
    tokens: int = 0
    made: Sequence[Mapping[str, Json]] = ()
    duplicates: int = 0
    note: str | None = None
    reject: str | None = None
    advice: str | None = None
    halt: str | None = None
    failed: str | None = None
    unanswered: bool = False  # by an endpoint that failed, which says nothing of the agent


@dataclass(slots=True)
class Tally:
    """What an agent has done so far.

    `barren` and `failures` count those in a row; `last` is how many verdicts there were when
    it last made or studied something, `goal` the goal of its last study.
    """

    calls: int = 0
    tokens: int = 0
    under_way: int = 0
    made: list[str] = field(default_factory=list)
    looking: set[str] = field(default_factory=set)
    barren: int = 0
    failures: int = 0
    failed_at: dict[str, int] = field(default_factory=dict)
    fault: str | None = None
    last: int = 0
    goal: int = -1

    def take(self, tokens: int) -> None:
        """Count a call that has ended."""
        self.calls += 1
        self.tokens += tokens
        self.under_way = max(0, self.under_way - 1)
