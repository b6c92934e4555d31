"""A lane: the prompts of one model in one queue, read from the file at its own pace.

Lanes read the same file, each where it is. So a lane whose limit is low holds up no
other, and none holds more prompts in memory than those that wait for its next free place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agentflow.batch.lines import PAGE, Line, read_lines
from agentflow.batch.store import Known
from agentflow_protocols.experiment import Record

__all__ = ["Lane", "LaneKey", "LaneOf"]


class LaneKey(NamedTuple):
    """What a lane's prompts share."""

    queue: str
    api: str
    model: str
    group: str | None = None


LaneOf = Callable[[Record], LaneKey | None]
"""Says whose a prompt is, None for one that can't be asked."""


@dataclass(slots=True)
class Lane:
    """Where a lane's prompts are, and how many."""

    key: LaneKey
    number: int
    offset: int
    last: int = 0
    prompts: int = 0
    finished: int = 0
    stopped: str | None = None
    waiting: set[asyncio.Task[None]] = field(default_factory=set)
    flying: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    held: bool = False

    def stop(self, why: str) -> None:
        """Ask no more of this lane; what waits for its turn is not sent."""
        self.stopped = why
        for task in self.waiting:
            task.cancel()

    def hold(self) -> None:
        """Send nothing more for now: what waits for its turn is read anew when the batch goes on."""
        self.held = True
        for task in self.waiting:
            task.cancel()

    def take(self, line: Line, known: Known | None) -> None:
        """Count a prompt of this lane."""
        self.prompts += 1
        self.last = line.number
        self.finished += known is not None and known.status == "ok"

    def pages(self, path: Path, lane_of: LaneOf) -> Iterator[list[Record]]:
        """Read the lane's prompts, page by page: few enough that what is known of them fits in memory."""
        page: list[Record] = []
        for line in read_lines(path, number=self.number, offset=self.offset):
            if isinstance(line.content, Record) and lane_of(line.content) == self.key:
                page.append(line.content)
            last = line.number >= self.last
            if page and (last or line.number - page[0].line >= PAGE):
                yield page
                page = []
            if last:
                return
