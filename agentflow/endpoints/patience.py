"""How long an answer is waited for, by how long answers take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentflow.runtime.clock import Guard

__all__ = ["Patience"]


class Patience:
    """A bound in seconds on one attempt, learned from the answers that came.

    It is `factor` times what nineteen of twenty answers took, at least `least` and at most
    `most`, which it is too until twenty have come. Each further attempt of a request is given
    twice the time of the one before, so that an answer that is truly slow comes in the end.
    What is learned holds for the attempts that are under way, too.
    """

    __slots__ = ("_bound", "_fresh", "_took", "_watched", "factor", "least", "most")

    _FEW = 20
    _MANY = 200

    def __init__(self, *, factor: float = 40.0, least: float = 10.0, most: float = 600.0) -> None:
        self.factor = factor
        self.least = least
        self.most = most
        self._took: deque[float] = deque(maxlen=self._MANY)
        self._bound = most
        self._fresh = 0
        self._watched: dict[Guard, tuple[int, float]] = {}

    def took(self, seconds: float) -> None:
        """Take in how long an answer took."""
        self._took.append(seconds)
        self._fresh += 1
        if self._fresh >= self._FEW:
            self._fresh = 0
            slow = sorted(self._took)[int(0.95 * (len(self._took) - 1))]
            self._bound = min(self.most, max(self.least, self.factor * slow))
            now = time.monotonic()
            for guard, (attempt, began) in self._watched.items():
                guard.change(max(0.0, began + self.bound(attempt) - now))

    def bound(self, attempt: int) -> float:
        """Return the seconds that attempt number `attempt`, from 1, may take."""
        return min(self.most, self._bound * 2.0 ** min(attempt - 1, 16))

    @contextmanager
    def watch(self, guard: Guard, attempt: int) -> Iterator[None]:
        """Keep `guard`, which has just begun, at what attempt number `attempt` may take."""
        self._watched[guard] = attempt, time.monotonic()
        try:
            yield
        finally:
            del self._watched[guard]
