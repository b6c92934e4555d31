"""Endpoint: a model that can be called, with its limits, prices and fallbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from agentflow.endpoints.allowance import Allowance
from agentflow.endpoints.breaker import Breaker
from agentflow.endpoints.cache import ReplyCache
from agentflow.endpoints.decisions import OnEvent
from agentflow.endpoints.embeddings import BATCH, Embeddings, embed
from agentflow.endpoints.hedge import Hedge
from agentflow.endpoints.http_model import HttpModel
from agentflow.endpoints.limit_scheduler import LimitScheduler
from agentflow.endpoints.model import Model
from agentflow.endpoints.patience import Patience
from agentflow.endpoints.pool import Pool, Pooled
from agentflow.endpoints.price import Price, estimate_input, most_output
from agentflow.endpoints.resolve import Address, resolve_model
from agentflow.endpoints.retry import Retry
from agentflow.endpoints.scheduler import LimitChanges, Limits, Scheduler, Unlimited, shared_scheduler
from agentflow.endpoints.standing import Standing
from agentflow.endpoints.stream import EndpointStream
from agentflow.endpoints.transport import Timeouts, Transport
from agentflow.errors import UserError
from agentflow.runtime.clock import current_clock
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.messages import ChatRequest, Json, Message, Reply, Settings, ToolSpec, Usage

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["Endpoint"]


class Endpoint:
    """A model that can be called.

    `model` is `openai:NAME` or another provider's, any NAME with a `base_url`,
    `scripted:FILE`, `builtin:NAME`, `local:NAME`, or a `Model`. A provider's key goes
    to that provider's own host alone; to another `base_url` only what `api_key_env`
    or `api_key` names. The three limits hold together for all endpoints of the
    process that name the same host, key and model; what is not given is learned from the
    server's answers (`learn`: None for servers elsewhere only). `fallback` endpoints are tried in
    order when this one stays unavailable, rate-limited or without quota; when that goes on,
    they are asked at once for a while (see `Breaker`). `hedge` is the share of requests that
    may be sent a second time when they are slow (see `Hedge`); for requests without effects.
    A `cache` answers what was asked before. An `allowance` is what may be spent in all. A `pool` is
    a limit that is shared with other models. Requests of a higher `priority` go first. With
    `patience` an answer that takes far longer than others is asked for again. Nothing is opened,
    read or sent before the first use.
    """

    def __init__(
        self,
        model: str | Model,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api_key_env: str | None = None,
        http_client: AsyncClient | Transport | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        concurrency: int | None = None,
        settings: Settings | None = None,
        price: Price | None = None,
        retry: Retry | int | None = None,
        timeouts: Timeouts | None = None,
        fallback: Sequence[Endpoint] = (),
        capabilities: Capabilities | None = None,
        stream: bool = True,
        scheduler: Scheduler | None = None,
        learn: bool | None = None,
        hedge: float | None = None,
        cache: ReplyCache | None = None,
        allowance: Allowance | None = None,
        pool: Pool | None = None,
        priority: int = 0,
        patience: Patience | None = None,
    ) -> None:
        _check_positive(
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            concurrency=concurrency,
        )
        if api_key is not None and api_key_env is not None:
            raise UserError("give either api_key or api_key_env, not both")
        if isinstance(model, str) and not model.strip():
            raise UserError("the model's name is empty: write `openai:NAME`, or a NAME with base_url")
        self._model = model
        self.timeouts = timeouts or Timeouts()
        named = model if isinstance(model, str) else ""
        self._address = Address(
            named, base_url, api_key, api_key_env, http_client, self.timeouts, capabilities
        )
        self._stream_replies = stream
        self.settings = settings
        self.price = price
        self.retry = Retry.attempts(retry) if isinstance(retry, int) else retry or Retry()
        self.fallback = tuple(fallback)
        self.limits = Limits(requests_per_minute, tokens_per_minute, concurrency)
        self._given_scheduler = scheduler
        self._learn = learn
        self.breaker = Breaker()
        self.cache = cache
        self.allowance = allowance
        self.pool, self.priority, self.patience = pool, priority, patience
        self.hedge = None if hedge is None else Hedge(hedge)
        self._unlimited = Unlimited()
        self._told: LimitScheduler | None = None  # the scheduler that knows these limits
        self._resources: Resources | None = None
        self._typical_output = 256.0

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    @property
    def name(self) -> str:
        """The model's name, as events show it."""
        return self._model if isinstance(self._model, str) else self._model.name

    @cached_property
    def target(self) -> Model:
        """The model itself. Raises `UserError` for a name that is unknown."""
        if not isinstance(self._model, str):
            return self._model
        model = resolve_model(self._address)
        if isinstance(model, HttpModel) and not self._stream_replies:
            model.capabilities = replace(model.capabilities, stream=False)
        return model

    @property
    def capabilities(self) -> Capabilities:
        """What the endpoint can do. Raises `UserError` for a name that is unknown."""
        return self._address.capabilities or self.target.capabilities

    def check(self) -> None:
        """Raise `UserError` for what a first call would: an unknown name, a missing key or file."""
        for endpoint in self.route():
            target = endpoint.target
            if isinstance(target, HttpModel):
                target.headers()

    def cost(self, usage: Usage) -> float | None:
        """Return the USD that `usage` costs here; None when the price is unknown."""
        return None if self.price is None else self.price.cost(usage)

    def stream(
        self,
        request: ChatRequest,
        *,
        resources: Resources | None = None,
        on_event: OnEvent | None = None,
        priority: int = 0,
        whole: bool = False,
    ) -> EndpointStream:
        """Return the stream of the reply to `request`; use it by `async with`, then `async for`.

        `resources` own the connections; without them, and outside `async with
        endpoint`, the stream opens a connection of its own. `on_event` is told each
        decision on the request. `priority` is added to the endpoint's and the request's own.
        A `whole` reply is given once all of it has come, and asked for again where it breaks off.
        """
        owned = resources or self._resources
        return EndpointStream(
            self,
            request,
            owned or Resources(),
            owns_resources=owned is None,
            on_event=on_event,
            priority=priority,
            whole=whole,
        )

    async def complete(
        self,
        messages: str | Sequence[Message],
        *,
        tools: Sequence[ToolSpec] = (),
        output: Mapping[str, Json] | None = None,
        settings: Settings | None = None,
        resources: Resources | None = None,
    ) -> Reply:
        """Return the whole reply to `messages`, or to one user message of that text.

        `output` is a JSON Schema that the reply's text shall follow. Raises `EndpointError`.
        """
        if isinstance(messages, str):
            messages = [Message("user", messages)]
        request = ChatRequest(messages, tools=tools, output=output, settings=settings or Settings())
        async with self.stream(request, resources=resources, whole=True) as stream:
            async for _ in stream:
                pass
        return stream.reply

    async def embed(
        self,
        texts: Sequence[str],
        *,
        dimensions: int | None = None,
        batch: int = BATCH,
        resources: Resources | None = None,
    ) -> Embeddings:
        """Return a vector of floats for each of `texts`, `batch` of them in a request.

        The same limits, retries and connections serve as for replies. `dimensions` asks for
        shorter vectors, where the model has them. Raises `EndpointError`, and `UserError`
        for a model that makes none.
        """
        owned = resources or self._resources
        used = owned or Resources()
        try:
            return await embed(self, texts, dimensions, batch, used)
        finally:
            if owned is None:
                await used.aclose()

    async def __aenter__(self) -> Endpoint:
        """Keep connections open for the calls in the block."""
        if self._resources is not None:
            raise UserError(f"{self.name}: the endpoint is open already")
        self._resources = Resources()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        resources, self._resources = self._resources, None
        if resources is not None:
            await resources.aclose()

    def route(self) -> list[Endpoint]:
        """Return the endpoints in the order they are tried: this one, then its fallbacks."""
        found: list[Endpoint] = []
        waiting = [self]
        while waiting:
            endpoint = waiting.pop(0)
            if endpoint not in found:
                found.append(endpoint)
                waiting[:0] = endpoint.fallback
        return found

    def scheduler(self) -> Scheduler:
        """Return what decides when a request of this endpoint may go, on the running loop."""
        own = self._scheduler()
        return own if self.pool is None else Pooled(self.pool.scheduler(), own)

    def standing(self) -> Standing | None:
        """Return what binds requests now, its own limits or its pool's; None without any limit."""
        own = self._scheduler()
        if isinstance(own, LimitScheduler):
            return own.standing()
        return None if self.pool is None else self.pool.standing()

    def rate_used(self) -> float | None:
        """Return how much of the limit that bound most was used, 0 to 1; None when none ever bound."""
        own = self._scheduler()
        shares = [own.rate_used() if isinstance(own, LimitScheduler) else None]
        shares.append(None if self.pool is None else self.pool.scheduler().rate_used())
        return max((share for share in shares if share is not None), default=None)

    def change(self, **limits: Unpack[LimitChanges]) -> None:
        """Keep other limits from now on, for requests that wait too: `change(requests_per_minute=300)`.

        What is not named stays; None lifts a limit. It holds for all endpoints that share it.
        """
        _check_positive(**limits)
        self.limits = replace(self.limits, **limits)
        if self._told is not None:
            self._told.change(self.limits)

    def _scheduler(self) -> Scheduler:
        if self._given_scheduler is not None:
            return self._given_scheduler
        learn = self.learns
        if self.limits == Limits() and not learn:
            return self._unlimited
        refunds = not self.capabilities.reserves_tokens
        paced = self.pool is not None and self.pool.limits.requests_per_minute is not None
        make = partial(LimitScheduler, learn=learn, refunds=refunds, probe=not paced)
        target = self.target
        if isinstance(target, HttpModel):
            self._told = shared_scheduler(target.identity, self.limits, make=make, told=self._told)
        elif current_clock().kind != "wall":
            self._told = shared_scheduler(self, self.limits, make=make, told=self._told)
        elif self._told is None:
            self._told = make(self.limits)
        return self._told

    @cached_property
    def learns(self) -> bool:
        """Whether limits are learned from answers: unless told, those of servers elsewhere."""
        if self._learn is not None:
            return self._learn
        return isinstance(self.target, HttpModel) and not self.target.is_near

    def expected_tokens(self, request: ChatRequest) -> tuple[int, int]:
        """Return the tokens to reserve for `request`, and how many of them will be written.

        Both are 0 when no limit can ask for them.
        """
        pooled = self.pool is not None and self.pool.limits.tokens_per_minute is not None
        if (
            self.limits.tokens_per_minute is None
            and not pooled
            and self._given_scheduler is None
            and not self.learns
        ):
            return 0, 0
        output = most_output(request.settings) or int(self._typical_output)
        return estimate_input(request) + output, output

    def most_tokens(self, request: ChatRequest) -> tuple[int, int]:
        """Return the most tokens that `request` (two characters each) and its reply should have."""
        typical = 4 * int(self._typical_output)
        return 2 * estimate_input(request), most_output(request.settings) or typical

    def learn(self, usage: Usage) -> None:
        """Learn how long replies are: nine of ten are shorter than the typical output kept here."""
        step = max(8.0, 0.1 * self._typical_output)
        if usage.output_tokens > self._typical_output:
            self._typical_output += 0.9 * step
        else:
            self._typical_output = max(16.0, self._typical_output - 0.1 * step)


def _check_positive(**values: Unpack[LimitChanges]) -> None:
    for what, value in values.items():
        if isinstance(value, (int, float)) and not value > 0:
            raise UserError(f"{what} must be above 0, not {value}")
