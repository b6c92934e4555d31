"""Replies of the OpenAI Responses dialect, streamed and whole. Sans-IO.

A call is ready when its arguments are done. Encrypted reasoning, and the phase
of a message, are kept for the way back (see `responses`). Events and items of unknown kinds are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from agentflow_protocols.chat.draft import Draft, EventReader, count, items, json_object, mapping, string
from agentflow_protocols.chat.messages import Delta, Json, Reply, ToolCall, Usage
from agentflow_protocols.chat.server_error import ErrorReply, ServerError, server_error
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["ResponseDecoder", "parse_response", "response_reader"]

_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_KEPT = ("type", "id", "summary", "content", "encrypted_content")


class _Item:
    """A function call that is being received."""

    __slots__ = ("id", "index", "name", "pieces")

    def __init__(self, index: int, item: Mapping[str, object]) -> None:
        self.index = index
        self.id = string(item.get("call_id")) or string(item.get("id"))
        self.name = string(item.get("name"))
        self.pieces = [string(item.get("arguments"))]


class ResponseDecoder:
    """Read the events of one response."""

    __slots__ = ("_calls", "_done", "_said", "_waiting", "done", "draft")

    def __init__(self) -> None:
        self.draft = Draft()
        self.done = False
        self._calls: dict[int, _Item] = {}
        self._done: set[int] = set()  # places of calls that are complete
        self._said: set[int] = set()  # places of messages of which something came
        self._waiting: list[Json] = []  # reasoning that no item has followed yet

    def event(self, event: Mapping[str, object], out: list[Delta]) -> None:
        """Add the deltas of one event to `out`. Raises `ErrorReply` for an error."""
        kind = event.get("type")
        place = count(event.get("output_index"))
        if kind == "response.output_text.delta":
            self._say(place, string(event.get("delta")), out)
        elif kind == "response.function_call_arguments.delta":
            if place in self._calls:
                self._calls[place].pieces.append(string(event.get("delta")))
        elif kind == "response.function_call_arguments.done":
            self._ready(place, event, out)
        elif kind == "response.output_item.added":
            self._begin(place, mapping(event.get("item")), out)
        elif kind == "response.output_item.done":
            self._item(place, mapping(event.get("item")), out)
        elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            self.draft.think(string(event.get("delta")), out)
        elif kind == "response.reasoning_summary_part.added":
            if count(event.get("summary_index")):
                self.draft.think("\n\n", out)
        elif kind == "response.refusal.delta":
            self._said.add(place)
            self.draft.refusal += string(event.get("delta"))
        elif kind in _ENDS:
            self._close(mapping(event.get("response")), out)
            self.done = True
        elif kind == "error" or (kind is None and event.get("error")):
            raise ErrorReply(_fault(event))

    def end(self, out: list[Delta]) -> None:
        """Do nothing: a response without its last event is cut."""

    def response(self, data: Mapping[str, object]) -> None:
        """Read a whole response."""
        for place, each in enumerate(items(data.get("output"))):
            item = mapping(each)
            if item.get("type") == "reasoning":
                told = [string(mapping(part).get("text")) for part in items(item.get("summary"))]
                self.draft.think("\n\n".join(told), [])
            self._begin(place, item, [])
            self._item(place, item, [])
        self._close(data, [])

    def _begin(self, place: int, item: Mapping[str, object], out: list[Delta]) -> None:
        if item.get("type") == "function_call" and place not in self._calls and place not in self._done:
            self._calls[place] = _Item(self.draft.begin(string(item.get("name")), out), item)

    def _item(self, place: int, item: Mapping[str, object], out: list[Delta]) -> None:
        """Take in an item that is complete."""
        kind = item.get("type")
        if kind == "function_call":
            self._begin(place, item, out)
            self._ready(place, item, out)
        elif kind == "message":
            if place not in self._said:
                self._message(place, item, out)
            phase = item.get("phase")
            mark: list[Json] = [{"phase": phase}] if isinstance(phase, str) else []
            if self._waiting or mark:
                kept = items((self.draft.extra or {}).get("responses"))
                self.draft.extra = {"responses": [*cast("list[Json]", kept), *self._waiting, *mark]}
                self._waiting = []
        elif kind == "reasoning" and string(item.get("encrypted_content")):
            self._waiting.append({"summary": [], **{k: cast("Json", item[k]) for k in _KEPT if item.get(k)}})

    def _say(self, place: int, text: str, out: list[Delta]) -> None:
        """Add text of the message at `place`; an empty line stands between two messages."""
        if self._said and place not in self._said and text:
            text = f"\n\n{text}"
        self._said.add(place)
        self.draft.say(text, out)

    def _message(self, place: int, item: Mapping[str, object], out: list[Delta]) -> None:
        for each in items(item.get("content")):
            part = mapping(each)
            if part.get("type") == "output_text":
                self._say(place, string(part.get("text")), out)
            elif part.get("type") == "refusal":
                self.draft.refusal += string(part.get("refusal"))

    def _ready(self, place: int, said: Mapping[str, object], out: list[Delta]) -> None:
        call = self._calls.pop(place, None)
        if call is None:
            return
        self._done.add(place)
        arguments = string(said.get("arguments")) or "".join(call.pieces)
        extra: dict[str, Json] | None = None
        if self._waiting:
            extra, self._waiting = {"responses": self._waiting}, []
        self.draft.ready(call.index, ToolCall(call.id, call.name, arguments, extra), out)

    def _close(self, response: Mapping[str, object], out: list[Delta]) -> None:
        status = response.get("status")
        if status in ("failed", "cancelled") or response.get("error"):
            raise ErrorReply(_fault(response) if response.get("error") else ServerError(message=str(status)))
        for place in list(self._calls):
            self._ready(place, {}, out)
        draft = self.draft
        draft.model = string(response.get("model"))
        draft.usage = _usage(mapping(response.get("usage")))
        draft.finish = "stop"
        if status == "incomplete":
            reason = mapping(response.get("incomplete_details")).get("reason")
            draft.finish = "content_filter" if reason == "content_filter" else "length"
            if draft.finish == "content_filter":
                draft.refusal = draft.refusal or "the reply was blocked by the content filter"


def response_reader() -> EventReader:
    """Return a reader of one streamed response."""
    return EventReader(ResponseDecoder())


def parse_response(body: bytes) -> Reply:
    """Read a whole, not streamed response.

    Raises `ErrorReply` for an error object, `RemoteProtocolError` for what is no response.
    """
    data = json_object(body)
    if not isinstance(data.get("output"), list):
        if data.get("error"):
            raise ErrorReply(server_error(data))
        raise RemoteProtocolError("the reply has no output")
    decoder = ResponseDecoder()
    decoder.response(data)
    return decoder.draft.reply(cast("str", decoder.draft.finish))


def _fault(data: Mapping[str, object]) -> ServerError:
    """Return what an error says; one inside a stream has the kind of its event, not of the error."""
    if isinstance(data.get("error"), Mapping):
        return server_error(data)
    return server_error({**data, "type": ""})


def _usage(data: Mapping[str, object]) -> Usage:
    cached = mapping(data.get("input_tokens_details")).get("cached_tokens")
    reasoning = mapping(data.get("output_tokens_details")).get("reasoning_tokens")
    return Usage(
        count(data.get("input_tokens")), count(data.get("output_tokens")), count(cached), count(reasoning), 1
    )
