"""What follows from a plan's order and durations alone: its shortest time, what is critical, who goes first.

Plain lists by step number, since plans may have a hundred thousand steps; no recursion.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from agentflow.errors import UserError
from agentflow.plan.ready import ReadyQueue, needs_of

__all__ = ["Graph", "Slot"]

_SHOWN = 12  # names of a cycle that are told


@dataclass(slots=True, frozen=True)
class Slot:
    """When a step runs, in seconds from the plan's start."""

    step: int
    start: float
    end: float


class Graph:
    """Steps by number: their names, what each comes after, and how long they take (seconds).

    Raises `UserError`, which names a cycle, for an order that is none.
    """

    def __init__(
        self, names: Sequence[str], after: Sequence[Sequence[int]], durations: Sequence[float]
    ) -> None:
        self.names = names
        self.after = after
        self.durations = durations
        self.before: list[list[int]] = [[] for _ in names]
        for step, earlier in enumerate(after):
            for one in earlier:
                self.before[one].append(step)
        self.order = self._order()

    def _order(self) -> list[int]:
        """Return the steps so that each comes after all that it waits for, else by number."""
        missing = [len(earlier) for earlier in self.after]
        ready = [step for step, count in enumerate(missing) if count == 0]
        order: list[int] = []
        for step in ready:  # grows as it is read
            order.append(step)
            for later in self.before[step]:
                missing[later] -= 1
                if missing[later] == 0:
                    ready.append(later)
        if len(order) < len(self.names):
            raise UserError(f"the plan has a cycle: {self._cycle(missing)}; a step can't wait for itself")
        return order

    def _cycle(self, missing: Sequence[int]) -> str:
        """Return a cycle in words, `a -> b -> a`."""
        step = next(number for number, count in enumerate(missing) if count)
        seen: dict[int, int] = {}
        path: list[int] = []
        while step not in seen:
            seen[step] = len(path)
            path.append(step)
            step = next(earlier for earlier in self.after[step] if missing[earlier])
        cycle = [*path[seen[step] :], step][::-1]
        shown = [self.names[number] for number in cycle]
        if len(shown) > _SHOWN:
            shown = [*shown[: _SHOWN - 2], f"({len(shown) - _SHOWN} more)", *shown[-2:]]
        return " -> ".join(shown)

    @cached_property
    def earliest(self) -> list[float]:
        """When each step can start at the soonest, with enough of everything."""
        starts = [0.0] * len(self.names)
        for step in self.order:
            for later in self.before[step]:
                starts[later] = max(starts[later], starts[step] + self.durations[step])
        return starts

    @cached_property
    def makespan(self) -> float:
        """The shortest time for the whole: the longest path."""
        return max((s + d for s, d in zip(self.earliest, self.durations, strict=True)), default=0.0)

    @cached_property
    def ranks(self) -> list[float]:
        """The longest path from each step to the plan's end, its own duration included."""
        ranks = [0.0] * len(self.names)
        for step in reversed(self.order):
            ranks[step] = self.durations[step] + max(
                (ranks[later] for later in self.before[step]), default=0.0
            )
        return ranks

    @cached_property
    def latest(self) -> list[float]:
        """When each step must have started at the latest, for the whole to take no longer."""
        return [self.makespan - rank for rank in self.ranks]

    @cached_property
    def slack(self) -> list[float]:
        """How much later than possible each step may start without a loss; 0 on a critical path."""
        return [late - early for late, early in zip(self.latest, self.earliest, strict=True)]

    @cached_property
    def critical_path(self) -> list[int]:
        """A longest path, from a step that waits for nothing to one that nothing waits for."""
        if not self.names:
            return []
        step = max((s for s in self.order if not self.after[s]), key=lambda s: self.ranks[s])
        path = [step]
        while later := self.before[step]:
            step = max(later, key=lambda s: self.ranks[s])
            path.append(step)
        return path

    def lower_bound(self, needs: Sequence[Mapping[str, int]], resources: Mapping[str, int]) -> float:
        """Return a time below which no schedule can be: the longest path, or the work of a resource."""
        work = dict.fromkeys(resources, 0.0)
        for step, wanted in enumerate(needs):
            for name, units in wanted.items():
                work[name] += units * self.durations[step]
        return max([self.makespan, *(work[name] / units for name, units in resources.items())])

    def schedule(
        self,
        needs: Sequence[Mapping[str, int]],
        resources: Mapping[str, int],
        *,
        urgency: Sequence[float] | None = None,
    ) -> list[Slot]:
        """Return when each step runs where resources are scarce, as the executor would run it.

        Of the steps that are ready, the one with the greatest `urgency` (default: its rank) goes first.
        """
        urgent = self.ranks if urgency is None else urgency
        kinds = [needs_of(wanted) for wanted in needs]
        queue = ReadyQueue(resources)
        missing = [len(earlier) for earlier in self.after]
        for step, count in enumerate(missing):
            if count == 0:
                queue.push(step, urgent[step], kinds[step])
        running: list[tuple[float, int]] = []
        slots: list[Slot] = []
        now = 0.0
        while queue or running:
            while (next_step := queue.pop()) is not None:
                end = now + self.durations[next_step]
                heapq.heappush(running, (end, next_step))
                slots.append(Slot(next_step, now, end))
            now = running[0][0]
            while running and running[0][0] <= now:
                _, step = heapq.heappop(running)
                queue.release(kinds[step])
                for later in self.before[step]:
                    missing[later] -= 1
                    if missing[later] == 0:
                        queue.push(later, urgent[later], kinds[later])
        return slots
