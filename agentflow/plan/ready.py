"""Who goes next: steps that are ready, by urgency, where what they need is free."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

__all__ = ["Needs", "ReadyQueue", "needs_of"]

Needs = tuple[tuple[str, int], ...]
"""What a step takes of which resources, in the order of their names."""


def needs_of(resources: Mapping[str, int]) -> Needs:
    """Return a step's needs in the form that queues compare."""
    if not resources:
        return ()
    return tuple(sorted((name, units) for name, units in resources.items() if units))


class ReadyQueue:
    """A heap for each kind of needs: what does not fit holds up nobody who does."""

    __slots__ = ("_heaps", "_size", "free")

    def __init__(self, resources: Mapping[str, int]) -> None:
        self.free = dict(resources)
        self._heaps: dict[Needs, list[tuple[float, int]]] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many steps are ready."""
        return self._size

    def push(self, step: int, urgency: float, needs: Needs) -> None:
        """Add a step that is ready."""
        heap = self._heaps.get(needs)
        if heap is None:
            heap = self._heaps[needs] = []
        heapq.heappush(heap, (-urgency, step))
        self._size += 1

    def pop(self) -> int | None:
        """Take the most urgent step that can start, and what it needs; None when none can."""
        best: Needs | None = None
        first: tuple[float, int] | None = None
        for needs, heap in self._heaps.items():
            if heap and (first is None or heap[0] < first) and (not needs or self._fits(needs)):
                best, first = needs, heap[0]
        if best is None:
            return None
        self._size -= 1
        for name, units in best:
            self.free[name] -= units
        return heapq.heappop(self._heaps[best])[1]

    def release(self, needs: Needs) -> None:
        """Give back what a step had taken."""
        for name, units in needs:
            self.free[name] += units

    def drop(self, step: int, needs: Needs) -> None:
        """Take a step out that shall not start, if it is still here."""
        heap = self._heaps[needs]
        kept = [item for item in heap if item[1] != step]
        self._size -= len(heap) - len(kept)
        heapq.heapify(kept)
        heap[:] = kept

    def _fits(self, needs: Needs) -> bool:
        return all(self.free[name] >= units for name, units in needs)
