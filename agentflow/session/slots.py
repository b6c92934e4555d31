"""Slots for calls of a tool that may not all run at once: what has the longest way to go is next."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Protocol

__all__ = ["Slot", "Slots"]


class _Waits(Protocol):
    def remaining(self) -> float:
        """Return the seconds of the call and of the longest chain of calls that need it."""


class Slots:
    """`count` slots. Whoever waits with the longest remaining path gets the next that is free."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[_Waits, asyncio.Future[None]]] = []

    def slot(self, call: _Waits) -> Slot:
        """Return an async context manager that holds a slot for `call`."""
        return Slot(self, call)

    async def acquire(self, call: _Waits) -> None:
        """Wait until `call` has a slot."""
        if self._free:
            self._free -= 1
            return
        entry = (call, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back."""
        if not self._waiting:
            self._free += 1
            return
        entry = max(self._waiting, key=lambda item: item[0].remaining())
        self._waiting.remove(entry)
        entry[1].set_result(None)


class Slot:
    """A slot that is held for the length of a block."""

    __slots__ = ("_call", "_slots")

    def __init__(self, slots: Slots, call: _Waits) -> None:
        self._slots = slots
        self._call = call

    async def __aenter__(self) -> None:
        await self._slots.acquire(self._call)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.release()
