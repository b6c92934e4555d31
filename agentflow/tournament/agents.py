"""Agents of a tournament: `Make` makes items, `Look` reviews one, `Study` looks at them all.

Each is a name and an async function; a `Supervisor` draws whose turn it is. What they are shown is the
`Board`, as it stands when their work begins; after a crash they are shown the same.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from agentflow.tournament.report import Played, Standing

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Agents", "Board", "Halt", "Look", "Make", "Maker", "Reject", "Review", "Study"]

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Board(Generic[Item]):
    """What agents are shown: the goal, the ranking so far, best first, and what studies and persons advise.

    `lately` are the last matches that had a verdict, the newest last, with what their judges said;
    `judged` how many there were. `chance()` is a source of chance for this piece of work alone.
    """

    goal: str
    ranking: Sequence[Standing[Item]]
    advice: Mapping[str, str] = field(default_factory=dict)
    lately: Sequence[Played] = ()
    judged: int = 0
    number: int = 0
    seed: int = 0

    def chance(self) -> random.Random:
        """Return a source of chance, the same each time this piece of work is done."""
        return random.Random(f"{self.seed}/{self.number}")


@dataclass(frozen=True, slots=True)
class Reject:
    """A review's finding that an item has to go, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Halt:
    """A study's finding that the tournament has to end, as unsafe, and why."""

    why: str


Maker: TypeAlias = "Callable[[Context[object], Board[Item]], Awaitable[Sequence[Item]]]"
Review: TypeAlias = "Callable[[Context[object], Item, str], Awaitable[str]]"
Reviewing: TypeAlias = "Callable[[Context[object], Standing[Item], Board[Item]], Awaitable[str | Reject]]"
Studying: TypeAlias = "Callable[[Context[object], Board[Item]], Awaitable[str | Halt]]"


@dataclass(frozen=True, slots=True)
class Make(Generic[Item]):
    """Makes new items. It is asked once `needs` items play, by up to `at_once` workers.

    Who has made nothing new is asked again once each item has played, three times in a row at most.
    """

    work: Maker[Item]
    needs: int = 0
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Look(Generic[Item]):
    """Reviews an item, once for each goal, and again after `again` further matches of it.

    What it returns is a note that judges see, or a `Reject`, which takes the item out. With `gate`, no item
    plays before it; a `memo` is kept, and no judge sees it. `due` may ask for more: a place among the
    best, or another review before this one.
    """

    work: Reviewing[Item]
    due: Callable[[Standing[Item]], bool] | None = None
    again: int = 0
    gate: bool = False
    memo: bool = False


@dataclass(frozen=True, slots=True)
class Study(Generic[Item]):
    """Looks at the whole, every so many matches, and for each goal with `on_goal`.

    What it returns is advice, under its name on the board; a `Halt` ends the tournament. With `gate`,
    nothing else begins while it is due.
    """

    work: Studying[Item]
    every: int = 0
    on_goal: bool = False
    gate: bool = False


Agents: TypeAlias = "Mapping[str, Make[Item] | Look[Item] | Study[Item]]"
