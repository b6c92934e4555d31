"""A flag that tasks wait for, in a tenth of the memory of asyncio.Event: each run has one."""

from __future__ import annotations

import asyncio

__all__ = ["Signal"]


class Signal:
    """Set and cleared by whoever likes; `wait` returns while or once it is set."""

    __slots__ = ("_set", "_waiting")

    def __init__(self) -> None:
        self._set = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._set

    def set(self) -> None:
        """Wake everybody who waits, and let nobody wait until it is cleared."""
        self._set = True
        waiting, self._waiting = self._waiting, ()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def clear(self) -> None:
        """Let those who come wait again."""
        self._set = False

    async def wait(self) -> None:
        """Wait until it is set."""
        if self._set:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting += (future,)
        try:
            await future
        finally:
            self._waiting = tuple(other for other in self._waiting if other is not future)
