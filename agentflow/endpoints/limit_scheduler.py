"""Keep below limits that were given, and below those that a server's answers teach.

Requests pass a pace at a margin below each limit, and what a response says is left caps
them. Tokens are reserved before a request and settled by its usage. Waiting requests
queue by priority and in fair turns. All is driven by events and by timers of the loop.

Without a given limit, `learn` sends one request first and goes on by what its answer
says; where answers say nothing, the rate of requests and the number under way are found
by trying.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agentflow.endpoints.concurrency import Ceiling
from agentflow.endpoints.faults import retry_after
from agentflow.endpoints.found import RateSearch
from agentflow.endpoints.gate import Gate, units_of
from agentflow.endpoints.learned import tells_limits
from agentflow.endpoints.pace import TokenWindow
from agentflow.endpoints.queue import FairQueue
from agentflow.endpoints.scheduler import Limits, Permit
from agentflow.endpoints.standing import Source, Standing
from agentflow_protocols.chat.limits import Dimension, read_limits
from agentflow_protocols.chat.messages import Usage

__all__ = ["LimitScheduler", "SchedulerStats"]

_REFUSALS = (429, 503, 529)
_RECENT = 20  # answers by which a server counts as refusing
_LEAST_PAUSE_S = 0.25
_FOREVER = float("inf")


@dataclass(slots=True)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    granted: asyncio.Future[Permit]
    cost: int
    output: int
    priority: int = 0
    parent: LimitScheduler | None = None


@dataclass(slots=True)
class SchedulerStats:
    """What a scheduler has seen: responses, and those that refused for the rate (429, 529)."""

    responses: int = 0
    refused: int = 0
    by_status: dict[int, int] = field(default_factory=dict)


class LimitScheduler:
    """Keep `limits`, and with `learn` those that answers tell. Several event loops may use it at once.

    One request goes first, to learn from its answer, unless `probe` is False. Without `refunds`
    reserved tokens stay spent, as for a server that counts what a reply may have.
    """

    def __init__(
        self, limits: Limits, *, learn: bool = False, refunds: bool = True, probe: bool = True
    ) -> None:
        self._refunds = refunds
        self._lock = threading.RLock()
        self._queue: FairQueue[_Waiter] = FairQueue()
        self._claim: tuple[_Waiter, _Waiter] | None = None  # who is next here, and its turn at its parent
        self._running = 0
        self._sent = 0
        self._sent_tokens = 0
        self._gates: dict[Dimension, Gate] = {}
        self._window: TokenWindow | None = None
        self._learn = learn
        self._paced = not probe or limits.requests_per_minute is not None  # so the rate is known
        self._ceiling = None if not learn else Ceiling(Ceiling.MOST) if self._paced else Ceiling()
        self._probing = learn and probe
        self._search: RateSearch | None = None
        self._paused_until = 0.0
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._timer: asyncio.TimerHandle | None = None
        self.stats = SchedulerStats()
        self.change(limits)

    def change(self, limits: Limits) -> None:
        """Keep `limits` from now on."""
        with self._lock:
            self.limits = limits
            given: dict[Dimension, float | None] = {
                "requests": limits.requests_per_minute,
                "tokens": limits.tokens_per_minute,
            }
            for dimension, limit in given.items():
                if limit is not None or dimension in self._gates:
                    gate = self._gates.setdefault(dimension, Gate())
                    gate.given = limit
                    gate.keep(limit)
            if limits.tokens_per_minute is None:
                self._window = None
            elif self._window is None:
                self._window = TokenWindow()
            if limits.requests_per_minute is not None:
                self._probing, self._search = False, None
            self._pump()

    async def admit(
        self,
        cost: int,
        priority: int = 0,
        output: int = 0,
        *,
        group: str = "",
        retry: bool = False,
        parent: LimitScheduler | None = None,
    ) -> Permit:
        """Wait until a request of about `cost` tokens, `output` of them written, may go.

        With a `parent` it goes when both let it go. It takes its turn there once it is the next
        here and could go, so that what waits here holds nothing of the parent.
        """
        with self._lock:
            permit = self.try_admit(cost, output, parent=parent)
            if permit is not None:
                return permit
            waiter = self._enqueue(cost, priority, output, group, retry=retry, parent=parent)
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            granted = waiter.granted
            if granted.done() and not granted.cancelled():
                permit = granted.result()
                if parent is not None and permit.above is not None:
                    parent.settle(permit.above, None)
                self.settle(permit, None)
            else:
                with self._lock:
                    self._pump()
            raise

    def _enqueue(
        self,
        cost: int,
        priority: int,
        output: int,
        group: str,
        *,
        retry: bool = False,
        parent: LimitScheduler | None = None,
    ) -> _Waiter:
        loop = asyncio.get_running_loop()
        now = loop.time()
        waiter = _Waiter(loop, loop.create_future(), cost, output, priority, parent)
        self._account(now)
        self._queue.push(waiter, now, priority=priority, group=group, cost=cost, retry=retry)
        self._account(now)
        self._pump()
        return waiter

    def try_admit(self, cost: int, output: int = 0, *, parent: LimitScheduler | None = None) -> Permit | None:
        """Return a permit when such a request may go at once and nobody waits, else None."""
        with self._lock:
            now = asyncio.get_running_loop().time()
            if self._queue or self._claim is not None or self._ready_at(now, cost, output) > now:
                return None
            above = None if parent is None else parent.try_admit(cost, output)
            if parent is not None and above is None:
                return None
            permit = self._take(now, cost, output)
            permit.above = above
            return permit

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Give back the place of `permit`, and the reserved tokens that were not used."""
        if permit.settled:
            return
        permit.settled = True
        with self._lock:
            self._running -= 1
            if usage is not None:
                spare = permit.tokens - usage.total_tokens
                if not self._refunds:
                    spare = min(0, spare)
                permit.tokens -= spare
                self._give_back(permit, "tokens", spare)
                spare_out = permit.output - usage.output_tokens if self._refunds else spare
                self._give_back(permit, "output_tokens", spare_out)
                self._give_back(permit, "input_tokens", spare - spare_out)
                if self._window is not None and permit.used is not None:
                    self._window.give_back(permit.used, spare)
            self._pump()

    def observe(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """Take in the head of a response: what it refuses, and what it says of limits."""
        stats = self.stats
        stats.responses += 1
        stats.by_status[status] = stats.by_status.get(status, 0) + 1
        refused = status in _REFUSALS
        if status in (429, 529):
            stats.refused += 1
        with self._lock:
            loop = _running_loop()
            now = permit.at if loop is None else loop.time()
            empty = tells_limits(headers) and self._learn_from(permit, headers, now, refused)
            self._seek()
            self._recent.append(refused)
            if refused:
                self._refused(now, permit, status, headers, empty)
            elif status < 400:
                self._probing = False
                if self._ceiling is not None:
                    self._ceiling.answered(self._running, now - permit.at)
            self._pump()

    def _seek(self) -> None:
        """Look for the rate by trying, while nothing is given or told that would say it."""
        known = any(gate.given is not None or gate.told for gate in self._gates.values())
        if not self._learn or known or (self._paced and not self.stats.refused):
            self._search = None
        elif self._search is None:
            self._search = RateSearch()
            self._keep_found(self._search)

    def _keep_found(self, search: RateSearch) -> None:
        self._gates.setdefault("requests", Gate()).keep(60.0 * search.rate)

    def _learn_from(self, permit: Permit, headers: Mapping[str, str], now: float, refused: bool) -> bool:
        """Take in what an answer says of limits; return whether one of them is used up."""
        empty = False
        seen: set[Dimension] = set()
        readings = read_limits(headers, time.time())
        for told in sorted(readings, key=lambda reading: reading.window_s or 60.0):
            needed = units_of(told.dimension, permit.tokens, permit.output) if refused else 1.0
            used_up = told.remaining is not None and told.remaining < max(1.0, needed)
            if told.dimension in seen and not used_up:
                continue  # a longer window binds only when it is used up
            seen.add(told.dimension)
            gate = self._gates.get(told.dimension)
            if gate is None:
                if not self._learn:
                    continue
                gate = self._gates[told.dimension] = Gate()
            if gate.given is None and self._learn and told.limit is not None:
                gate.keep(told.limit * 60.0 / gate.span.seconds(told))
                gate.told = True
            if told.remaining is not None:
                sent = self._sent_since(permit, told.dimension)
                gate.credit.told(told.remaining, sent, now, told.reset_s)
                empty = empty or used_up
        return empty

    def _sent_since(self, permit: Permit, dimension: Dimension) -> float:
        """Return the units that went after the request of `permit`."""
        if dimension == "requests":
            return float(self._sent - permit.number)
        return float(self._sent_tokens - permit.mark) if dimension == "tokens" else 0.0

    def _refused(
        self, now: float, permit: Permit, status: int, headers: Mapping[str, str], empty: bool
    ) -> None:
        """After a refusal: fewer at once, and a pause of all when nothing is left or most are refused."""
        asked = retry_after(headers)
        if self._search is not None and status == 429:
            self._search.refused(now, permit.at, asked)
            return
        wait = max(asked or 0.0, _LEAST_PAUSE_S)
        most = len(self._recent) == _RECENT and sum(self._recent) > 0.6 * _RECENT
        # A lone 503 that asks for no wait is a fault of one request, not a word that there are too many.
        if self._ceiling is not None and (status != 503 or asked is not None or most):
            self._ceiling.refused(now, self._running, max(1.0, now - permit.at))
        if (empty or most) and now >= self._paused_until:
            self._paused_until = now + wait
            self._probing = True

    def _ready_at(self, now: float, cost: int, output: int) -> float:
        """Return when the next request may go; infinity while all places are taken."""
        places = self._places()
        if self._running >= places:
            return _FOREVER
        when = self._paused_until
        if self._search is not None:
            when = max(when, self._search.ready_at())
        for dimension, gate in self._gates.items():
            when = max(when, gate.ready_at(now, units_of(dimension, cost, output)))
        if self._window is not None:
            when = max(when, self._window.ready_at(now, cost, self.limits.tokens_per_minute or 0.0))
        return when

    def _places(self) -> float:
        """Return how many requests may be under way."""
        if self._probing:
            return 1
        if self.limits.concurrency is not None:
            return self.limits.concurrency
        return _FOREVER if self._ceiling is None else max(1, int(self._ceiling.limit))

    def _take(self, now: float, cost: int, output: int, waited: bool = False) -> Permit:
        if self._search is not None and self._search.take(now, waited):
            self._keep_found(self._search)
        self._sent += 1
        self._running += 1
        self._sent_tokens += cost
        permit = Permit(cost, now, output=output, number=self._sent, mark=self._sent_tokens)
        for dimension, gate in self._gates.items():
            gate.take(now, units_of(dimension, cost, output))
        if self._window is not None:
            permit.used = self._window.take(now, cost)
        return permit

    def _give_back(self, permit: Permit, dimension: Dimension, units: float) -> None:
        gate = self._gates.get(dimension)
        if gate is not None:
            gate.give_back(units)
            if permit.waited:
                gate.use.take(-units)

    def standing(self) -> Standing:
        """Return what holds requests up now, and how much of that limit was used."""
        with self._lock:
            now = asyncio.get_running_loop().time()
            waiting, running = self.waiting, self._running
            self._account(now)
            if self._claim is not None and self._claim[0].parent is not None:
                return replace(self._claim[0].parent.standing(), waiting=waiting)
            first = self._queue.first(now) if waiting else None
            if first is None:
                return Standing("replies", waiting=0, running=running, used=self._most_used())
            if running >= self._places():
                source: Source = "found" if self.limits.concurrency is None else "given"
                return Standing("concurrency", self._places(), None, waiting, running, source)
            times = {
                dimension: gate.ready_at(now, units_of(dimension, first.cost, first.output))
                for dimension, gate in self._gates.items()
            }
            if self._window is not None and "tokens" in times:
                limit = self.limits.tokens_per_minute or 0.0
                times["tokens"] = max(times["tokens"], self._window.ready_at(now, first.cost, limit))
            binds = max(times, key=lambda dimension: times[dimension], default=None)
            search = self._search
            paused = max(self._paused_until, search.ready_at() if search is not None else 0.0)
            if paused > now and (binds is None or times[binds] <= paused):
                source = "told" if search is None else "found"
                return Standing("pause", None, self._most_used(), waiting, running, source)
            if binds is None:
                return Standing("replies", waiting=waiting, running=running)
            gate = self._gates[binds]
            pace = None if gate.pace is None else gate.pace.limit
            return Standing(binds, pace, gate.use.share, waiting, running, gate.source)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._queue) + (self._claim is not None)

    def rate_used(self) -> float | None:
        """Return how much of the limit that bound most was used, 0 to 1; None when none ever bound."""
        with self._lock:
            loop = _running_loop()
            if loop is not None:
                self._account(loop.time())
            return self._most_used()

    def _most_used(self) -> float | None:
        return max((share for gate in self._gates.values() if (share := gate.use.share)), default=None)

    def _account(self, now: float) -> None:
        """Let the time that has passed count as used, or not, of each limit."""
        busy = self.waiting > 0
        for gate in self._gates.values():
            gate.use.pass_to(now, None if gate.pace is None else gate.pace.limit, busy)

    def _pump(self) -> None:
        """Grant what may go, in order; arm one timer for the first that may go later."""
        loop = _running_loop()
        while self._queue or self._claim is not None:
            at = 0.0 if loop is None else loop.time()
            fresh = self._search is not None and self._search.pausing
            waiter = self._queue.first(at, fresh=fresh) if self._claim is None else self._claim[0]
            assert waiter is not None
            if waiter.granted.done() or waiter.loop.is_closed():
                self._drop(at, fresh)
                continue
            if waiter.loop is not loop:
                waiter.loop.call_soon_threadsafe(self._pump_locked)
                return
            when = self._ready_at(at, waiter.cost, waiter.output)
            if when > at:
                self._arm(waiter.loop, when)
                return
            above = None
            if waiter.parent is not None:
                above = self._turn_above(at, waiter, waiter.parent, fresh)
                if above is None:
                    break  # its turn there pumps again
            self._account(at)
            if self._claim is None:
                self._queue.pop(at, fresh=fresh)
            self._claim = None
            permit = self._waited(at, waiter.cost, waiter.output)
            permit.above = above
            waiter.granted.set_result(permit)
        if loop is not None:
            self._account(loop.time())
        self._arm(None, 0.0)

    def _turn_above(self, now: float, waiter: _Waiter, parent: LimitScheduler, fresh: bool) -> Permit | None:
        """Return the parent's leave for who is next here; None while its turn has not come there."""
        if self._claim is not None:
            turn = self._claim[1].granted
            return turn.result() if turn.done() and not turn.cancelled() else None
        with parent._lock:
            permit = parent.try_admit(waiter.cost, waiter.output)
            if permit is not None:
                return permit
            turn_of = parent._enqueue(waiter.cost, waiter.priority, waiter.output, f"{id(self)}")
        self._queue.pop(now, fresh=fresh)
        self._claim = (waiter, turn_of)
        turn_of.granted.add_done_callback(lambda _: self._pump_locked())
        return None

    def _drop(self, now: float, fresh: bool) -> None:
        """Leave out the next one, who has gone, and its turn above."""
        if self._claim is None:
            self._queue.pop(now, fresh=fresh)
            return
        (waiter, turn), self._claim = self._claim, None
        if turn.granted.done() and not turn.granted.cancelled() and waiter.parent is not None:
            waiter.parent.settle(turn.granted.result(), None)
        elif not waiter.loop.is_closed():
            turn.granted.cancel()

    def _waited(self, now: float, cost: int, output: int) -> Permit:
        """Take leave for a request that has waited, and count it as use of each limit."""
        permit = self._take(now, cost, output, waited=True)
        permit.waited = True
        for dimension, gate in self._gates.items():
            gate.use.take(units_of(dimension, cost, output))
        return permit

    def _pump_locked(self) -> None:
        with self._lock:
            self._pump()

    def _arm(self, loop: asyncio.AbstractEventLoop | None, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if loop is not None and when != _FOREVER:
            self._timer = loop.call_at(when, self._pump_locked)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
