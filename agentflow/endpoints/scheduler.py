"""Decide when a request may go: the seam, and its first form with fixed limits.

`LimitScheduler` keeps a pace, not a count per minute. Requests pass a GCRA gate at
a margin below the limit, with a small burst, which is safe for servers that count
by bucket, by sliding and by fixed windows alike. Tokens are reserved before a
request and settled by its usage; they pass the same kind of gate and, since one
request may be large, a sum over the last minute. Waiting requests queue by
priority, then arrival. Everything is driven by events and by timers of the loop.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agentflow.runtime.clock import current_clock
from agentflow_protocols.chat.messages import Usage

__all__ = [
    "LimitScheduler",
    "Limits",
    "Permit",
    "Scheduler",
    "SchedulerStats",
    "Unlimited",
    "shared_scheduler",
]


@dataclass(slots=True, eq=False)
class Permit:
    """Leave to send one request, given at `at`, with `tokens` reserved for it."""

    tokens: int = 0
    at: float = 0.0
    settled: bool = False


class Scheduler(Protocol):
    """Decides when a request may go. Every attempt, a retry too, asks again."""

    async def admit(self, cost: int, priority: int = 0) -> Permit:
        """Wait until a request of about `cost` tokens may go. A higher `priority` goes first."""

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Give back what `permit` held: its place, and the tokens that were reserved but not used.

        `usage` is None when the request was refused or failed. Call it once for each permit.
        """

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from the head of a response."""


class Unlimited:
    """Let every request go at once."""

    __slots__ = ("_permit",)

    def __init__(self) -> None:
        self._permit = Permit()

    async def admit(self, cost: int, priority: int = 0) -> Permit:
        """Return a permit at once."""
        return self._permit

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Hold nothing, give nothing back."""

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn nothing: there is no limit to keep."""


@dataclass(slots=True, frozen=True)
class Limits:
    """What a scheduler keeps; None is no limit."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrency: int | None = None


@dataclass(slots=True)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    granted: asyncio.Future[Permit]
    cost: int


class _Pace:
    """A generic cell rate gate: `limit` units a minute at a margin, with a burst of 5 % of a second."""

    __slots__ = ("_each", "_slack", "_tat")

    _MARGIN = 0.99

    def __init__(self, limit: float) -> None:
        self._tat = 0.0
        self.change(limit)

    def change(self, limit: float) -> None:
        self._each = 60.0 / (limit * self._MARGIN)
        self._slack = 0.05 * limit / 60.0 * self._each

    def ready_at(self) -> float:
        return self._tat - self._slack

    def take(self, now: float, units: float) -> None:
        self._tat = max(self._tat, now) + units * self._each

    def give_back(self, units: float) -> None:
        self._tat -= units * self._each


@dataclass(slots=True)
class SchedulerStats:
    """What a scheduler has seen: responses, and those that refused for the rate (429, 529)."""

    responses: int = 0
    refused: int = 0
    by_status: dict[int, int] = field(default_factory=dict)


