"""Run code on virtual time: an hour passes in milliseconds, and every time is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import TypeVar

from agentflow.errors import UserError
from agentflow.runtime.loop import new_loop

__all__ = ["VirtualClock"]

T = TypeVar("T")


class VirtualClock:
    """A clock that stands still while code runs, and jumps when everything waits.

    Use it by `with`, and `run` coroutines on it, one after another; time goes on from
    one to the next. `speed` paces it: so many virtual seconds in a wall second.
    `VirtualClock.loop_factory` is what `asyncio.Runner` and pytest-asyncio take.
    """

    def __init__(self, speed: float | None = None) -> None:
        self._speed = speed
        self._runner: asyncio.Runner | None = None

    def loop_factory(self) -> asyncio.AbstractEventLoop:
        """Return a new event loop on this kind of clock."""
        return new_loop("virtual") if self._speed is None else new_loop("paced", self._speed)

    def __enter__(self) -> VirtualClock:
        """Make the event loop."""
        self._runner = asyncio.Runner(loop_factory=self.loop_factory)
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the event loop, cancelling what is left on it."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.__exit__(kind, error, trace)

    def run(self, main: Coroutine[object, object, T]) -> T:
        """Run `main` to its end on virtual time, and return its result."""
        if self._runner is None:
            main.close()
            raise UserError("the virtual clock is not running: use `with VirtualClock() as clock:`")
        return self._runner.run(main)

    def time(self) -> float:
        """Return the seconds that have passed on the clock."""
        if self._runner is None:
            raise UserError("the virtual clock is not running: use `with VirtualClock() as clock:`")
        return self._runner.get_loop().time()
