"""An event loop that owns its clock: wall, virtual, or virtual paced to wall time.

Virtual time is a rule of the selector: poll first; while anything holds the
clock, wait for real; else jump to the next timer. Timers, `asyncio.sleep` and
`asyncio.timeout` therefore work unchanged, and an hour passes in milliseconds.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import math
import selectors
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar, cast

from agentflow.errors import RunError, UserError
from agentflow.runtime.clock import Clock, ClockKind

__all__ = ["ClockLoop", "new_loop", "run_in"]

T = TypeVar("T")

# Sleeping less than this in a selector would round up to it: owed time is saved up.
_SELECT_RESOLUTION = 0.001


class ClockLoop(asyncio.SelectorEventLoop):
    """A selector loop with a `clock`. Make one by `new_loop`."""

    def __init__(self, kind: ClockKind, speed: float) -> None:
        self.clock = Clock(self, kind)
        self.writes_pending = 0
        self._now = 0.0
        self._speed = speed
        self._owed = 0.0
        self._wall_timers: list[tuple[float, int]] = []
        self._wall_callbacks: dict[int, Callable[[], object]] = {}
        self._ids = itertools.count()
        self._pool: ThreadPoolExecutor | None = None
        super().__init__(_ClockSelector(self))

    def time(self) -> float:
        """Return the clock's time in seconds."""
        return self._now if self.clock.kind != "wall" else super().time()

    def call_later_wall(self, delay: float, callback: Callable[[], object]) -> Callable[[], None]:
        """Call back after `delay` seconds of wall time; return what cancels that."""
        if self.clock.kind == "wall":
            return self.call_later(delay, callback).cancel
        number = next(self._ids)
        heapq.heappush(self._wall_timers, (time.monotonic() + delay, number))
        self._wall_callbacks[number] = callback

        def cancel() -> None:
            self._wall_callbacks.pop(number, None)

        return cancel

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """Run `func` in a thread; the clock is held until the thread is done, cancelled or not."""
        if executor is None:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(thread_name_prefix="agentflow")
                self.set_default_executor(self._pool)
            executor = self._pool
        work = executor.submit(func, *args)
        future = asyncio.wrap_future(work, loop=self)
        self.clock.holds += 1
        # Registered after wrap_future's own callback, so the result is set before the hold ends.
        work.add_done_callback(lambda _: self._from_thread(self._release))
        return future

    async def shutdown_default_executor(self, *args: float, **named: float) -> None:
        """Wait for the threads, while the clock is held."""
        with self.clock.hold():
            await super().shutdown_default_executor(*args, **named)

    def _from_thread(self, callback: Callable[[], object]) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(callback, context=contextvars.Context())

    def _release(self) -> None:
        self.clock.holds -= 1

    def advance(self, seconds: float) -> None:
        """Move virtual time on."""
        self._now += seconds
        # asyncio fires what is due before now plus this; far on, a nanosecond would round to nothing.
        self._clock_resolution = max(1e-9, math.ulp(self._now))

    def due_wall_timers(self) -> float | None:
        """Run wall timers that are due; return the seconds to the next one."""
        while self._wall_timers:
            when, number = self._wall_timers[0]
            if number in self._wall_callbacks:
                if (wait := when - time.monotonic()) > 0:
                    return wait
                self.call_soon(self._call_back, number)
            heapq.heappop(self._wall_timers)
        return None

    def _call_back(self, number: int) -> None:
        """Call a wall timer back, but for one that was cancelled after it fell due."""
        callback = self._wall_callbacks.pop(number, None)
        if callback is not None:
            callback()

    def stalled(self) -> RunError:
        """Return the error that names what waits for nothing."""
        tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
        names = sorted(_describe(task) for task in tasks)
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return RunError(f"stalled at {self._now:g} s of virtual time: nothing can wake {shown or 'the loop'}")

    def jump(self, timeout: float, wait: Callable[[float], object]) -> None:
        """Move virtual time on by `timeout`, in as much wall time as the pace says."""
        if self.clock.kind == "virtual":
            self.advance(timeout)
            return
        self._owed += timeout / self._speed
        if self._owed < _SELECT_RESOLUTION:
            self.advance(timeout)
            return
        began = time.monotonic()
        woken = wait(self._owed)
        elapsed = time.monotonic() - began
        if woken:
            done = min(timeout, elapsed * self._speed)
            self.advance(done)
            self._owed = 0.0
        else:
            self.advance(timeout)
            self._owed -= elapsed


class _ClockSelector(selectors.DefaultSelector):
    """The platform's selector, which asks the loop's clock before it waits."""

    def __init__(self, loop: ClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        if loop.writes_pending:
            time.sleep(0)  # let the journal's thread have the interpreter
        if loop.clock.kind == "wall":
            return super().select(timeout)
        if timeout is not None and timeout <= 0:
            if loop._wall_timers:
                loop.due_wall_timers()
            return super().select(0)
        events = super().select(0)
        if events:
            return events
        next_wall = loop.due_wall_timers()
        if loop._ready:  # type: ignore[attr-defined]
            return events
        if loop.clock.holds:
            events = super().select(next_wall)
        elif timeout is None:
            if not loop.clock.externals:
                raise loop.stalled()
            events = super().select(next_wall)
        else:

            def wait(seconds: float) -> object:
                nonlocal events
                events = super(_ClockSelector, self).select(seconds)
                return events

            loop.jump(timeout, wait)
        loop.due_wall_timers()
        return events


def _describe(task: asyncio.Task[object]) -> str:
    coroutine = cast("Coroutine[object, object, object]", task.get_coro())
    while (inner := getattr(coroutine, "cr_await", None)) is not None and hasattr(inner, "cr_code"):
        coroutine = inner
    code, frame = getattr(coroutine, "cr_code", None), getattr(coroutine, "cr_frame", None)
    where = f" ({code.co_qualname}, line {frame.f_lineno})" if code is not None and frame is not None else ""
    return f"{task.get_name()}{where}"


def new_loop(kind: ClockKind = "wall", speed: float | None = None) -> ClockLoop:
    """Return a new event loop on a clock of `kind`.

    `speed` is for a paced clock: virtual seconds a wall second, above 0.
    """
    if kind not in ("wall", "virtual", "paced"):
        raise UserError(f"clock {kind!r} is none of wall, virtual, paced")
    if (kind == "paced") != (speed is not None):
        raise UserError("speed= belongs to clock='paced', and a paced clock needs it")
    if speed is not None and not 0 < speed < float("inf"):
        raise UserError(f"speed must be above 0, not {speed!r}")
    return ClockLoop(kind, speed or 1.0)


def run_in(loop_factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[object, object, T]) -> T:
    """Run `main` in a loop of its own, and leave nothing behind."""
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main)
    finally:
        main.close()  # when there was no loop to run it in; else it has ended
