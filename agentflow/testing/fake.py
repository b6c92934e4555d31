"""An Endpoint for tests whose model is a script or a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

from agentflow.builtin.scripted import ScriptedModel, ScriptedReply, ScriptedStream
from agentflow.endpoints import (
    Allowance,
    Capabilities,
    Endpoint,
    Price,
    ReplyCache,
    Retry,
    Scheduler,
    Timeouts,
)
from agentflow.endpoints.embeddings import Embeddings, Observe
from agentflow.runtime.resources import Resources
from agentflow.testing.answers import Answer, as_reply
from agentflow.testing.vectors import bag_of_words
from agentflow_protocols.chat.messages import ChatRequest, Settings, Usage

__all__ = ["FakeEndpoint", "FakeOptions"]


class FakeOptions(TypedDict, total=False):
    """The options of an Endpoint that a fake takes, too."""

    requests_per_minute: float | None
    tokens_per_minute: float | None
    concurrency: int | None
    settings: Settings | None
    price: Price | None
    retry: Retry | int | None
    timeouts: Timeouts | None
    fallback: Sequence[Endpoint]
    scheduler: Scheduler | None
    hedge: float | None
    cache: ReplyCache | None
    allowance: Allowance | None


class FakeEndpoint(Endpoint):
    """Answer by `script`: a list of answers used in order, or a function of the request.

    An answer is text, calls, a `ScriptedReply`, a mapping as in a script file, or an
    `EndpointError` to raise. Embeddings are bags of words. `delay` is the time to the
    first token in seconds; without `tokens_per_second` a reply is written at once. Both
    are on the loop's clock. `requests` holds every request that came.
    """

    def __init__(
        self,
        script: Sequence[Answer] | Callable[[ChatRequest], Answer],
        *,
        delay: float = 0.0,
        tokens_per_second: float | None = None,
        name: str = "fake",
        capabilities: Capabilities | None = None,
        **options: Unpack[FakeOptions],
    ) -> None:
        self.requests: list[ChatRequest] = []
        model = _RecordingModel(script, self.requests, name, delay, tokens_per_second, capabilities)
        super().__init__(model, **options)


class _RecordingModel:
    """A scripted model that writes down what it is asked."""

    def __init__(
        self,
        script: Sequence[Answer] | Callable[[ChatRequest], Answer],
        requests: list[ChatRequest],
        name: str,
        delay: float,
        tokens_per_second: float | None,
        capabilities: Capabilities | None,
    ) -> None:
        replies: Sequence[ScriptedReply] | Callable[[ChatRequest], ScriptedReply]
        if callable(script):
            answer = script

            def replies(request: ChatRequest) -> ScriptedReply:
                return as_reply(answer(request))

        else:
            replies = [as_reply(answer) for answer in script]
        self._requests = requests
        self._scripted = ScriptedModel(
            replies,
            name=name,
            source=name,
            delay=delay,
            tokens_per_second=tokens_per_second,
            capabilities=capabilities,
        )
        self.name = name
        self.capabilities = self._scripted.capabilities

    def open(self, request: ChatRequest, resources: Resources) -> ScriptedStream:
        self._requests.append(request)
        return self._scripted.open(request, resources)

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, resources: Resources, observe: Observe
    ) -> Embeddings:
        tokens = sum(len(text) for text in texts) // 4 + 1
        return Embeddings([bag_of_words(text, dimensions) for text in texts], Usage(tokens, requests=1))
