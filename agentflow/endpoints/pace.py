"""The two gates of one limit: a pace that keeps below it, and what the server says is left of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["Credit", "Pace", "TokenWindow", "Used"]


class Pace:
    """A generic cell rate gate: `limit` units a minute at a margin, with a burst of 5 % of a second.

    That is safe for servers that count by bucket, by sliding and by fixed windows alike.
    """

    __slots__ = ("_each", "_slack", "_tat", "limit")

    _MARGIN = 0.99

    def __init__(self, limit: float) -> None:
        self._tat = 0.0
        self.change(limit)

    def change(self, limit: float) -> None:
        """Keep below `limit` units a minute from now on."""
        self.limit = limit
        self._each = 60.0 / (limit * self._MARGIN)
        self._slack = 0.05 * limit / 60.0 * self._each

    @property
    def rate(self) -> float:
        """Units a second."""
        return 1.0 / self._each

    def ready_at(self) -> float:
        """Return when the next unit may go."""
        return self._tat - self._slack

    def take(self, now: float, units: float) -> None:
        """Let `units` go."""
        self._tat = max(self._tat, now) + units * self._each

    def give_back(self, units: float) -> None:
        """Take back `units` that were not used after all."""
        self._tat -= units * self._each


class Credit:
    """What is left of a limit, as a response told it: a cap on what may go, never leave to go faster."""

    __slots__ = ("_at", "_left", "_reset_at")

    def __init__(self) -> None:
        self._left: float | None = None
        self._at = 0.0
        self._reset_at: float | None = None

    def told(self, left: float, sent_since: float, now: float, reset_s: float | None) -> None:
        """Take in what a response says is left; `sent_since` are units that went after its request."""
        self._left = left - sent_since
        self._at = now
        self._reset_at = None if reset_s is None else now + reset_s

    def take(self, units: float) -> None:
        """Let `units` go."""
        if self._left is not None:
            self._left -= units

    def give_back(self, units: float) -> None:
        """Take back `units` that were not used after all."""
        if self._left is not None:
            self._left += units

    def ready_at(self, now: float, units: float, rate: float | None) -> float:
        """Return when `units` may go; `rate` is what comes back a second, None when nobody knows."""
        if self._left is None or self._left >= units:
            return 0.0
        if self._reset_at is not None and now >= self._reset_at:
            self._left = None  # whole again, however much that is
            return 0.0
        if rate:
            back = self._at + (units - self._left) / rate
            return back if self._reset_at is None else min(back, self._reset_at)
        if self._reset_at is None:
            self._left = None
            return 0.0
        return self._reset_at


@dataclass(slots=True)
class Used:
    """Units that went at a time."""

    at: float
    units: float


class TokenWindow:
    """The sum of units over the last minute: one large request must not go twice in it."""

    _SECONDS = 60.0

    def __init__(self) -> None:
        self._recent: deque[Used] = deque()
        self._sum = 0.0

    def take(self, now: float, units: float) -> Used:
        """Let `units` go; the value returned is for `give_back`."""
        used = Used(now, units)
        self._recent.append(used)
        self._sum += units
        return used

    def give_back(self, used: Used, units: float) -> None:
        """Take back `units` of what was taken."""
        if self._recent and used.at >= self._recent[0].at:
            self._sum -= units
        used.units -= units

    def ready_at(self, now: float, units: float, limit: float) -> float:
        """Return when there is room for `units` below `limit` (or nothing else, for more than that)."""
        recent = self._recent
        while recent and recent[0].at <= now - self._SECONDS:
            self._sum -= recent.popleft().units
        over = self._sum + units - limit
        when = 0.0
        for used in recent:
            if over <= 0:
                break
            over -= used.units
            when = used.at + self._SECONDS
        return when
