"""What comes to a run from outside: interrupts, each delivered once.

An inbox is bounded, for each source and in all. What a source does when it is full, or
when its last interrupt still waits, is the interrupt's policy. Whatever happens to an
interrupt happens at once and goes to the journal in the same order, so that what waits
in memory and what would wait after a crash are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeAlias, get_args

from agentflow.errors import UserError
from agentflow.runtime.signal import Signal

__all__ = ["DROPPED", "Inbox", "Interrupt", "Policy", "Priority", "checked"]

Priority: TypeAlias = Literal["now", "next", "silent"]
Policy: TypeAlias = Literal["block", "drop_oldest", "coalesce"]

CAPACITY = 1000  # interrupts that may wait
PER_SOURCE = 100  # interrupts of one source that may wait
DROPPED = "dropped"  # the priority, in the journal, of an interrupt that gave way to a newer one
_RANK: dict[str, int] = {"now": 0, "next": 1, "silent": 2}


@dataclass(slots=True)
class Interrupt:
    """Something for a run's conversation. `source` is `user`, `agent.NAME`, a listened source or a call's id.

    `now` cuts a reply that is being written, `next` waits for its end, `silent`
    only goes in with something else. Where there is no room, `block` lets its sender
    wait, and `drop_oldest` drops the oldest of its source. With `coalesce` it takes the
    place of the one of its source that still waits, room or not.
    """

    source: str
    text: str
    priority: Priority = "next"
    seq: int = 0
    policy: Policy = "block"


def checked(interrupt: Interrupt) -> Interrupt:
    """Return an interrupt as it was given. UserError when its priority or policy is none."""
    for what, value, allowed in (
        ("priority", interrupt.priority, get_args(Priority)),
        ("policy", interrupt.policy, get_args(Policy)),
    ):
        if value not in allowed:
            near = get_close_matches(str(value), allowed, 1)
            hint = f" (did you mean `{near[0]}`?)" if near else ""
            raise UserError(f"an interrupt's {what} is one of {', '.join(allowed)}, not {value!r}{hint}")
    return interrupt


class Inbox:
    """A bounded queue of interrupts, in the order of priority, then arrival."""

    def __init__(self) -> None:
        self._items: dict[int, Interrupt] = {}  # by seq, in the order of arrival
        self._past: dict[int, Interrupt] = {}  # delivered before a crash, to be delivered again
        self._counts: Counter[str] = Counter()
        self._changed = Signal()
        self._room: Signal | None = None  # made when somebody waits for room
        self.on_put: Callable[[Interrupt], object] | None = None  # set while a reply is being written
        self.last_seq = 0
        self.sources = 0  # how many may still interrupt by themselves: timers, streams
        self.closed = False

    def __len__(self) -> int:
        return len(self._items)

    @property
    def changed(self) -> Signal:
        """Set whenever something came; whoever waits clears it."""
        return self._changed

    @property
    def urgent(self) -> bool:
        """Whether something waits that shall cut a reply."""
        return any(item.priority == "now" for items in (self._items, self._past) for item in items.values())

    @property
    def waking(self) -> bool:
        """Whether something waits that a conversation should go on for."""
        return any(
            item.priority != "silent" for items in (self._items, self._past) for item in items.values()
        )

    async def room(self, interrupt: Interrupt) -> None:
        """Wait until `put` may take `interrupt`. It may when the inbox is closed, too: look at `closed`."""
        while not self.closed and not self._takes(interrupt):
            if self._room is None:
                self._room = Signal()
            await self._room.wait()

    def _takes(self, interrupt: Interrupt) -> bool:
        if interrupt.policy == "coalesce" and self._same(interrupt) is not None:
            return True
        mine = self._counts[interrupt.source]
        if interrupt.policy == "drop_oldest" and mine:
            return True
        return len(self._items) < CAPACITY and mine < PER_SOURCE

    def _same(self, interrupt: Interrupt) -> Interrupt | None:
        """Return the interrupt that waits and that this one takes the place of."""
        if not self._counts[interrupt.source]:
            return None
        source = interrupt.source
        waiting = (i for i in self._items.values() if i.source == source and i.policy != "block")
        return next(waiting, None)

    def put(self, interrupt: Interrupt) -> Interrupt | None:
        """Queue an interrupt by its policy and give it its `seq`; return the one that was dropped for it.

        One that coalesces gets the seq and the place of the one that waited. Doesn't
        look for room, except that `drop_oldest` makes it.
        """
        dropped: Interrupt | None = None
        same = self._same(interrupt) if interrupt.policy == "coalesce" else None
        if same is not None:
            interrupt.seq = same.seq
        else:
            self.last_seq += 1
            interrupt.seq = self.last_seq
            if interrupt.policy == "drop_oldest" and self._full(interrupt.source):
                dropped = next((i for i in self._items.values() if i.source == interrupt.source), None)
            if dropped is not None:
                del self._items[dropped.seq]
            else:
                self._counts[interrupt.source] += 1
        self._items[interrupt.seq] = interrupt
        self._changed.set()
        if self.on_put is not None:
            self.on_put(interrupt)
        return dropped

    def _full(self, source: str) -> bool:
        return len(self._items) >= CAPACITY or self._counts[source] >= PER_SOURCE

    def restore(self, interrupts: Collection[Interrupt], delivered: Collection[int], last_seq: int) -> None:
        """Queue what the journal knows, in order. `delivered` are the seqs that will be taken by `take_seqs`.

        A source's policy is not kept, so what it sends after a crash may take the
        place of what it sent before.
        """
        for interrupt in interrupts:
            if interrupt.seq in delivered:
                self._past[interrupt.seq] = interrupt
            else:
                self._items[interrupt.seq] = interrupt
                self._counts[interrupt.source] += 1
        self.last_seq = last_seq
        self._changed.set()

    def take(self) -> list[Interrupt]:
        """Take all that waits, the most urgent first."""
        items = sorted(self._items.values(), key=lambda item: _RANK[item.priority])
        self._items.clear()
        self._counts.clear()
        self._make_room()
        return items

    def take_seqs(self, seqs: list[int]) -> list[Interrupt]:
        """Take just these, in this order: what an earlier delivery took."""
        return [self._past.pop(seq) for seq in seqs if seq in self._past]

    def close(self) -> None:
        """Take nothing more: the run has ended. Whoever waits for room goes on."""
        self.closed = True
        self._make_room()

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.set()
