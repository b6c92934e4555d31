"""Which slot of a server answers which request.

A slot knows the conversation that it answered last, and need not read that part again.
Left to itself, the server would give a reply that follows an interrupt to another slot,
since the one that was cut is not free for some milliseconds: seconds of reading for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import takewhile

__all__ = ["Slots"]


class Slots:
    """The `count` slots of a server, given out in the order of asking."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._busy: set[int] = set()
        # What each has answered last; the one that is longest out of use comes first.
        self._known: dict[int, Sequence[object]] = dict.fromkeys(range(count), ())

    async def acquire(self, messages: Sequence[object]) -> int:
        """Wait for a free slot and return its number: the one that knows the most of `messages`.

        `messages` may as well be the pieces of one text. A slot of which more than half would
        be lost counts as knowing nothing; among equals it is the one that is longest out of use.
        """
        await self._free.acquire()
        free = (slot for slot in self._known if slot not in self._busy)
        slot = max(free, key=lambda slot: _kept(self._known[slot], messages))
        del self._known[slot]
        self._known[slot] = tuple(messages)
        self._busy.add(slot)
        return slot

    def release(self, slot: int) -> None:
        """Give back a slot that was acquired."""
        self._busy.remove(slot)
        self._free.release()


def _kept(known: Sequence[object], asked: Sequence[object]) -> int:
    """Return how many messages of `known` begin `asked`; 0 when they are not most of it."""
    same = sum(1 for _ in takewhile(bool, (a == b for a, b in zip(known, asked, strict=False))))
    return same if 2 * same > len(known) else 0
