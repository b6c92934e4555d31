"""Replies of Ollama's own dialect, as JSON lines and whole; its vectors of texts. Sans-IO.

Each line has the form of a whole reply, with the next piece; a call comes whole. The last
one says `done`. An error is a line of its own. `/api/generate` differs in the text's name alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic_core import to_json

from agentflow_protocols.chat.draft import Draft, EventReader, count, items, json_object, mapping, string
from agentflow_protocols.chat.embeddings import parse_embeddings
from agentflow_protocols.chat.messages import Delta, Reply, ToolCall, Usage
from agentflow_protocols.chat.ndjson import LineParser
from agentflow_protocols.chat.server_error import ErrorReply, server_error
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["OllamaDecoder", "ollama_reader", "parse_ollama", "parse_ollama_embed"]


class OllamaDecoder:
    """Read the lines of one reply."""

    __slots__ = ("done", "draft")

    def __init__(self) -> None:
        self.draft = Draft()
        self.done = False

    def event(self, event: Mapping[str, object], out: list[Delta]) -> None:
        """Add the deltas of one line to `out`. Raises `ErrorReply` for an error."""
        if event.get("error"):
            raise ErrorReply(server_error(event))
        draft = self.draft
        message = mapping(event.get("message"))
        draft.think(string(message.get("thinking")) or string(event.get("thinking")), out)
        draft.say(string(message.get("content")) or string(event.get("response")), out)
        for each in items(message.get("tool_calls")):
            self._call(mapping(each), out)
        if event.get("done") is True:
            draft.model = string(event.get("model"))
            read, written = count(event.get("prompt_eval_count")), count(event.get("eval_count"))
            draft.usage = Usage(read, written, requests=1)
            draft.finish = "length" if event.get("done_reason") == "length" else "stop"
            self.done = True

    def end(self, out: list[Delta]) -> None:
        """Do nothing: a reply without its last line is cut."""

    def _call(self, call: Mapping[str, object], out: list[Delta]) -> None:
        function = mapping(call.get("function"))
        name = string(function.get("name"))
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments or {}, ensure_ascii=False)
        index = self.draft.begin(name, out)
        self.draft.ready(index, ToolCall(string(call.get("id")), name, arguments), out)


def ollama_reader() -> EventReader:
    """Return a reader of one streamed reply."""
    return EventReader(OllamaDecoder(), LineParser())


def parse_ollama(body: bytes) -> Reply:
    """Read a whole, not streamed reply.

    Raises `ErrorReply` for an error object, `RemoteProtocolError` for what is no reply.
    """
    decoder = OllamaDecoder()
    decoder.event(json_object(body), [])
    if decoder.draft.finish is None:
        raise RemoteProtocolError("the reply is not done")
    return decoder.draft.reply(decoder.draft.finish)


def parse_ollama_embed(body: bytes, count: int) -> tuple[list[list[float]], Usage]:
    """Return the vectors in the order of the texts, and the usage.

    Raises `RemoteProtocolError` for anything but `count` vectors of one length.
    """
    data = json_object(body)
    rows = [{"embedding": row} for row in items(data.get("embeddings"))]
    tokens = {"prompt_tokens": data.get("prompt_eval_count")}
    return parse_embeddings(to_json({"data": rows, "usage": tokens}), count)
