"""Replies of the Chat Completions dialect, streamed and whole. Sans-IO.

Accepted beyond the standard: tool-call deltas without an index, whole calls in
one delta, repeated ids, arguments as an object, `null` everywhere, content as a
list of parts, `reasoning` besides `reasoning_content`, usage in any chunk or
none, an error object in a stream that began with status 200, a missing `[DONE]`.
The deltas are those of the first choice; further ones are in `Reply.others`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pydantic_core import from_json

from agentflow_protocols.chat.messages import (
    CallReady,
    CallStarted,
    Delta,
    Json,
    Message,
    ReasoningPiece,
    Reply,
    TextPiece,
    ToolCall,
    Usage,
)
from agentflow_protocols.chat.scan import JsonScanner, object_fault
from agentflow_protocols.chat.server_error import ErrorReply, server_error
from agentflow_protocols.chat.sse import SseParser
from agentflow_protocols.chat.surrogates import Halves, whole
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["ReplyParser", "parse_reply", "reply_deltas"]

_FINISH = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
}


_CONTENT = re.compile(r'"content": ?"([^"\\]+)"')


class _Call:
    """A call that is being received."""

    __slots__ = ("arguments", "extra", "id", "index", "key", "name", "pieces", "ready", "scanner")

    def __init__(self, index: int, key: object) -> None:
        self.index = index
        self.key = key
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.scanner = JsonScanner()
        self.arguments = ""
        self.ready = False
        self.extra: dict[str, Json] | None = None

    def result(self) -> ToolCall:
        return ToolCall(self.id or f"call_{self.index}", self.name, self.arguments, self.extra)


class ReplyParser:
    """Parse one streamed reply: `feed` bytes until `done` or the stream's end, then `finish`.

    `feed` never raises: a fault ends the reading (`done`) and is raised by `finish`,
    so that no delta received before it is lost.
    """

    __slots__ = (
        "_after",
        "_before",
        "_calls",
        "_events",
        "_finish",
        "_halves",
        "_held",
        "_model",
        "_others",
        "_reasoning",
        "_refusal",
        "_sse",
        "_stopped",
        "_text",
        "_usage",
        "done",
        "fault",
        "started",
    )

    def __init__(self, max_event: int = 16 * 1024 * 1024) -> None:
        self._sse = SseParser(max_event)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_Call] = []
        self._held: _Call | None = None
        self._others: dict[int, ReplyParser] = {}
        self._finish: str | None = None
        self._stopped: str | None = None
        self._model = ""
        self._usage: Mapping[str, object] | None = None
        self._events = 0
        self._before: str | None = None
        self._after = ""
        self._halves: Halves | None = None
        self.started = False
        """Whether any part of a reply has come."""
        self.done = False  # whether nothing more is to be read
        self.fault: RemoteProtocolError | None = None

    def feed(self, chunk: bytes) -> list[Delta]:
        """Return what `chunk` adds to the reply; text that came together is one piece."""
        out: list[Delta] = []
        if self.done:
            return out
        try:
            for data in self._sse.feed(chunk):
                self._event(data, out)
        except RemoteProtocolError as fault:
            self.fault = fault
            self.done = True
        return out

    def end(self) -> list[Delta]:
        """Say that the stream has ended; return what its last, unclosed event adds."""
        out: list[Delta] = []
        if not self.done:
            try:
                for data in self._sse.finish():
                    self._event(data, out)
            except RemoteProtocolError as fault:
                self.fault = fault
        self.done = True
        return out

    def finish(self) -> Reply:
        """Return the whole reply.

        Raises `ErrorReply` when the server sent an error, `RemoteProtocolError` when
        the stream was malformed, empty, or cut before the reply was complete.
        """
        if self.fault is not None:
            raise self.fault
        if not self.started:
            raise RemoteProtocolError("the stream ended without a reply")
        if self._finish is None or any(other._finish is None for other in self._others.values()):
            raise RemoteProtocolError("the stream was cut before the reply ended")
        return self._reply(self._finish)

    def partial(self) -> Reply:
        """Return what has come so far, with finish `cut` and only complete calls."""
        return self._reply("cut")

    def _reply(self, finish: str) -> Reply:
        message = self._message()
        if message.calls and finish == "stop":
            finish = "tool_calls"
        others = [self._others[index]._message() for index in sorted(self._others)]
        return Reply(message, _usage(self._usage), finish, self._model, self._stopped, others)

    def _message(self) -> Message:
        calls = [call.result() for call in self._calls if call.ready]
        return Message(
            "assistant",
            "".join(self._text),
            calls=calls,
            reasoning="".join(self._reasoning) or None,
            refusal="".join(self._refusal) or None,
        )

    def _event(self, data: str, out: list[Delta]) -> None:
        if self.done:
            return
        self._events += 1
        before = self._before
        if before is not None and data.startswith(before) and data.endswith(self._after):
            text = data[len(before) : len(data) - len(self._after)]
            if '"' not in text and "\\" not in text and len(data) > len(before) + len(self._after):
                self._say(text, out)
                return
        if data == "[DONE]":
            self.done = True
            if self.started:
                self._close_all(out)
            return
        chunk = self._json(data)
        if not isinstance(chunk, dict):
            raise RemoteProtocolError(f"event {self._events} of the stream is no JSON object")
        if chunk.get("error") or chunk.get("object") == "error":
            raise ErrorReply(server_error(chunk))
        choices = chunk.get("choices")
        if choices:
            known = len(out)
            self._choices(choices, out)
            plain = before is None and self._halves is None
            if plain and self._finish is None and not self._calls and len(out) == known + 1:
                self._learn(data, out[known])
        usage = chunk.get("usage")
        if usage is None and isinstance(chunk.get("x_groq"), dict):
            usage = chunk["x_groq"].get("usage")
        if isinstance(usage, dict):
            self._usage = usage
        if not self._model and isinstance(chunk.get("model"), str):
            self._model = chunk["model"]

    def _json(self, data: str) -> object:
        """Read an event; from the first that has half a character on, halves are joined."""
        try:
            chunk: object = from_json(data)
        except ValueError:
            try:
                chunk = json.loads(data)
            except (ValueError, RecursionError):
                raise RemoteProtocolError(f"event {self._events} of the stream is no JSON") from None
            self._halves = self._halves or Halves()
            self._before = None
        return chunk if self._halves is None else self._halves.mend(chunk)

    def _learn(self, data: str, delta: Delta) -> None:
        """Note what stands round the text in `data`, when text is all that it says.

        A server writes the same round each piece of text of a reply; where that is so,
        and the piece has no quote and no escape, the JSON need not be parsed again.
        """
        if type(delta) is TextPiece and data.count('"content"') == 1 and '"usage":{' not in data:
            found = _CONTENT.search(data)
            if found is not None and found[1] == delta.text:
                self._before = data[: found.start(1)]
                self._after = data[found.end(1) :]

    def _choices(self, choices: object, out: list[Delta]) -> None:
        """Take in the choices of an event; those behind the first are replies of their own."""
        if not isinstance(choices, list) or not isinstance(choices[0], dict):
            raise RemoteProtocolError(f"event {self._events} of the stream has no readable choice")
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            if type(index) is not int or index <= 0:
                self._choice(choice, out)
            else:
                self._others.setdefault(index, ReplyParser())._choice(choice, [])

    def _choice(self, choice: Mapping[str, object], out: list[Delta]) -> None:
        self.started = True
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            calls = delta.get("tool_calls")
            if self._held is not None and not calls:
                self._ready(self._held, out)
            content = delta.get("content")
            if content:
                self._content(content, out)
            if len(delta) > 1 or not content:
                reasoning = delta.get("reasoning_content") or delta.get("reasoning")
                if isinstance(reasoning, str) and reasoning:
                    self._reasoning.append(reasoning)
                    out.append(ReasoningPiece(reasoning))
                refusal = delta.get("refusal")
                if isinstance(refusal, str):
                    self._refusal.append(refusal)
                if isinstance(calls, list):
                    for call in calls:
                        if isinstance(call, dict):
                            self._call_delta(call, out)
        elif isinstance(text := choice.get("text"), str) and text:  # of `/completions`
            self._say(text, out)
        if isinstance(stopped := choice.get("stop_reason") or choice.get("matched_stop"), str):
            self._stopped = stopped  # vLLM, SGLang
        finish = choice.get("finish_reason")
        if finish and self._finish is None:
            self._close(_FINISH.get(str(finish).lower(), "stop"), out)

    def _content(self, content: object, out: list[Delta]) -> None:
        text, reasoning = _content_text(content)
        if reasoning:
            self._reasoning.append(reasoning)
            out.append(ReasoningPiece(reasoning))
        if text:
            self._say(text, out)

    def _say(self, text: str, out: list[Delta]) -> None:
        """Add `text`; what came in one chunk of bytes is one piece."""
        self._text.append(text)
        last = out[-1] if out else None
        if type(last) is TextPiece:
            last.text += text
        else:
            out.append(TextPiece(text))

    def _call_delta(self, delta: dict[str, object], out: list[Delta]) -> None:
        function = delta.get("function")
        if not isinstance(function, dict):
            function = {}
        name = function.get("name") if isinstance(function.get("name"), str) else ""
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        identity = delta.get("id") if isinstance(delta.get("id"), str) else ""
        call, began = self._call_for(delta.get("index"), str(identity), str(name), arguments, out)
        extra = delta.get("extra_content")
        if extra is not None:
            call.extra = {"extra_content": extra}  # type: ignore[dict-item]
        if not arguments:
            return
        if self._held is call and arguments.lstrip()[:1] == "{":
            # Some gateways open a call with "{}" and then stream its true arguments.
            self._held = None
            call.pieces.clear()
            call.scanner = JsonScanner()
        if call.ready or self._held is call:
            return
        end = call.scanner.feed(arguments)
        call.pieces.append(arguments if end < 0 else arguments[:end])
        if end >= 0:
            if began and arguments == "{}":
                self._held = call
            else:
                self._ready(call, out)

    def _call_for(
        self, index: object, identity: str, name: str, arguments: str, out: list[Delta]
    ) -> tuple[_Call, bool]:
        """Return the call that a delta belongs to, and whether the delta begins it."""
        last = self._calls[-1] if self._calls else None
        found: _Call | None = None
        if isinstance(index, int):
            found = next((call for call in reversed(self._calls) if call.key == index), None)
        else:
            index = None
            found = last
        if found is not None:
            complete = found.ready or found is self._held
            other_id = bool(identity and found.id and identity != found.id)
            if (name and other_id) or (name and complete and arguments) or (index is None and other_id):
                found = None
        if found is not None:
            if identity and not found.id:
                found.id = identity
            if name and not found.name:
                found.name = name
            return found, False
        for call in self._calls:
            if not call.ready:
                self._ready(call, out)
        call = _Call(len(self._calls), index)
        call.id = identity
        call.name = name
        self._calls.append(call)
        out.append(CallStarted(call.index, name))
        return call, True

    def _ready(self, call: _Call, out: list[Delta]) -> None:
        call.ready = True
        if self._held is call:
            self._held = None
        call.arguments = "".join(call.pieces).strip() or "{}"
        out.append(CallReady(call.index, call.result(), object_fault(call.arguments)))

    def _close_all(self, out: list[Delta]) -> None:
        """Close the choices that gave no reason for their end."""
        for reply, deltas in ((self, out), *((other, []) for other in self._others.values())):
            if reply._finish is None:
                reply._close("stop", deltas)

    def _close(self, finish: str, out: list[Delta]) -> None:
        self._finish = finish
        for call in self._calls:
            if not call.ready:
                self._ready(call, out)


def parse_reply(body: bytes) -> Reply:
    """Read a whole, not streamed reply.

    Raises `ErrorReply` for an error object, `RemoteProtocolError` for what is no reply.
    """
    try:
        data = from_json(body)
    except ValueError:
        try:
            data = whole(body)
        except (ValueError, RecursionError):
            raise RemoteProtocolError("the reply is no JSON") from None
    if not isinstance(data, dict):
        raise RemoteProtocolError("the reply is no JSON object")
    choices = data.get("choices")
    if not choices and (data.get("error") or data.get("object") == "error"):
        raise ErrorReply(server_error(data))
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RemoteProtocolError("the reply has no choices")
    parser = ReplyParser()
    parser._choices(choices, [])
    parser._close_all([])
    usage = data.get("usage")
    parser._usage = usage if isinstance(usage, dict) else None
    parser._model = str(data.get("model") or "")
    return parser.finish()


def reply_deltas(reply: Reply) -> list[Delta]:
    """Return the deltas that a stream of `reply` would have given."""
    out: list[Delta] = []
    message = reply.message
    if message.reasoning:
        out.append(ReasoningPiece(message.reasoning))
    if message.text:
        out.append(TextPiece(message.text))
    for index, call in enumerate(message.calls):
        out.append(CallStarted(index, call.name))
        out.append(CallReady(index, call, object_fault(call.arguments)))
    return out


def _content_text(content: object) -> tuple[str, str]:
    """Return the text and the reasoning in a content value: a string or a list of parts."""
    if isinstance(content, str):
        return content, ""
    text: list[str] = []
    reasoning: list[str] = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            inner = part.get("thinking")
            if inner is not None:
                reasoning.append("".join(_content_text(inner)))
            elif isinstance(part.get("text"), str):
                text.append(part["text"])
    return "".join(text), "".join(reasoning)


def _usage(data: Mapping[str, object] | None) -> Usage:
    if data is None:
        return Usage(requests=1)
    cached = _inner(data, "prompt_tokens_details", "cached_tokens") or _number(
        data.get("prompt_cache_hit_tokens")
    )
    return Usage(
        _number(data.get("prompt_tokens")),
        _number(data.get("completion_tokens")),
        cached,
        _inner(data, "completion_tokens_details", "reasoning_tokens"),
        1,
    )


def _inner(data: Mapping[str, object], outer: str, name: str) -> int:
    details = data.get(outer)
    return _number(details.get(name)) if isinstance(details, Mapping) else 0


def _number(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) and value > 0 else 0
