"""One reply through an Endpoint: admitted, sent, retried, and passed on as it comes.

Until the first delta a failed attempt is made again, then the fallbacks are tried.
A reply that has begun is never silently begun anew: what came stays in `partial`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from agentflow.endpoints.decisions import Admitted, FellBack, Hedged, OnEvent, Retrying, Waiting
from agentflow.endpoints.faults import is_transient
from agentflow.endpoints.price import estimate_input, estimate_output
from agentflow.endpoints.retry import Attempts
from agentflow.errors import EndpointError, EndpointUnavailable, QuotaExhausted, RateLimited
from agentflow.runtime.clock import Clock, current_clock
from agentflow.runtime.ending import end_all
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.messages import (
    CallReady,
    ChatRequest,
    Delta,
    Message,
    ReasoningPiece,
    Reply,
    TextPiece,
    Usage,
)
from agentflow_protocols.chat.openai_reply import reply_deltas

if TYPE_CHECKING:
    from agentflow.endpoints.allowance import Hold
    from agentflow.endpoints.cache import Flight
    from agentflow.endpoints.endpoint import Endpoint
    from agentflow.endpoints.model import ReplyStream
    from agentflow.endpoints.patience import Patience
    from agentflow.endpoints.scheduler import Permit, Scheduler

__all__ = ["LONG_WAIT_S", "EndpointStream"]

LONG_WAIT_S = 1.0
"""Seconds that a request waits for its turn before that is told."""

_NONE_READY: deque[Delta] = deque(maxlen=0)

_MAY_PASS = (EndpointUnavailable, QuotaExhausted, RateLimited)  # for which fallbacks are asked


class EndpointStream:
    """A reply as it comes: an async context manager and an async iterator of `Delta`.

    Leaving the block early closes the request on the wire. A `whole` reply is given once all of it
    has come, so that a fault in its middle is one before its beginning: it is asked for again.
    """

    critical = False
    """Whether leaving would tear something apart: never, here."""

    def __init__(
        self,
        endpoint: Endpoint,
        request: ChatRequest,
        resources: Resources,
        *,
        owns_resources: bool,
        on_event: OnEvent | None,
        priority: int,
        whole: bool = False,
    ) -> None:
        self._route: Iterator[Endpoint] = iter(endpoint.route())
        self._endpoint = next(self._route)
        self._request = request
        self._resources = resources
        self._owns_resources = owns_resources
        self._on_event = on_event
        self._whole = whole
        self._priority = priority
        self._stream: ReplyStream | None = None
        self._scheduler: Scheduler | None = None
        self._permit: Permit | None = None
        self._clock: Clock | None = None
        self._sent_at = 0.0
        self._began = 0.0
        self._queued = 0.0
        self._deltas: list[Delta] = []
        self._unseen: list[Delta] = []  # of a whole reply that is not whole yet
        self._ready: deque[Delta] = _NONE_READY
        self._reply: Reply | None = None
        self._flight: Flight | None = None
        self._hold: Hold | None = None
        self._closed = False
        self._failed = False
        self.attempts = 0
        """Requests sent so far, with those that failed."""
        self.first_token_s = 0.0
        """Seconds from sending the request that was answered to its first delta."""
        self.seconds = 0.0
        """Seconds from sending it to the reply's end."""

    async def __aenter__(self) -> EndpointStream:
        """Return itself; the request is sent when the first delta is asked for."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the request."""
        await self.aclose()

    def __aiter__(self) -> EndpointStream:
        """Return itself."""
        return self

    async def __anext__(self) -> Delta:
        """Return the next delta.

        Raises `EndpointError` once nothing more can be tried. When deltas were given
        before, it says so, and they are kept in `partial`.
        """
        if self._ready:
            delta = self._ready.popleft()
            self._deltas.append(delta)
            return delta
        if not self._deltas:
            if self._reply is not None or self._closed or self._failed:
                raise StopAsyncIteration
            try:
                delta = await self._begin()
            except BaseException:
                self._failed = True
                raise
        else:
            if self._stream is None:
                raise StopAsyncIteration
            try:
                delta = await self._read(self._stream)
            except StopAsyncIteration:
                await self._finish()
                raise
            except EndpointError as error:
                self._give_back(self.partial.usage)
                await self._close_stream()
                raise self._cut_short(error) from error
        self._deltas.append(delta)
        return delta

    @property
    def model(self) -> str:
        """The name of the model that answers, a fallback's when that one does."""
        return self._endpoint.name

    @property
    def reply(self) -> Reply:
        """The whole reply; before its end, or when it was left, what has come (finish `cut`)."""
        return self._reply if self._reply is not None else self.partial

    @property
    def partial(self) -> Reply:
        """What has come: text, reasoning, complete calls. Its usage may be an estimate."""
        deltas = self._deltas or self._unseen
        text = "".join(d.text for d in deltas if type(d) is TextPiece)
        reasoning = "".join(d.text for d in deltas if type(d) is ReasoningPiece)
        calls = [d.call for d in deltas if type(d) is CallReady]
        message = Message("assistant", text, calls=calls, reasoning=reasoning or None)
        spent: Usage | None = getattr(self._stream, "spent", None)
        return self._counted(Reply(message, replace(spent) if spent else Usage(), "cut", self.model))

    @property
    def cost(self) -> float | None:
        """The USD of the reply; None when the price is unknown."""
        return self._endpoint.cost(self.reply.usage)

    async def aclose(self) -> None:
        """Leave the reply. What is unread is closed on the wire."""
        if self._closed:
            return
        self._closed = True
        self._ready = _NONE_READY
        if self._flight is not None:
            self._flight.lost()
        if self._permit is not None:
            if (self._deltas or self._unseen) and self._reply is None:
                self._reply = self.partial
                self._time()
            self._give_back(self._reply.usage if self._reply else None)
        elif self._hold is not None:  # it waited for its turn
            self._give_back(None)
        try:
            await self._close_stream()
        finally:
            if self._owns_resources:
                await self._resources.aclose()

    async def _begin(self) -> Delta:
        """Return the first delta: of a kept reply, where there is one, else of one that is asked for."""
        endpoint = self._endpoint
        if endpoint.cache is not None and self._flight is None:
            asked = replace(self._request, settings=self._request.settings.over(endpoint.settings))
            found = await endpoint.cache.take(endpoint.name, asked)
            if isinstance(found, Reply):
                self._reply = found
                self._ready = deque(reply_deltas(found))
                if not self._ready:
                    raise StopAsyncIteration
                return self._ready.popleft()
            self._flight = found
        return await self._first()

    async def _first(self) -> Delta:
        """Return the first delta of the first attempt that has one."""
        while True:
            self._pass_over_open()
            breaker = self._endpoint.breaker
            try:
                delta = await self._attempts()
            except StopAsyncIteration:
                breaker.worked()
                await self._finish()
                raise
            except EndpointError as error:
                if isinstance(error, _MAY_PASS):
                    breaker.failed(self._now(), error)
                    if self._next_endpoint(error):
                        continue
                raise
            except BaseException:
                breaker.left()
                raise
            breaker.worked()
            return delta

    async def _attempts(self) -> Delta:
        """Return the first delta of one endpoint, which is asked again as its policy says."""
        attempts: Attempts | None = None
        while True:
            try:
                return await self._attempt()
            except EndpointError as error:
                self._give_back(self.partial.usage if self._unseen else None)
                self._unseen = []
                await self._close_stream()
                attempts = attempts or Attempts(self._endpoint.retry)
                number = attempts.number
                wait = attempts.wait_after(error)
                left = self._left()
                if wait is None or (left is not None and wait >= left):
                    raise
                if self._on_event is not None:
                    self._on_event(Retrying(number, wait, error))
                await asyncio.sleep(wait)

    async def _attempt(self) -> Delta:
        endpoint = self._endpoint
        model = endpoint.target
        request = self._request
        if endpoint.settings is not None:
            request = replace(request, settings=request.settings.over(endpoint.settings))
        if self._clock is None:
            self._clock = current_clock()
            self._began = time.monotonic()
        scheduler = self._scheduler = endpoint.scheduler()
        asked, since = time.monotonic(), self._clock.time()
        if endpoint.allowance is not None:
            most = endpoint.most_tokens(request)
            self._hold = await endpoint.allowance.reserve(endpoint.name, *most, endpoint.price)
        self._permit = await self._admitted(endpoint, scheduler, request)
        self._queued += time.monotonic() - asked
        self._sent_at = self._clock.time()
        if self._on_event is not None:
            self._on_event(Admitted(self._sent_at - since))
        self._stream = model.open(request, self._resources)
        self.attempts += 1
        hedge = endpoint.hedge
        delay = None if hedge is None else hedge.delay()
        try:
            if delay is not None:
                delta = await self._hedged(request, self._stream, self._permit, delay)
            elif endpoint.patience is not None:
                delta = await self._patiently(self._stream, endpoint.patience)
            else:
                delta = await self._read(self._stream)
        finally:
            self._observe(scheduler, self._stream, self._permit)
        self.first_token_s = self._clock.time() - self._sent_at
        if hedge is not None:
            hedge.took(self.first_token_s)
        if self._whole:
            self._ready = await self._rest(self._stream, delta)
        else:
            self._ready = getattr(self._stream, "ready", _NONE_READY)
        return delta

    async def _admitted(self, endpoint: Endpoint, scheduler: Scheduler, request: ChatRequest) -> Permit:
        """Wait for the request's turn; for what, is told once it takes long."""
        cost, output = endpoint.expected_tokens(request)
        if self._on_event is None:
            telling = None
        else:
            permit = scheduler.try_admit(cost, output)
            if permit is not None:
                return permit
            telling = asyncio.get_running_loop().call_later(LONG_WAIT_S, self._waits, endpoint)
        priority = self._priority + request.priority + endpoint.priority
        try:
            return await scheduler.admit(cost, priority, output, group=request.group, retry=self.attempts > 0)
        finally:
            if telling is not None:
                telling.cancel()

    def _waits(self, endpoint: Endpoint) -> None:
        """Tell that the request waits, and for what."""
        if self._on_event is not None:
            standing = endpoint.standing()
            self._on_event(Waiting(endpoint.name, "" if standing is None else str(standing)))

    async def _patiently(self, stream: ReplyStream, patience: Patience) -> Delta:
        """Return the first delta, unless it takes longer than answers do."""
        assert self._clock is not None
        began = time.monotonic()
        try:
            async with self._clock.guard(patience.bound(self.attempts)) as guard:
                with patience.watch(guard, self.attempts):
                    delta = await self._read(stream)
        except TimeoutError:
            seconds = time.monotonic() - began
            raise EndpointUnavailable(
                f"{self.model}: no answer within {seconds:.0f} s, far longer than others took"
            ) from None
        patience.took(time.monotonic() - began)
        return delta

    async def _rest(self, stream: ReplyStream, first: Delta) -> deque[Delta]:
        """Return all deltas that follow the first."""
        self._unseen = [first]
        try:
            while True:
                self._unseen.append(await self._read(stream))
        except StopAsyncIteration:
            rest, self._unseen = deque(self._unseen[1:]), []
            return rest

    def _observe(self, scheduler: Scheduler, stream: ReplyStream | None, permit: Permit | None) -> None:
        head = getattr(stream, "head", None)
        if head is not None and permit is not None:
            scheduler.observe(permit, head.status, head.headers)

    async def _hedged(self, request: ChatRequest, stream: ReplyStream, permit: Permit, delay: float) -> Delta:
        """Return the first delta of the request, or of a second one when it is slow; the other is left."""
        endpoint, scheduler = self._endpoint, self._scheduler
        assert endpoint.hedge is not None
        assert scheduler is not None
        first: asyncio.Task[Delta] = asyncio.create_task(self._read(stream))
        readers: dict[asyncio.Task[Delta], tuple[ReplyStream, Permit]] = {first: (stream, permit)}
        try:
            await asyncio.wait((first,), timeout=delay)
            await asyncio.sleep(0)  # what comes at that very moment has come
            if not first.done() and endpoint.hedge.take():
                further = scheduler.try_admit(*endpoint.expected_tokens(request))
                if further is not None:
                    second = endpoint.target.open(request, self._resources)
                    self.attempts += 1
                    if self._on_event is not None:
                        self._on_event(Hedged(delay))
                    readers[asyncio.create_task(self._read(second))] = (second, further)
            won = await _first_good(readers)
            self._stream, self._permit = readers.pop(won)
            return won.result()
        finally:
            await end_all(readers)
            for left, its in readers.values():
                if left is not self._stream:
                    self._observe(scheduler, left, its)
                    scheduler.settle(its, None)
                    await left.aclose()

    async def _read(self, stream: ReplyStream) -> Delta:
        """Return the stream's next delta, within what is left of the total time."""
        total = self._endpoint.timeouts.total
        if total is None:
            return await stream.__anext__()
        left = total - (time.monotonic() - self._began - self._queued)
        if left > (self._endpoint.timeouts.idle or 0.0) + (self._endpoint.timeouts.first or 0.0):
            # The model's own time-outs end this read before the total time is over.
            return await stream.__anext__()
        assert self._clock is not None
        try:
            async with self._clock.guard(max(left, 0.0)):
                return await stream.__anext__()
        except TimeoutError:
            raise EndpointUnavailable(f"{self.model}: no whole reply within {total:g} s") from None

    def _left(self) -> float | None:
        total = self._endpoint.timeouts.total
        return None if total is None else total - (time.monotonic() - self._began - self._queued)

    def _next_endpoint(self, error: EndpointError | None = None) -> bool:
        """Turn to the next fallback, if there is one."""
        following = next(self._route, None)
        if following is None:
            return False
        if self._on_event is not None:
            self._on_event(FellBack(self._endpoint.name, following.name, error))
        self._endpoint = following
        return True

    def _pass_over_open(self) -> None:
        """Turn to the next fallback while the breaker of this endpoint is open; the last is always asked."""
        while self._endpoint.fallback and not self._endpoint.breaker.allows(self._now()):
            if not self._next_endpoint():
                return

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _finish(self) -> None:
        assert self._stream is not None
        reply = self._counted(self._stream.reply)
        self._reply = reply
        self._time()
        if self._flight is not None:
            self._flight.landed(reply)
            self._flight = None
        self._endpoint.learn(reply.usage)
        self._give_back(reply.usage)
        await self._close_stream()

    def _time(self) -> None:
        if self._clock is not None:
            self.seconds = self._clock.time() - self._sent_at

    def _counted(self, reply: Reply) -> Reply:
        """Fill the gaps of the reply's usage: requests sent, and an estimate of tokens not told."""
        usage = reply.usage
        if not usage.input_tokens and not usage.output_tokens:
            usage.input_tokens = estimate_input(self._request)
            usage.output_tokens = estimate_output(reply)
        usage.requests = self.attempts
        return reply

    def _give_back(self, usage: Usage | None) -> None:
        hold, self._hold = self._hold, None
        if hold is not None and self._endpoint.allowance is not None:
            self._endpoint.allowance.settle(hold, usage)
        permit, self._permit = self._permit, None
        if permit is not None and self._scheduler is not None:
            self._scheduler.settle(permit, usage)

    async def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    def _cut_short(self, error: EndpointError) -> EndpointError:
        if not is_transient(error):
            return error
        return EndpointUnavailable(
            f"{error} (the reply had begun; what came of it is kept)", status=error.status
        )


async def _first_good(readers: Iterable[asyncio.Task[Delta]]) -> asyncio.Task[Delta]:
    """Return the first of `readers` that has a delta; when none has, one of the last to end."""
    waiting = set(readers)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        good = [reader for reader in done if reader.exception() is None]
        if good or not waiting:
            return good[0] if good else done.pop()
