"""Annotator: a side channel that labels a sample of what passes by, and never holds it up.

Source of the idea: ONI, arXiv 2410.23022: a language model labels a part of an agent's experience beside
the loop that makes it, and what it says trains a quick scorer.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

from agentflow.errors import UserError

__all__ = ["Annotator"]

Item = TypeVar("Item")
Label = TypeVar("Label")

_FAULTS = 5


class Annotator(Generic[Item, Label]):
    """Label a share `rate` of the items that are offered, `workers` at a time; an async context manager.

    `offer` returns at once. At most `capacity` items wait; where there is no room the oldest gives way
    (`dropped`). `labels` has what came, `take` empties it: train a scorer with it. Leaving the block waits
    for what is under way and what waits, with `cancel` it drops them. Labels that fail are counted.
    """

    def __init__(
        self,
        label: Callable[[Item], Awaitable[Label]],
        *,
        rate: float = 0.1,
        capacity: int = 100,
        workers: int = 4,
        seed: int = 0,
    ) -> None:
        if not 0 < rate <= 1:
            raise UserError(f"an annotator's rate is a share above 0, at most 1, not {rate:g}")
        if capacity < 1 or workers < 1:
            raise UserError("an annotator has a capacity and workers of 1 or more")
        self._label = label
        self._rate = rate
        self._capacity = capacity
        self._chance = random.Random(seed)
        self._free = workers
        self._waiting: deque[Item] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.labels: list[tuple[Item, Label]] = []
        self.offered = self.sampled = self.dropped = self.failed = 0
        self.faults: list[str] = []

    async def __aenter__(self) -> Annotator[Item, Label]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def offer(self, item: Item) -> bool:
        """Let an item pass by; return whether it was taken into the sample."""
        self.offered += 1
        if self._chance.random() >= self._rate:
            return False
        self.sampled += 1
        if self._free:
            self._begin(item)
        else:
            if len(self._waiting) == self._capacity:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(item)
        return True

    def take(self) -> list[tuple[Item, Label]]:
        """Return the labels that have come since the last time."""
        labels, self.labels = self.labels, []
        return labels

    def cancel(self) -> None:
        """Drop what waits and what is under way."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    def _begin(self, item: Item) -> None:
        self._free -= 1
        task = asyncio.get_running_loop().create_task(self._work(item), name="annotate")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, item: Item) -> None:
        try:
            while True:
                try:
                    self.labels.append((item, await self._label(item)))
                except Exception as error:
                    self.failed += 1
                    if len(self.faults) < _FAULTS:
                        self.faults.append(f"{type(error).__name__}: {error}"[:200])
                if not self._waiting:
                    return
                item = self._waiting.popleft()
        finally:
            self._free += 1
