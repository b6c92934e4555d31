"""The rate that a server takes, found by trying where its answers say nothing of limits.

What a server took from one pause to the next, through the time in which it refused, is its
limit: that holds for buckets and for sliding and fixed windows alike. The rate is set to
that, and raised by steps that grow smaller until the server refuses again.
"""

from __future__ import annotations

__all__ = ["RateSearch"]


class RateSearch:
    """Units a second that a silent server takes. A refusal stops all but one probe at a time.

    Refusals of what was under way at the first one are one piece of news. A probe that is
    not refused in the time in which others were ends the pause. Times are in seconds.
    """

    __slots__ = (
        "_every", "_factor", "_held_at", "_late", "_open_at", "_quiet", "_refused_at", "_since",
        "_stepped_at", "_taken", "_taken_at_step", "_wait", "rate", "settled",
    )  # fmt: skip

    _START = 64.0
    _LEAST_WAIT, _MOST_WAIT = 0.25, 8.0  # between two probes
    _LONG_S = 1.0  # a pause from which a window is concluded: a bucket has the next unit before
    _SURE = 30  # units from which a mean is believed
    _LEAST_STEP, _MOST_EVERY = 1.01, 60.0

    def __init__(self) -> None:
        self.rate = self._START
        self.settled = False
        """Whether the server has refused, so that the rate was found by more than hope."""
        self._factor, self._every = 2.0, 1.0  # the next step, and the seconds before it
        self._quiet = 0  # steps without a refusal
        self._since: float | None = None  # when the present stretch began
        self._taken = 0.0  # in it
        self._stepped_at = self._taken_at_step = 0.0
        self._refused_at: float | None = None  # the pause's begin
        self._held_at = 0.0  # when the last probe went, or the pause began
        self._open_at = 0.0  # when the next may go
        self._wait = self._LEAST_WAIT
        self._late = 0.0  # how long refusals take

    @property
    def pausing(self) -> bool:
        """Whether the server has refused, and takes nothing yet for all that is known."""
        return self._refused_at is not None

    def ready_at(self) -> float:
        """Return when the next unit may go, its pace aside."""
        return self._open_at

    def take(self, now: float, waited: bool) -> bool:
        """Let a unit go, that has `waited` or found nobody waiting; return whether the rate has changed."""
        changed = False
        if self._since is None or (not waited and self._refused_at is None):
            self._since, self._taken = now, 0.0  # only while somebody waits it is the server that binds
            self._stepped_at, self._taken_at_step = now, 0.0
        if self._refused_at is not None:
            if self._held_at > self._refused_at:  # a probe went, and was not refused
                changed = self._resume(now)
            else:
                self._held_at, self._open_at = now, now + max(0.05, 3.0 * self._late)
        elif now - self._stepped_at >= self._every:
            changed = self._step(now)
        self._taken += 1.0
        return changed

    def refused(self, now: float, sent_at: float, wait: float | None) -> None:
        """Take in a refusal of what went at `sent_at`; `wait` is what the server asks for."""
        self._taken -= 1.0
        self._late = now - sent_at
        if self._refused_at is None:
            self._refused_at = self._held_at = now
            self._wait = self._LEAST_WAIT
            self._open_at = now + max(self._wait, min(wait or 0.0, self._MOST_EVERY))
        elif sent_at > self._refused_at:  # a probe
            self._wait = min(2.0 * self._wait, self._MOST_WAIT)
            self._held_at = self._refused_at
            self._open_at = now + max(self._wait, min(wait or 0.0, self._MOST_EVERY))

    def _resume(self, now: float) -> bool:
        """End the pause: set the rate by what the server took since the last one."""
        assert self._refused_at is not None
        assert self._since is not None
        paused, span = self._held_at - self._refused_at, self._held_at - self._since
        taken = max(1.0, self._taken - 1.0)  # the probe opens the next stretch
        sure = not self.settled or taken >= self._SURE or span >= self._MOST_EVERY
        if not self.settled:
            self.rate = taken / (span if paused >= self._LONG_S else max(span, self._MOST_EVERY))
        elif sure:
            self.rate = min(self.rate, taken / span)
        elif paused < self._LONG_S:
            self.rate /= self._factor if self._quiet else 1.25
        if self.settled:
            self._factor = max(self._LEAST_STEP, 1.0 + (self._factor - 1.0) / 2.0)
            self._every = min(2.0 * self._every, self._MOST_EVERY)
        if paused >= 10.0 * self._LONG_S:
            self._factor, self._every = min(self._factor, 1.05), self._MOST_EVERY
        if sure:
            self._since, self._taken = self._held_at, 1.0
        self.settled = True
        self._refused_at = None
        self._open_at = 0.0
        self._quiet = 0
        self._stepped_at, self._taken_at_step = now, self._taken
        return True

    def _step(self, now: float) -> bool:
        """Raise the rate, where it was used."""
        used = (self._taken - self._taken_at_step) / ((now - self._stepped_at) * self.rate)
        self._stepped_at, self._taken_at_step = now, self._taken
        if used < 0.8:
            return False
        self.rate *= self._factor
        self._quiet += 1
        if self.settled and self._quiet > 2:
            self._factor = min(2.0, 1.0 + (self._factor - 1.0) * 2.0)
            self._every = max(1.0, self._every / 2.0)
        return True
