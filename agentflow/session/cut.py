"""Leaving a reply early: at once outside a block, else as soon as the block is closed."""

from __future__ import annotations

import asyncio
from types import TracebackType

__all__ = ["Cut"]


class Cut:
    """A block of code that `now` ends from outside, from another task or a callback.

    It takes effect at the await at which the block stands. `fired` tells that it did;
    `wanted` that the block should end itself, as soon as it may.
    """

    __slots__ = ("_cancelling", "_task", "fired", "wanted")

    def __init__(self) -> None:
        self.fired = False
        self.wanted = False
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0

    def now(self) -> None:
        """End the block."""
        if self._task is not None and not self.fired:
            self.fired = True
            self._task.cancel()

    def __enter__(self) -> Cut:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        assert task is not None
        if not self.fired or task.uncancel() > self._cancelling:
            return False
        return kind is not None and issubclass(kind, asyncio.CancelledError)
