"""A model behind a server that counts requests on the loop's clock: by bucket, sliding or fixed windows."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from typing import Literal, TypeAlias

from agentflow.endpoints import Capabilities, Head
from agentflow.endpoints.faults import classify
from agentflow.errors import EndpointUnavailable
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat import ChatRequest, Message, Reply, TextPiece, Usage
from agentflow_protocols.chat.server_error import ServerError

__all__ = ["FORMS", "Counter", "Form", "LimitedModel", "LimitedStream", "most_in_window"]

Form: TypeAlias = Literal["bucket", "sliding", "fixed"]
FORMS: tuple[Form, ...] = ("bucket", "sliding", "fixed")


class Counter:
    """Counts up to `limit` a minute. `take` says whether one may come, what is left, when it is whole."""

    def __init__(self, form: Form | str, limit: float) -> None:
        self.form, self.limit = form, limit
        self.level, self.at = float(limit), 0.0
        self.recent: deque[float] = deque()
        self.window, self.count = -1, 0

    def take(self, now: float) -> tuple[bool, float, float]:
        """Return whether a request may come now, what is left, and the seconds until it is whole again."""
        if self.form == "bucket":
            self.level = min(self.limit, self.level + (now - self.at) * self.limit / 60)
            self.at = now
            good = self.level >= 1 - 1e-9
            self.level -= good
            return good, max(0.0, self.level), (self.limit - self.level) * 60 / self.limit
        if self.form == "sliding":
            while self.recent and self.recent[0] <= now - 60:
                self.recent.popleft()
            good = len(self.recent) < self.limit
            if good:
                self.recent.append(now)
            left = self.limit - len(self.recent)
            return good, left, (self.recent[0] + 60 - now) if self.recent else 0.0
        if now // 60 != self.window:
            self.window, self.count = int(now // 60), 0
        good = self.count < self.limit
        self.count += good
        return good, self.limit - self.count, 60 - now % 60


class LimitedModel:
    """Answers after `seconds`, more or less by `jitter`; refuses with 429 what the counter refuses.

    It tells its limits in headers if `tells`; `lies` are headers that replace them. Of the
    requests that it takes, `faults` fail with 503, and `stragglers` take `slow` times as long.
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
    ) -> None:
        self.faults, self.stragglers, self.slow = faults, stragglers, slow
        self.counter, self.seconds, self.tells, self.jitter = counter, seconds, tells, jitter
        self.lies: dict[str, str] = {}
        self.random = random.Random(7)
        self.good: list[float] = []
        self.refused: list[float] = []
        self.running = self.most = 0

    def open(self, request: ChatRequest, resources: Resources) -> LimitedStream:
        """Return the stream of a reply."""
        return LimitedStream(self)


class LimitedStream:
    """One reply, or refusal, of a `LimitedModel`."""

    def __init__(self, model: LimitedModel) -> None:
        self.model = model
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
        good, left, reset = model.counter.take(now)
        headers = {}
        if model.tells:
            headers = {
                "x-ratelimit-limit-requests": str(int(model.counter.limit)),
                "x-ratelimit-remaining-requests": str(int(left)),
                "x-ratelimit-reset-requests": f"{reset:.3f}s",
            }
        headers |= model.lies
        model.running += 1
        model.most = max(model.most, model.running)
        try:
            if not good:
                await asyncio.sleep(0.02)
                model.refused.append(now)
                headers["retry-after"] = str(max(1, int(min(reset, 60 / model.counter.limit) + 0.999)))
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
        self._reply = Reply(Message("assistant", "ok"), Usage(10, 2, requests=1), "stop", model.name)
        return TextPiece("ok")

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
