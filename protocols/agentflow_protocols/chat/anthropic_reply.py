"""Replies of the Anthropic Messages dialect, streamed and whole. Sans-IO.

A call is ready at its block's end. Signed thinking is kept for the way back (see `anthropic`).
Blocks and events of unknown kinds are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from agentflow_protocols.chat.draft import Draft, EventReader, count, items, json_object, mapping, string
from agentflow_protocols.chat.messages import Delta, Json, Reply, ToolCall, Usage
from agentflow_protocols.chat.server_error import ErrorReply, server_error
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["MessageDecoder", "message_reader", "parse_message"]

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Block:
    """A content block that is being received."""

    __slots__ = ("call", "data", "kind", "pieces", "start")

    def __init__(self, start: Mapping[str, object]) -> None:
        self.kind = string(start.get("type"))
        self.start = start
        self.call = -1
        self.pieces: list[str] = []
        self.data = string(start.get("data")) or string(start.get("signature"))


class MessageDecoder:
    """Read the events of one message."""

    __slots__ = ("_blocks", "_usage", "_waiting", "done", "draft")

    def __init__(self) -> None:
        self.draft = Draft()
        self.done = False
        self._blocks: dict[int, _Block] = {}
        self._usage: dict[str, object] = {}
        self._waiting: list[Json] = []  # signed thinking that no call has followed yet

    def event(self, event: Mapping[str, object], out: list[Delta]) -> None:
        """Add the deltas of one event to `out`. Raises `ErrorReply` for an error."""
        kind = event.get("type")
        if kind == "content_block_delta":
            self._delta(_index(event), mapping(event.get("delta")), out)
        elif kind == "content_block_start":
            self._start(_index(event), mapping(event.get("content_block")), out)
        elif kind == "content_block_stop":
            self._stop(_index(event), out)
        elif kind == "message_start":
            message = mapping(event.get("message"))
            self.draft.model = string(message.get("model"))
            self._count(mapping(message.get("usage")))
        elif kind == "message_delta":
            self._count(mapping(event.get("usage")))
            delta = mapping(event.get("delta"))
            if delta.get("stop_reason"):
                self._close(delta, out)
        elif kind == "message_stop":
            if self.draft.finish is None:
                self._close({}, out)
            self.done = True
        elif kind == "error" or (kind is None and "error" in event):
            raise ErrorReply(server_error(event))

    def end(self, out: list[Delta]) -> None:
        """Do nothing: a message without its stop is cut."""

    def message(self, data: Mapping[str, object]) -> None:
        """Read a whole message."""
        for index, block in enumerate(items(data.get("content"))):
            content = mapping(block)
            self._start(index, content, [])
            if content.get("type") == "tool_use":
                given = json.dumps(content.get("input") or {}, ensure_ascii=False)
                self._blocks[index].pieces = [given]
            self._stop(index, [])
        self.draft.model = string(data.get("model"))
        self._count(mapping(data.get("usage")))
        self._close(data, [])

    def _start(self, index: int, content: Mapping[str, object], out: list[Delta]) -> None:
        if index in self._blocks:
            self._stop(index, out)
        block = self._blocks[index] = _Block(content)
        if block.kind == "tool_use":
            block.call = self.draft.begin(string(content.get("name")), out)
        elif block.kind == "text":
            self.draft.say(string(content.get("text")), out)
        elif block.kind == "thinking":
            self._think(block, string(content.get("thinking")), out)

    def _delta(self, index: int, delta: Mapping[str, object], out: list[Delta]) -> None:
        block = self._blocks.get(index)
        if block is None:
            return
        kind = delta.get("type")
        if kind == "text_delta" and block.kind == "text":
            self.draft.say(string(delta.get("text")), out)
        elif kind == "input_json_delta":
            block.pieces.append(string(delta.get("partial_json")))
        elif kind == "thinking_delta" and block.kind == "thinking":
            self._think(block, string(delta.get("thinking")), out)
        elif kind == "signature_delta":
            block.data += string(delta.get("signature"))

    def _think(self, block: _Block, text: str, out: list[Delta]) -> None:
        block.pieces.append(text)
        self.draft.think(text, out)

    def _stop(self, index: int, out: list[Delta]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.kind == "tool_use":
            self._ready(block, out)
        elif block.kind == "thinking" and block.data:
            text = "".join(block.pieces)
            self._waiting.append({"type": "thinking", "thinking": text, "signature": block.data})
        elif block.kind == "redacted_thinking" and block.data:
            self._waiting.append({"type": "redacted_thinking", "data": block.data})

    def _ready(self, block: _Block, out: list[Delta]) -> None:
        extra: dict[str, Json] | None = None
        if self._waiting:
            extra, self._waiting = {"anthropic": self._waiting}, []
        arguments = "".join(block.pieces)
        given = block.start.get("input")
        if not arguments and given:
            arguments = json.dumps(given, ensure_ascii=False)
        name = string(block.start.get("name"))
        call = ToolCall(string(block.start.get("id")), name, arguments, extra)
        self.draft.ready(block.call, call, out)

    def _close(self, said: Mapping[str, object], out: list[Delta]) -> None:
        for index in list(self._blocks):
            self._stop(index, out)
        draft = self.draft
        draft.finish = _FINISH.get(string(said.get("stop_reason")), "stop")
        if draft.finish == "content_filter":
            details = mapping(said.get("stop_details"))
            why = string(details.get("explanation")) or string(details.get("category"))
            draft.refusal = why or "the model refused"
        if self._waiting:
            draft.extra, self._waiting = {"anthropic": self._waiting}, []

    def _count(self, usage: Mapping[str, object]) -> None:
        """Take in counts: each is the sum so far, and those of the input come once or again."""
        self._usage.update({key: value for key, value in usage.items() if value is not None})
        cached = count(self._usage.get("cache_read_input_tokens"))
        written = count(self._usage.get("cache_creation_input_tokens"))
        details = mapping(self._usage.get("output_tokens_details"))
        self.draft.usage = Usage(
            count(self._usage.get("input_tokens")) + cached + written,
            count(self._usage.get("output_tokens")),
            cached,
            count(details.get("thinking_tokens")),
            1,
        )


def message_reader() -> EventReader:
    """Return a reader of one streamed message."""
    return EventReader(MessageDecoder())


def parse_message(body: bytes) -> Reply:
    """Read a whole, not streamed message.

    Raises `ErrorReply` for an error object, `RemoteProtocolError` for what is no message.
    """
    data = json_object(body)
    if data.get("type") == "error" or data.get("error"):
        raise ErrorReply(server_error(data))
    if not isinstance(data.get("content"), list):
        raise RemoteProtocolError("the reply has no content")
    decoder = MessageDecoder()
    decoder.message(data)
    return decoder.draft.reply(cast("str", decoder.draft.finish))


def _index(event: Mapping[str, object]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0
