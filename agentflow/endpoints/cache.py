"""Replies kept by what was asked, for prompts that come again: opt-in, since samples must stay samples.

Of identical requests at the same time one is sent, and the others take its reply.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import asdict

from pydantic_core import to_json

from agentflow_protocols.chat.messages import ChatRequest, Message, Reply, Usage

__all__ = ["Flight", "ReplyCache"]


class Flight:
    """A request that was sent for all that ask the same. `landed` or `lost` ends it."""

    __slots__ = ("_cache", "_key", "reply")

    def __init__(self, cache: ReplyCache, key: str) -> None:
        self._cache = cache
        self._key = key
        self.reply: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

    def landed(self, reply: Reply) -> None:
        """Keep a whole reply, and give it to those who wait."""
        self._cache.keep(self._key, reply)
        self._end(reply)

    def lost(self) -> None:
        """Let the next of those who wait send the request: this one came to nothing."""
        self._end(None)

    def _end(self, reply: Reply | None) -> None:
        self._cache.flights.pop(self._key, None)
        if not self.reply.done():
            self.reply.set_result(reply)


class ReplyCache:
    """The last `size` whole replies, by content: model, messages, tools, settings, output schema.

    May be shared by endpoints. What was cut, or ended at a limit of tokens or by a filter, is not kept.
    """

    def __init__(self, size: int = 1000) -> None:
        self.size = size
        self.hits = 0
        self.flights: dict[str, Flight] = {}
        self._replies: OrderedDict[str, bytes] = OrderedDict()

    async def take(self, model: str, request: ChatRequest) -> Reply | Flight:
        """Return the kept reply, at no cost; else leave to send the request, to be ended by the caller."""
        key = _key(model, request)
        while True:
            kept = self._replies.get(key)
            if kept is not None:
                self._replies.move_to_end(key)
                self.hits += 1
                return _read(kept)
            flight = self.flights.get(key)
            if flight is None or flight.reply.get_loop() is not asyncio.get_running_loop():
                flight = self.flights[key] = Flight(self, key)
                return flight
            await asyncio.wait((flight.reply,))

    def keep(self, key: str, reply: Reply) -> None:
        """Keep a reply."""
        if reply.finish not in ("stop", "tool_calls"):
            return
        kept = {
            "message": reply.message.to_json(),
            "finish": reply.finish,
            "model": reply.model,
            "stopped": reply.stopped,
            "others": [message.to_json() for message in reply.others],
        }
        self._replies[key] = to_json(kept)
        self._replies.move_to_end(key)
        while len(self._replies) > self.size:
            self._replies.popitem(last=False)


def _read(kept: bytes) -> Reply:
    from pydantic_core import from_json

    data = from_json(kept)
    others = [Message.from_json(message) for message in data["others"]]
    message = Message.from_json(data["message"])
    return Reply(message, Usage(), data["finish"], data["model"], data["stopped"], others)


def _key(model: str, request: ChatRequest) -> str:
    shown = {
        "model": model,
        "messages": [message.to_json() for message in request.messages],
        "tools": [(tool.name, tool.description, tool.parameters) for tool in request.tools],
        "settings": asdict(request.settings),
        "choice": request.tool_choice,
        "output": request.output,
        "prompt": request.prompt,
        "grammar": request.grammar,
    }
    return hashlib.sha256(to_json(shown, fallback=dict)).hexdigest()
