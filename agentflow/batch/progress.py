"""How far a batch is: counts, what binds, and when it will be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from agentflow.batch.asking import Outcome
from agentflow.batch.survey import Survey
from agentflow.endpoints import Endpoint
from agentflow.runtime.clock import Clock
from agentflow_protocols.chat import Json

__all__ = ["Progress"]

_SPAN_S = 60.0


class Progress:
    """The counts of one sitting, beside what earlier ones left."""

    def __init__(self, clock: Clock, rate_of: Callable[[str], float | None]) -> None:
        self._clock = clock
        self._rate_of = rate_of
        self._paces: dict[str, tuple[int, float, float]] = {}  # of a queue: requests, the first, the last
        self.prompts = 0
        self.skipped = 0
        self.answered = 0
        self.failed = 0
        self.requests = 0
        self.refused = 0
        self.tokens = 0
        self.cost: float | None = 0.0
        self.errors: dict[str, int] = {}
        self.stopped: str | None = None
        self.says: str | None = None
        self._began = self._clock.time()
        self._ends: deque[tuple[float, int]] = deque()
        self._endpoints: Sequence[Endpoint] = ()

    def begin(self, found: Survey, endpoints: Sequence[Endpoint]) -> None:
        """Take in what there is to do."""
        self.prompts = found.prompts
        self.skipped = found.answered
        self._endpoints = endpoints
        self._began = self._clock.time()

    def count(self, outcome: Outcome) -> None:
        """Take in what came of a prompt."""
        if outcome.failed:
            self.failed += 1
            error = outcome.added["error"]
            kind = str(error["type"]) if isinstance(error, dict) else ""
            self.errors[kind] = self.errors.get(kind, 0) + 1
        else:
            self.answered += 1
        self.requests += outcome.usage.requests
        self.refused += outcome.refused
        self.tokens += outcome.usage.total_tokens
        if outcome.cost is None or self.cost is None:
            self.cost = None
        else:
            self.cost += outcome.cost

    @property
    def done(self) -> int:
        """Prompts that have ended, in this sitting or answered before."""
        return self.skipped + self.answered + self.failed

    def sent(self, queue: str) -> None:
        """Take in that a request goes out."""
        now = self._clock.time()
        count, first, _ = self._paces.get(queue, (0, now, now))
        self._paces[queue] = (count + 1, first, now)

    def rate_used(self) -> float | None:
        """Return how much of the limit that bound most was used, 0 to 1; None without a limit.

        Of limits that were given, by the requests from the first to the last; else as the
        endpoints say.
        """
        shares = [
            min(1.0, (count - 1) * 60.0 / (last - first) / rate)
            for queue, (count, first, last) in self._paces.items()
            if (rate := self._rate_of(queue)) and last > first
        ]
        if shares:
            return max(shares)
        used = [share for endpoint in self._endpoints if (share := endpoint.rate_used()) is not None]
        return max(used, default=None)

    def binds(self) -> str | None:
        """Return what holds the batch up now, in words."""
        if self.says is not None:
            return self.says
        standings = [standing for e in self._endpoints if (standing := e.standing()) is not None]
        waiting = max(standings, key=lambda standing: standing.waiting, default=None)
        return None if waiting is None else str(waiting)

    def eta_s(self) -> float | None:
        """Return the seconds that the rest will take, by the speed of the last minute; None at first."""
        now = self._clock.time()
        ended = self.answered + self.failed
        self._ends.append((now, ended))
        while self._ends[0][0] < now - _SPAN_S:
            self._ends.popleft()
        since, before = self._ends[0]
        speed = (ended - before) / (now - since) if now - since > 2.0 else 0.0
        return (self.prompts - self.done) / speed if speed else None

    def state(self) -> dict[str, Json]:
        """Return the whole for a view."""
        eta = self.eta_s()
        return {
            "prompts": self.prompts,
            "done": self.done,
            "answered": self.skipped + self.answered,
            "failed": self.failed,
            "requests": self.requests,
            "rate_limited": self.refused,
            "tokens": self.tokens,
            "cost": self.cost,
            "wall_s": round(self._clock.time() - self._began, 1),
            "eta_s": None if eta is None else round(eta, 1),
            "binds": self.binds(),
        }
