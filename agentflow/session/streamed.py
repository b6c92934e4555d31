"""What a call with `reply="stream"` yields: one interrupt at a time, the newest value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Streamed"]

INTERVAL = 0.1  # seconds between two interrupts of one call
LONGEST = 8192  # characters of a value that are shown


class Streamed:
    """Passes values of one call on by `put`: the first at once, then at most one in an interval.

    Of those that come meanwhile the newest counts. A long one is shown as its head and tail.
    """

    __slots__ = ("_next", "_put", "_text", "_timer")

    def __init__(self, put: Callable[[str], object]) -> None:
        self._put = put
        self._next = 0.0
        self._text: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def add(self, text: str) -> None:
        """Take the value `text`."""
        loop = asyncio.get_running_loop()
        half = LONGEST // 2
        left = len(text) - LONGEST
        self._text = f"{text[:half]}\n… {left} characters left out …\n{text[-half:]}" if left > 0 else text
        if self._timer is None:
            if loop.time() >= self._next:
                self.flush()
            else:
                self._timer = loop.call_at(self._next, self.flush)

    def flush(self) -> None:
        """Pass on what waits: at the latest when the call ends."""
        text = self._text
        self.drop()
        if text is not None:
            self._next = asyncio.get_running_loop().time() + INTERVAL
            self._put(text)

    def drop(self) -> None:
        """Forget what waits."""
        timer, self._timer, self._text = self._timer, None, None
        if timer is not None:
            timer.cancel()
