"""How many requests may be under way at once, found by trying: additive up, multiplicative down."""

from __future__ import annotations

__all__ = ["Ceiling"]


class Ceiling:
    """A ceiling that doubles while nothing is refused, and after a refusal finds its place.

    A refusal takes a fifth off, at most once in `cooldown` seconds: one burst of refusals
    is one piece of news. It grows only while it is used to four fifths, and not while answers
    take three times as long as they did at best: then more at once only wait at the server. What
    a server says about retrying one request has no part in it.
    """

    __slots__ = ("_best", "_calm_at", "_searching", "_slower", "_took", "limit")

    _FEW = 16  # answers by which a time is known
    _SLOWER = 3.0

    _DOWN = 0.8
    _USED = 0.8
    MOST = 10_000.0

    def __init__(self, start: float = 32.0) -> None:
        self.limit = start
        self._searching = True
        self._calm_at = 0.0
        self._took: list[float] = []
        self._best = float("inf")
        self._slower = False

    def answered(self, running: int, seconds: float) -> None:
        """Take in a good answer that took `seconds`, while `running` requests were under way."""
        self._took.append(seconds)
        if len(self._took) >= self._FEW:
            middle = sorted(self._took)[self._FEW // 2]
            self._best = min(self._best, middle)
            self._slower = middle > self._SLOWER * self._best
            self._took.clear()
        if self._slower:
            return
        if running >= self._USED * self.limit and self.limit < self.MOST:
            self.limit += 1.0 if self._searching else 1.0 / self.limit

    def refused(self, now: float, running: int, cooldown: float) -> None:
        """Take in a refusal for overload or rate."""
        self._searching = False
        if now >= self._calm_at:
            self._calm_at = now + cooldown
            self.limit = max(1.0, min(self.limit, float(max(running, 1))) * self._DOWN)
