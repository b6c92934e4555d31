"""A model behind a server that counts requests on the loop's clock: by bucket, sliding or fixed windows."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import Literal, TypeAlias

from agentflow.endpoints import Capabilities, Head
from agentflow.endpoints.faults import classify
from agentflow.endpoints.price import estimate_input
from agentflow.errors import EndpointUnavailable
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat import ChatRequest, Message, Reply, TextPiece, Usage
from agentflow_protocols.chat.server_error import ServerError

__all__ = ["FORMS", "Counter", "Form", "Lengths", "LimitedModel", "LimitedStream", "most_in_window"]

Form: TypeAlias = Literal["bucket", "sliding", "fixed"]
FORMS: tuple[Form, ...] = ("bucket", "sliding", "fixed")


class Counter:
    """Counts up to `limit` units a minute. `take` says if some may come, what is left, when it is whole."""

    def __init__(self, form: Form | str, limit: float) -> None:
        self.form, self.limit = form, limit
        self.level, self.at = float(limit), 0.0
        self.recent: deque[tuple[float, float]] = deque()
        self.window, self.count = -1, 0.0

    def take(self, now: float, units: float = 1) -> tuple[bool, float, float]:
        """Return whether `units` may come now, what is left, and the seconds until it is whole again."""
        if self.form == "bucket":
            self.level = min(self.limit, self.level + (now - self.at) * self.limit / 60)
            self.at = now
            good = self.level >= units - 1e-9
            self.level -= units * good
            return good, max(0.0, self.level), (self.limit - self.level) * 60 / self.limit
        if self.form == "sliding":
            while self.recent and self.recent[0][0] <= now - 60:
                self.count -= self.recent.popleft()[1]
            good = self.count + units <= self.limit
            if good:
                self.recent.append((now, units))
                self.count += units
            return good, self.limit - self.count, (self.recent[0][0] + 60 - now) if self.recent else 0.0
        if now // 60 != self.window:
            self.window, self.count = int(now // 60), 0
        good = self.count + units <= self.limit
        self.count += units * good
        return good, self.limit - self.count, 60 - now % 60

    def wait(self, now: float, units: float, reset: float) -> float:
        """Return the seconds to wait before `units` may come, as a server says it."""
        if self.form == "bucket":
            return (units - self.level) * 60 / self.limit
        over = self.count + units - self.limit
        for at, amount in self.recent:
            over -= amount
            if over <= 0:
                return at + 60 - now
        return reset


class Lengths:
    """How long prompts and replies are: a seeded draw for each request."""

    def __init__(self, most: int) -> None:
        self._random, self._most = random.Random(11), most

    def written(self) -> int:
        """Return the tokens of the next reply, at most so many."""
        return self._random.randint(self._most // 10, self._most)


class LimitedModel:
    """Answers after `seconds`, more or less by `jitter`; refuses with 429 what the counter refuses.

    It tells its limits in headers if `tells`; `lies` are headers that replace them. Of the
    requests that it takes, `faults` fail with 503, and `stragglers` take `slow` times as long.
    With `tokens` it also counts those: of prompt and reply, or with `reserves` of prompt and
    `max_tokens`, as some services do.
    """

    name = "limited"
    capabilities = Capabilities()

    def __init__(
        self,
        counter: Counter,
        *,
        seconds: float = 0.5,
        tells: bool = True,
        jitter: float = 0.5,
        faults: float = 0.0,
        stragglers: float = 0.0,
        slow: float = 30.0,
        tokens: Counter | None = None,
        reserves: bool = False,
    ) -> None:
        self.tokens, self.reserves = tokens, reserves
        self.lengths = Lengths(200)
        self.charged: list[tuple[float, float]] = []
        self.faults, self.stragglers, self.slow = faults, stragglers, slow
        self.counter, self.seconds, self.tells, self.jitter = counter, seconds, tells, jitter
        self.lies: dict[str, str] = {}
        self.random = random.Random(7)
        self.good: list[float] = []
        self.refused: list[float] = []
        self.running = self.most = 0

    def open(self, request: ChatRequest, resources: Resources) -> LimitedStream:
        """Return the stream of a reply."""
        return LimitedStream(self, request)


class LimitedStream:
    """One reply, or refusal, of a `LimitedModel`."""

    def __init__(self, model: LimitedModel, request: ChatRequest) -> None:
        self.model = model
        self._usage = Usage(10, 2, requests=1)
        self._charge = 12
        if model.tokens is not None:
            asked, most = estimate_input(request), request.settings.max_tokens or 200
            self._usage = Usage(asked, min(most, model.lengths.written()), requests=1)
            self._charge = asked + most if model.reserves else self._usage.total_tokens
        self.head: Head | None = None
        self._reply: Reply | None = None

    @property
    def reply(self) -> Reply:
        """The reply."""
        assert self._reply is not None
        return self._reply

    def __aiter__(self) -> LimitedStream:
        """Return itself."""
        return self

    async def __anext__(self) -> TextPiece:
        """Return the reply's text, or raise the refusal."""
        model = self.model
        if self._reply is not None:
            raise StopAsyncIteration
        now = asyncio.get_running_loop().time()
        good, left, reset = self._take(now)
        headers = {}
        if model.tells:
            counted, what = (model.counter, "requests") if model.tokens is None else (model.tokens, "tokens")
            headers = {
                f"x-ratelimit-limit-{what}": str(int(counted.limit)),
                f"x-ratelimit-remaining-{what}": str(int(left)),
                f"x-ratelimit-reset-{what}": f"{reset:.3f}s",
            }
        headers |= model.lies
        model.running += 1
        model.most = max(model.most, model.running)
        try:
            if not good:
                await asyncio.sleep(0.02)
                model.refused.append(now)
                wait = min(reset, 60 / model.counter.limit)
                if model.tokens is not None:
                    wait = model.tokens.wait(now, self._charge, reset)
                headers["retry-after"] = str(max(1, int(wait + 0.999)))
                self.head = Head(429, headers)
                raise classify(model.name, 429, ServerError(message="rate limit"), headers)
            model.good.append(now)
            seconds = model.seconds * model.random.uniform(1 - model.jitter, 1 + model.jitter)
            if model.random.random() < model.faults:
                await asyncio.sleep(0.1)
                self.head = Head(503, headers)
                raise EndpointUnavailable(f"{model.name}: status 503", status=503)
            if model.random.random() < model.stragglers:
                seconds *= model.slow
            await asyncio.sleep(seconds)
        finally:
            model.running -= 1
        self.head = Head(200, headers)
        self._reply = Reply(Message("assistant", "ok"), self._usage, "stop", model.name)
        return TextPiece("ok")

    def _take(self, now: float) -> tuple[bool, float, float]:
        model = self.model
        if model.tokens is None:
            return model.counter.take(now)
        taken = model.tokens.take(now, self._charge)
        if taken[0]:
            model.charged.append((now, self._charge))
        return taken

    async def aclose(self) -> None:
        """Leave it."""


def most_in_window(times: Sequence[tuple[float, float]], window: float) -> float:
    """Return the largest sum of amounts within any `window` seconds of `(time, amount)`."""
    most, first, inside = 0.0, 0, 0.0
    for at, amount in times:
        inside += amount
        while times[first][0] <= at - window + 1e-9:
            inside -= times[first][1]
            first += 1
        most = max(most, inside)
    return most
