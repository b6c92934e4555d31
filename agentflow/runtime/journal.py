"""The journal's seam: what a run puts down, so that a crash is not paid for twice.

`put` is synchronous and first in, first out; only `barrier` waits. A fact that
nobody waits for rides with the next commit, at the latest after 5 ms. Another
store (PostgreSQL, say) is another class with these few methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

__all__ = [
    "ArtifactFact",
    "Fact",
    "InterruptFact",
    "Journal",
    "RunEndFact",
    "RunFact",
    "RunRecord",
    "RunRow",
    "SignalFact",
    "StepFact",
    "WaitFact",
]


@dataclass(slots=True)
class RunFact:
    """A run began. `input` is JSON; `key` the name that the user gave it."""

    id: str
    parent: str | None
    key: str | None
    kind: str
    name: str
    input: bytes
    app_version: str
    started: float


@dataclass(slots=True)
class RunEndFact:
    """A run ended, or began again when `status` is `running`."""

    id: str
    status: str
    output: bytes | None
    error: str | None
    ended: float | None


@dataclass(slots=True)
class StepFact:
    """A step's state. `input` is JSON, or None when only its hash is kept."""

    run: str
    key: str
    status: str
    input: bytes | None
    input_hash: str
    output: bytes | None
    error: str | None = None
    attempts: int = 1
    started: float = 0.0
    ended: float = 0.0


@dataclass(slots=True)
class InterruptFact:
    """Something from outside came for a run."""

    run: str
    seq: int
    source: str
    text: str
    priority: str


@dataclass(slots=True)
class WaitFact:
    """A run waits for an outside event of this name; `payload` tells a person why."""

    run: str
    name: str
    payload: bytes


@dataclass(slots=True)
class SignalFact:
    """The outside event came."""

    run: str
    name: str
    value: bytes


@dataclass(slots=True)
class ArtifactFact:
    """A value too large for a message or a row."""

    run: str
    name: str
    data: bytes


Fact: TypeAlias = RunFact | RunEndFact | StepFact | InterruptFact | WaitFact | SignalFact | ArtifactFact


@dataclass(slots=True)
class RunRow:
    """What the journal knows of a run. Times are seconds since 1970; `ended` may be None."""

    id: str
    parent: str | None
    key: str | None
    kind: str
    name: str
    input: bytes
    status: str
    output: bytes | None
    error: str | None
    app_version: str
    started: float
    ended: float | None


@dataclass(slots=True)
class RunRecord:
    """A run with everything that was put down for it."""

    row: RunRow
    steps: dict[str, StepFact] = field(default_factory=dict)
    interrupts: list[InterruptFact] = field(default_factory=list)
    signals: dict[str, bytes] = field(default_factory=dict)


class Journal(Protocol):
    """Where facts go. One process owns a journal; others read it."""

    async def open(self) -> None:
        """Take it into use; RunError when it is another owner's, foreign, newer or broken."""

    def put(self, fact: Fact) -> None:
        """Put a fact down, in order, without waiting."""

    async def barrier(self) -> None:
        """Return when every fact so far is durable; RunError when it can't be made so."""

    async def find(self, key: str) -> str | None:
        """Return the id of the newest run of this key."""

    async def load(self, run: str) -> Mapping[str, RunRecord]:
        """Return the run and all below it, by id; empty when there is none."""

    async def runs(self, status: str | None = None) -> Sequence[RunRow]:
        """Return the outermost runs, the newest first."""

    async def steps(self, run: str, first: str, last: str) -> Sequence[StepFact]:
        """Return the steps of `run` whose keys lie from `first` up to `last`, by key: a page of many."""

    async def artifact(self, run: str, name: str) -> bytes | None:
        """Return an artifact's data."""

    async def fork(self, run: str, after: str, new: str) -> None:
        """Copy a run and those below it, up to and with step `after`, as run `new`."""

    async def durations(self) -> Mapping[str, float]:
        """Return the learned mean seconds of each tool, by name."""

    async def step_durations(self, kind: str, name: str) -> Mapping[str, float]:
        """Return the learned mean seconds of each step of earlier runs of this kind and name."""

    async def aclose(self) -> None:
        """Make all facts durable and let go of it."""
