"""The clock of a run belongs to its event loop: wall, virtual, or paced.

Virtual time moves only when nothing real is under way. Whoever does real work
(a thread, a process, HTTP, a disk) holds the clock while it lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal

__all__ = ["Clock", "ClockKind", "Guard", "Hold", "current_clock"]

ClockKind = Literal["wall", "virtual", "paced"]


class Clock:
    """The time of one event loop. Get the running loop's by `current_clock()`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, kind: ClockKind = "wall") -> None:
        self._loop = loop
        self.kind: ClockKind = kind
        self.holds = 0
        self.externals = 0
        self._hold = Hold(self)

    def time(self) -> float:
        """Return the loop's time in seconds. A virtual clock begins at 0."""
        return self._loop.time()

    def hold(self) -> Hold:
        """Return a context manager that keeps virtual time where it is while real work is under way."""
        return self._hold

    @contextmanager
    def external(self) -> Iterator[None]:
        """Say that something outside may still wake this loop, so that waiting for it is no stall."""
        self.externals += 1
        try:
            yield
        finally:
            self.externals -= 1

    def guard(self, seconds: float | None) -> Guard:
        """Return an async context manager that raises TimeoutError after `seconds` of wall time.

        `asyncio.timeout` would never fire round held work, since virtual time stands still.
        """
        return Guard(self._loop, seconds)


class Hold:
    """See `Clock.hold`. It counts, so one of them serves all at once."""

    __slots__ = ("_clock",)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        self._clock.holds += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clock.holds -= 1


class Guard:
    """A time-out in wall time, whatever the clock. See `Clock.guard`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float | None) -> None:
        self._loop = loop
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._cancel: Callable[[], None] | None = None
        self.expired = False

    async def __aenter__(self) -> Guard:
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._arm()
        return self

    def change(self, seconds: float) -> None:
        """Let it end in `seconds` from now."""
        if self._cancel is not None:
            self._disarm()
            self._seconds = seconds
            self._arm()

    def _arm(self) -> None:
        if self._seconds is None:
            return
        call_later_wall = getattr(self._loop, "call_later_wall", None)
        if call_later_wall is not None:
            self._cancel = call_later_wall(self._seconds, self._fire)
        else:
            self._cancel = self._loop.call_later(self._seconds, self._fire).cancel

    def _disarm(self) -> None:
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _fire(self) -> None:
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disarm()
        if self.expired and self._task is not None:
            ours = self._task.uncancel() <= self._cancelling
            if ours and kind is asyncio.CancelledError:
                raise TimeoutError from error


def current_clock() -> Clock:
    """Return the running loop's clock; a loop of another kind has the wall clock."""
    loop = asyncio.get_running_loop()
    clock = getattr(loop, "clock", None)
    return clock if isinstance(clock, Clock) else Clock(loop)
