"""Whether an endpoint is worth asking: closed while it answers, open after it failed for a while."""

from __future__ import annotations

from agentflow.errors import EndpointError, QuotaExhausted

__all__ = ["Breaker"]


class Breaker:
    """Opens after `failures` in a row, or at once when a quota is used up.

    While it is open, requests go to the endpoint's fallbacks at once. After `seconds`,
    which double each time up to `longest`, one request tries again: half open.
    """

    __slots__ = ("_failed", "_longest", "_next", "_open_until", "_seconds", "_trying", "failures")

    def __init__(self, failures: int = 5, seconds: float = 30.0, longest: float = 600.0) -> None:
        self.failures = failures
        self._seconds = self._next = seconds
        self._longest = longest
        self._failed = 0
        self._open_until: float | None = None
        self._trying = False

    def state(self, now: float) -> str:
        """Return `closed`, `open`, or `half-open` once it may be tried again."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def allows(self, now: float) -> bool:
        """Return whether a request may go; of those that come half open, only the first."""
        state = self.state(now)
        if state == "half-open" and not self._trying:
            self._trying = True
            return True
        return state == "closed"

    def worked(self) -> None:
        """Take in an answer."""
        self._failed, self._open_until, self._trying, self._next = 0, None, False, self._seconds

    def failed(self, now: float, error: EndpointError) -> None:
        """Take in that an endpoint gave up on a request."""
        self._failed += 1
        if isinstance(error, QuotaExhausted) or self._trying or self._failed >= self.failures:
            self._open_until = now + self._next
            self._next = min(2 * self._next, self._longest)
            self._trying = False

    def left(self) -> None:
        """Take in that the request that tried it was given up by who asked."""
        self._trying = False
