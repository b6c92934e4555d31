"""Talk: plain requests of a run, each a named step of its journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.errors import BadResponse
from agentflow.runtime.context import Context
from agentflow_protocols.chat import ChatRequest, Json, Message, Settings, Usage
from agentflow_protocols.trace import ModelCalled, ModelFinished

if TYPE_CHECKING:
    from agentflow.endpoints.endpoint import Endpoint
    from agentflow.runtime.resources import Resources

__all__ = ["Talk", "Told"]


@dataclass(slots=True)
class Told:
    """A reply: its text, and what it took."""

    text: str
    usage: Usage
    cost: float | None


class Talk:
    """Ask an endpoint with messages of one's own, where an agent's loop is not wanted.

    In a run each reply is a step, `ask/1`, `ask/2` and so on: after a crash it is read, not asked
    for again, as long as the messages are the same. Without a `context` they are just requests. With
    `silent` a reply that is none (empty, unreadable) even after the endpoint's retries is an empty text.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        context: Context[object] | None = None,
        *,
        name: str = "talk",
        silent: bool = False,
    ) -> None:
        self._silent = silent
        self._endpoint = endpoint
        self._context = context
        self._resources: Resources | None = None if context is None else context.resources
        self._name = name
        self._before: list[dict[str, Json]] = []
        self._asked = 0
        self.replies: list[str] = []
        self.usage = Usage()
        self.cost: float | None = 0.0

    async def ask(self, messages: Sequence[Message], *, output: Mapping[str, Json] | None = None) -> str:
        """Return the text of the reply. `output` is a JSON Schema that it must keep, where it must.

        Raises `EndpointError`; `UserError` when a step of this name had other messages before a crash.
        """
        request = ChatRequest(list(messages), output=output, settings=Settings())
        self._asked += 1
        if self._context is None:
            told = await self._told(request)
        else:
            told = await self._step(self._context, self._asked, request)
        self.replies.append(told.text)
        self.usage.add(told.usage)
        self.cost = None if self.cost is None or told.cost is None else self.cost + told.cost
        return told.text

    async def _step(self, context: Context[object], number: int, request: ChatRequest) -> Told:
        said = [message.to_json() for message in request.messages]
        kept = 0  # a message that the last request had, too, stands in the journal once
        while kept < min(len(said), len(self._before)) and said[kept] == self._before[kept]:
            kept += 1
        self._before = said
        digest = hashlib.sha256(json.dumps([said, request.output]).encode()).hexdigest()[:32]

        async def fetch(kept: int, new: list[dict[str, Json]], digest: str) -> Told:
            context.emit(ModelCalled(self._name, self._endpoint.name, number, len(said)))
            return await self._told(request, context, number)

        told: Told = await context.step(f"ask/{number}", fetch, kept, said[kept:], digest)
        context.budget.charge(told.usage, told.cost)
        return told

    async def _told(
        self, request: ChatRequest, context: Context[object] | None = None, number: int = 1
    ) -> Told:
        try:
            async with self._endpoint.stream(request, resources=self._resources, whole=True) as stream:
                async for _ in stream:
                    pass
        except BadResponse:
            if not self._silent:
                raise
            return Told("", Usage(requests=1), None)
        reply = stream.reply
        if context is not None:
            context.emit(
                ModelFinished(
                    self._name,
                    reply.model or self._endpoint.name,
                    number,
                    reply.finish,
                    reply.usage,
                    stream.cost,
                    stream.first_token_s,
                    stream.seconds,
                )
            )
        return Told(reply.message.text, reply.usage, stream.cost)
