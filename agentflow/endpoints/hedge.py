"""When a slow request is sent a second time: late, seldom, and only while most are not slow."""

from __future__ import annotations

import bisect
from collections import deque

from agentflow.errors import UserError

__all__ = ["Hedge"]

_KNOWN = 200  # answers by which is judged what is slow
_LEAST = 20


class Hedge:
    """A request without an answer after the time that 95 of 100 need is sent again; the first answer counts.

    `share` bounds the further requests: 0.05 is one in twenty. When the share is used up,
    the slowness is not that of single requests, and nothing is sent twice.
    """

    __slots__ = ("_ordered", "_recent", "sent", "share", "total")

    def __init__(self, share: float) -> None:
        if not 0 < share <= 0.5:
            raise UserError(f"hedge is the share of requests that may be sent twice, up to 0.5, not {share}")
        self.share = share
        self.total = 0
        """Requests."""
        self.sent = 0
        """Those of them that were sent again."""
        self._recent: deque[float] = deque()
        self._ordered: list[float] = []

    def delay(self) -> float | None:
        """Count a request; return the seconds after which it is slow, None when it is sent once."""
        self.total += 1
        if len(self._ordered) < _LEAST or not self._has_room:
            return None
        return self._ordered[int(0.95 * (len(self._ordered) - 1))]

    def take(self) -> bool:
        """Count a further request; False when the share is used up."""
        if not self._has_room:
            return False
        self.sent += 1
        return True

    @property
    def _has_room(self) -> bool:
        return self.sent + 1 <= self.share * self.total

    def took(self, seconds: float) -> None:
        """Learn the time to a first token."""
        self._recent.append(seconds)
        bisect.insort(self._ordered, seconds)
        if len(self._recent) > _KNOWN:
            old = self._recent.popleft()
            del self._ordered[bisect.bisect_left(self._ordered, old)]