class LimitScheduler:
    """Keep `limits`. May be used by several event loops, one after another or at once."""

    _WINDOW_S = 60.0

    def __init__(self, limits: Limits) -> None:
        self._lock = threading.RLock()
        self._queue: list[tuple[int, int, _Waiter]] = []
        self._numbers = itertools.count()
        self._running = 0
        self._recent: deque[Permit] = deque()
        self._recent_tokens = 0
        self._requests: _Pace | None = None
        self._tokens: _Pace | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.stats = SchedulerStats()
        self.change(limits)

    def change(self, limits: Limits) -> None:
        """Keep `limits` from now on."""
        with self._lock:
            self.limits = limits
            self._requests = _changed(self._requests, limits.requests_per_minute)
            self._tokens = _changed(self._tokens, limits.tokens_per_minute)
            self._pump()

    async def admit(self, cost: int, priority: int = 0) -> Permit:
        """Wait until a request of about `cost` tokens may go. A higher `priority` goes first."""
        loop = asyncio.get_running_loop()
        with self._lock:
            now = loop.time()
            if not self._queue and self._ready_at(now, cost) <= now:
                return self._take(now, cost)
            waiter = _Waiter(loop, loop.create_future(), cost)
            heapq.heappush(self._queue, (-priority, next(self._numbers), waiter))
            self._pump()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            granted = waiter.granted
            if granted.done() and not granted.cancelled():
                self.settle(granted.result(), None)
            else:
                with self._lock:
                    self._pump()
            raise

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Give back the place of `permit`, and the reserved tokens that were not used."""
        if permit.settled:
            return
        permit.settled = True
        with self._lock:
            self._running -= 1
            if self._tokens is not None and usage is not None:
                spare = permit.tokens - usage.total_tokens
                permit.tokens -= spare
                self._tokens.give_back(spare)
                if self._recent and permit.at >= self._recent[0].at:
                    self._recent_tokens -= spare
            self._pump()

    def observe(self, status: int, headers: Mapping[str, str]) -> None:
        """Count the response. The limits stay as they were given."""
        stats = self.stats
        stats.responses += 1
        stats.by_status[status] = stats.by_status.get(status, 0) + 1
        if status in (429, 529):
            stats.refused += 1

    def _ready_at(self, now: float, cost: int) -> float:
        """Return when the next request may go; infinity while all places are taken."""
        limits = self.limits
        if limits.concurrency is not None and self._running >= limits.concurrency:
            return float("inf")
        when = 0.0
        if self._requests is not None:
            when = self._requests.ready_at()
        if self._tokens is not None:
            when = max(when, self._tokens.ready_at(), self._window_at(now, cost))
        return when

    def _window_at(self, now: float, cost: int) -> float:
        """Return when the sum over the last minute has room for `cost` (or is empty, for a larger one)."""
        recent = self._recent
        while recent and recent[0].at <= now - self._WINDOW_S:
            self._recent_tokens -= recent.popleft().tokens
        limit = self.limits.tokens_per_minute or 0.0
        over = self._recent_tokens + cost - limit
        when = 0.0
        for permit in recent:
            if over <= 0:
                break
            over -= permit.tokens
            when = permit.at + self._WINDOW_S
        return when

    def _take(self, now: float, cost: int) -> Permit:
        permit = Permit(cost, now)
        self._running += 1
        if self._requests is not None:
            self._requests.take(now, 1)
        if self._tokens is not None:
            self._tokens.take(now, cost)
            self._recent.append(permit)
            self._recent_tokens += cost
        return permit

    def _pump(self) -> None:
        """Grant what may go, in order; arm one timer for the first that may go later."""
        while self._queue:
            waiter = self._queue[0][2]
            if waiter.granted.done() or waiter.loop.is_closed():
                heapq.heappop(self._queue)
                continue
            if waiter.loop is not _running_loop():
                waiter.loop.call_soon_threadsafe(self._pump_locked)
                return
            now = waiter.loop.time()
            when = self._ready_at(now, waiter.cost)
            if when > now:
                self._arm(waiter.loop, when)
                return
            heapq.heappop(self._queue)
            waiter.granted.set_result(self._take(now, waiter.cost))
        self._arm(None, 0.0)

    def _pump_locked(self) -> None:
        with self._lock:
            self._pump()

    def _arm(self, loop: asyncio.AbstractEventLoop | None, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if loop is not None and when != float("inf"):
            self._timer = loop.call_at(when, self._pump_locked)


def _changed(pace: _Pace | None, limit: float | None) -> _Pace | None:
    if limit is None:
        return None
    if pace is None:
        return _Pace(limit)
    pace.change(limit)
    return pace


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


# Rate limits belong to an account at a server, not to an object of ours: all endpoints of the
# process that name the same one share its state, so it lives here. Keys are kept as hashes.
_wall: dict[Hashable, LimitScheduler] = {}
_virtual: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, LimitScheduler]] = (
    weakref.WeakKeyDictionary()
)


def shared_scheduler(
    identity: Hashable, limits: Limits, *, make: Callable[[Limits], LimitScheduler] = LimitScheduler
) -> LimitScheduler:
    """Return the running process's scheduler for `identity`: (host, key hash, model).

    Wall-clock loops share one, so that a later loop still keeps the pace; a virtual
    loop has its own. The newest `limits` hold.
    """
    wall = current_clock().kind == "wall"
    table = _wall if wall else _virtual.setdefault(asyncio.get_running_loop(), {})
    found = table.get(identity)
    if found is None:
        found = table[identity] = make(limits)
    elif found.limits != limits:
        found.change(limits)
    return found
