"""What comes to a run from outside: interrupts, each delivered once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Inbox", "Interrupt", "Priority"]

Priority: TypeAlias = Literal["now", "next", "silent"]

CAPACITY = 1000
_RANK: dict[str, int] = {"now": 0, "next": 1, "silent": 2}


@dataclass(slots=True)
class Interrupt:
    """Something for a run's conversation. `source` is `user`, `agent.NAME`, `timer` or a call's id.

    `now` cuts a reply that is being written, `next` waits for its end, `silent`
    only goes in with something else.
    """

    source: str
    text: str
    priority: Priority = "next"
    seq: int = 0


class Inbox:
    """A bounded queue of interrupts, in the order of priority, then arrival."""

    def __init__(self) -> None:
        self._items: list[Interrupt] = []
        self._changed = asyncio.Event()
        self.on_put: Callable[[Interrupt], object] | None = None  # set while a reply is being written
        self._room: asyncio.Event | None = None  # made when the inbox is full
        self.last_seq = 0
        self.sources = 0  # how many may still interrupt by themselves: timers, watchers

    def __len__(self) -> int:
        return len(self._items)

    @property
    def changed(self) -> asyncio.Event:
        """Set whenever something came; whoever waits clears it."""
        return self._changed

    @property
    def urgent(self) -> bool:
        """Whether something waits that shall cut a reply."""
        return any(item.priority == "now" for item in self._items)

    @property
    def waking(self) -> bool:
        """Whether something waits that a conversation should go on for."""
        return any(item.priority != "silent" for item in self._items)

    async def room(self) -> None:
        """Wait until the inbox can take another interrupt."""
        while self._room is not None:
            await self._room.wait()

    def put(self, interrupt: Interrupt) -> None:
        """Queue an interrupt; it gets the next `seq` unless it has one."""
        self.last_seq = interrupt.seq = interrupt.seq or self.last_seq + 1
        self._items.append(interrupt)
        if len(self._items) >= CAPACITY and self._room is None:
            self._room = asyncio.Event()
        self._changed.set()
        if self.on_put is not None:
            self.on_put(interrupt)

    def replace(self, interrupt: Interrupt) -> None:
        """Queue an interrupt in place of those of its source that still wait."""
        self._items = [item for item in self._items if item.source != interrupt.source]
        self.put(interrupt)

    def take(self) -> list[Interrupt]:
        """Take all that waits, the most urgent first."""
        items = sorted(self._items, key=lambda item: _RANK[item.priority])
        self._items.clear()
        self._make_room()
        return items

    def take_seqs(self, seqs: list[int]) -> list[Interrupt]:
        """Take just these, in this order: what an earlier delivery took."""
        found = {item.seq: item for item in self._items if item.seq in seqs}
        self._items = [item for item in self._items if item.seq not in found]
        self._make_room()
        return [found[seq] for seq in seqs if seq in found]

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.set()
