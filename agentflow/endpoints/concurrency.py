"""How many requests may be under way at once, found by trying: additive up, multiplicative down."""

from __future__ import annotations

__all__ = ["Ceiling"]


class Ceiling:
    """A ceiling that doubles while nothing is refused, and after a refusal finds its place.

    A refusal takes a fifth off, at most once in `cooldown` seconds: one burst of refusals
    is one piece of news. It grows only while it is used to four fifths. What a server
    says about retrying one request has no part in it.
    """

    __slots__ = ("_calm_at", "_searching", "limit")

    _DOWN = 0.8
    _USED = 0.8
    MOST = 10_000.0

    def __init__(self, start: float = 32.0) -> None:
        self.limit = start
        self._searching = True
        self._calm_at = 0.0

    def answered(self, running: int) -> None:
        """Take in a good answer, while `running` requests were under way."""
        if running >= self._USED * self.limit and self.limit < self.MOST:
            self.limit += 1.0 if self._searching else 1.0 / self.limit

    def refused(self, now: float, running: int, cooldown: float) -> None:
        """Take in a refusal for overload or rate."""
        self._searching = False
        if now >= self._calm_at:
            self._calm_at = now + cooldown
            self.limit = max(1.0, min(self.limit, float(max(running, 1))) * self._DOWN)
