"""Who is next when many wait: by class of priority, and within it each group in its turn.

Within a class the groups share by start-time fair queueing: what a group has been served
counts in tokens, so a group of few short requests does not wait behind one of many long
ones. Waiting raises a request by one class every `AGE_S` seconds, so nobody starves.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["AGE_S", "FairQueue"]

T = TypeVar("T")

AGE_S = 30.0


@dataclass(slots=True)
class _Class(Generic[T]):
    """One class: heaps of (finish, number, start, since, item), of retries and others; the groups' marks."""

    again: list[tuple[float, int, float, float, T]] = field(default_factory=list)
    heap: list[tuple[float, int, float, float, T]] = field(default_factory=list)
    finish: dict[str, float] = field(default_factory=dict)
    now: float = 0.0


class FairQueue(Generic[T]):
    """A queue of items with a priority, a group and a cost."""

    def __init__(self) -> None:
        self._classes: dict[int, _Class[T]] = {}
        self._numbers = itertools.count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(
        self,
        item: T,
        now: float,
        *,
        priority: int = 0,
        group: str = "",
        cost: float = 1.0,
        retry: bool = False,
    ) -> None:
        """Queue `item`. A `retry` goes before the others of its class."""
        kind = self._classes.setdefault(priority, _Class())
        start = kind.now if retry else max(kind.now, kind.finish.get(group, 0.0))
        finish = start + max(1.0, cost)
        if not retry:
            kind.finish[group] = finish
        heap = kind.again if retry else kind.heap
        heapq.heappush(heap, (finish, next(self._numbers), start, now, item))
        self._size += 1

    def first(self, now: float, *, fresh: bool = False) -> T | None:
        """Return the item that is next, None when there is none; if `fresh`, retries go last."""
        found = self._next(now, fresh)
        return None if found is None else found[1][0][4]

    def pop(self, now: float, *, fresh: bool = False) -> T:
        """Take the item that is next."""
        found = self._next(now, fresh)
        if found is None:
            raise IndexError("the queue is empty")
        kind, heap = found
        _, _, start, _, item = heapq.heappop(heap)
        self._size -= 1
        kind.now = max(kind.now, start)
        if not kind.heap and not kind.again:
            kind.finish.clear()
            kind.now = 0.0
        return item

    def _next(
        self, now: float, fresh: bool
    ) -> tuple[_Class[T], list[tuple[float, int, float, float, T]]] | None:
        best: tuple[_Class[T], list[tuple[float, int, float, float, T]]] | None = None
        highest = 0.0
        for priority, kind in self._classes.items():
            heap = (kind.heap or kind.again) if fresh else (kind.again or kind.heap)
            if heap:
                rank = priority + (now - heap[0][3]) / AGE_S
                if best is None or rank > highest:
                    best, highest = (kind, heap), rank
        return best
