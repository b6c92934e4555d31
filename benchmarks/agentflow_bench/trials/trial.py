"""What is tried: cases, how one of them is tried, and what can be said of it then."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from agentflow.errors import UserError
from agentflow.runtime import Context
from agentflow_protocols.chat import Json

__all__ = ["Case", "Published", "Score", "Trials", "slug"]

Task = TypeVar("Task")


@dataclass(frozen=True, slots=True)
class Case(Generic[Task]):
    """One case: its name, what it is, and by what the report divides (`{"kind": "parallel"}`).

    `asked` is whatever else says what is asked: with other words the case is tried anew.
    """

    id: str
    task: Task
    by: Mapping[str, str | int] = field(default_factory=dict)
    asked: str = ""

    @property
    def key(self) -> str:
        """The name of its run in the journal."""
        if not self.asked:
            return self.id
        return f"{self.id}.{hashlib.sha256(self.asked.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Score:
    """What came of a case.

    `fault` says in a word or two why it is not right; the report counts them. `figures` are
    numbers, of which the report tells the mean (None: there is none here), and truths, which it
    counts. `detail` is kept in the row as it is.
    """

    right: bool
    figures: Mapping[str, float | bool | None] = field(default_factory=dict)
    fault: str | None = None
    detail: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """Shares of right answers that others have published, to be set beside ours.

    `name` is who and how, `by` has them by the value of a group: `{"task": {"0": 0.2, "1": 0.3}}`.
    """

    name: str
    source: str
    share: float | None = None
    by: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trials(Generic[Task]):
    """Cases and the way in which they are tried.

    `about` says who is tried and how (model, agent, method); its values name the files that come
    of it. `solve` tries one case: a job, whose model steps are journalled. On the virtual clock
    waiting takes no time; a real endpoint needs the wall clock, since its limits do not jump.
    `judge` reads what was kept of a case again, so that another known answer needs no new try.
    `units` names the figures' units, `published` what others found, `note` is for the page.
    """

    bench: str
    about: Mapping[str, str]
    cases: Sequence[Case[Task]]
    solve: Callable[[Context[object], Task], Awaitable[Score]]
    judge: Callable[[Task, Score], Score] | None = None
    concurrency: int = 32
    clock: Literal["wall", "virtual"] = "wall"
    units: Mapping[str, str] = field(default_factory=dict)
    published: Sequence[Published] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not self.cases:
            raise UserError(f"{self.bench}: there are no cases to try")
        seen: set[str] = set()
        for case in self.cases:
            if case.id in seen:
                raise UserError(f"{self.bench}: two cases are called {case.id!r}")
            seen.add(case.id)

    @property
    def name(self) -> str:
        """The name of the files that come of it."""
        return "-".join([self.bench, *(slug(value) for value in self.about.values() if value)])


def slug(text: str) -> str:
    """Return a text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text.rpartition("/")[2] if ":/" in text else text).strip("_")[:60]
