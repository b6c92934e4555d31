"""What the readers of streamed replies have in common: events in, a reply that grows. Sans-IO.

An `EventReader` reads the bytes and knows when the stream went wrong; a `Decoder`, one
for each dialect, knows what an event means and adds to its `Draft`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

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
from agentflow_protocols.chat.scan import object_fault
from agentflow_protocols.chat.sse import SseParser
from agentflow_protocols.chat.surrogates import Halves, whole
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["Decoder", "Draft", "EventReader", "Framing", "count", "items", "json_object", "mapping", "string"]


class Draft:
    """A reply that is being received: text, reasoning, calls in their order."""

    __slots__ = (
        "_reasoning",
        "_text",
        "calls",
        "extra",
        "finish",
        "model",
        "others",
        "refusal",
        "safety",
        "usage",
    )

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.calls: list[ToolCall | None] = []
        """One for each call that began; None until it is complete."""
        self.refusal = ""
        self.extra: dict[str, Json] | None = None
        self.finish: str | None = None
        self.model = ""
        self.usage = Usage(requests=1)
        self.others: dict[int, Draft] = {}
        self.safety: dict[str, tuple[str, bool]] = {}
        """Further answers by their number from 1, where several were asked for."""

    @property
    def ended(self) -> str | None:
        """How the reply ended; None while it, or another answer, has not."""
        return None if any(other.finish is None for other in self.others.values()) else self.finish

    def say(self, text: str, out: list[Delta]) -> None:
        """Add `text`; what came in one chunk of bytes is one piece."""
        if not text:
            return
        self._text.append(text)
        last = out[-1] if out else None
        if type(last) is TextPiece:
            last.text += text
        else:
            out.append(TextPiece(text))

    def think(self, text: str, out: list[Delta]) -> None:
        """Add reasoning."""
        if text:
            self._reasoning.append(text)
            out.append(ReasoningPiece(text))

    def begin(self, name: str, out: list[Delta]) -> int:
        """Begin a call; return its number in the reply."""
        self.calls.append(None)
        out.append(CallStarted(len(self.calls) - 1, name))
        return len(self.calls) - 1

    def ready(self, index: int, call: ToolCall, out: list[Delta]) -> None:
        """Complete the call number `index`. One without an id gets one of its place."""
        call.id = call.id or f"call_{index}"
        call.arguments = call.arguments.strip() or "{}"
        self.calls[index] = call
        out.append(CallReady(index, call, object_fault(call.arguments)))

    def reply(self, finish: str) -> Reply:
        """Return what has come, with its complete calls."""
        message = self._message()
        if message.calls and finish == "stop":
            finish = "tool_calls"
        others = [self.others[number]._message() for number in sorted(self.others)]
        return Reply(message, self.usage, finish, self.model, others=others, safety=self.safety)

    def _message(self) -> Message:
        calls = [call for call in self.calls if call is not None]
        return Message(
            "assistant",
            "".join(self._text),
            calls=calls,
            reasoning="".join(self._reasoning) or None,
            refusal=self.refusal or None,
            extra=self.extra,
        )


class Decoder(Protocol):
    """Says what the events of one dialect mean.

    `done` after the event that is the reply's last; `draft.finish` is set when the reply
    is whole. `event` may raise `RemoteProtocolError`, and nothing else whatever it is given.
    """

    draft: Draft
    done: bool

    def event(self, event: Mapping[str, object], out: list[Delta]) -> None:
        """Add the deltas of one event to `out`."""

    def end(self, out: list[Delta]) -> None:
        """Complete what the end of the stream alone completes."""


class Framing(Protocol):
    """Says where the events of a stream begin and end."""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events that `chunk` completes. May raise `RemoteProtocolError`."""

    def finish(self) -> list[str]:
        """Return the last event when the stream ended without its mark."""


class EventReader:
    """Read one streamed reply: `feed` bytes until `done` or the stream's end, then `finish`.

    `feed` never raises: a fault ends the reading (`done`) and is raised by `finish`, so
    that no delta received before it is lost.
    """

    __slots__ = ("_decoder", "_framing", "_halves", "_number", "done", "fault")

    def __init__(self, decoder: Decoder, framing: Framing | None = None) -> None:
        self._decoder = decoder
        self._framing: Framing = SseParser() if framing is None else framing
        self._halves: Halves | None = None
        self._number = 0
        self.done = False
        """Whether nothing more is to be read."""
        self.fault: RemoteProtocolError | None = None

    def feed(self, chunk: bytes) -> list[Delta]:
        """Return what `chunk` adds to the reply; text that came together is one piece."""
        out: list[Delta] = []
        if not self.done:
            try:
                for data in self._framing.feed(chunk):
                    self._event(data, out)
            except (RemoteProtocolError, RecursionError) as error:
                self._fail(error)
        return out

    def end(self) -> list[Delta]:
        """Say that the stream has ended; return what that adds."""
        out: list[Delta] = []
        if not self.done:
            try:
                for data in self._framing.finish():
                    self._event(data, out)
                if not self.done:
                    self._decoder.end(out)
            except (RemoteProtocolError, RecursionError) as error:
                self._fail(error)
        self.done = True
        return out

    def finish(self) -> Reply:
        """Return the whole reply.

        Raises `ErrorReply` when the server sent an error, `RemoteProtocolError` when
        the stream was malformed, empty, or cut before the reply was complete.
        """
        if self.fault is not None:
            raise self.fault
        if not self._number:
            raise RemoteProtocolError("the stream ended without a reply")
        finish = self._decoder.draft.ended
        if finish is None:
            raise RemoteProtocolError("the stream was cut before the reply ended")
        return self._decoder.draft.reply(finish)

    def _fail(self, error: RemoteProtocolError | RecursionError) -> None:
        if isinstance(error, RecursionError):
            error = RemoteProtocolError(f"event {self._number} of the stream is nested too deeply")
        self.fault = error
        self.done = True

    def _event(self, data: str, out: list[Delta]) -> None:
        if self.done:
            return
        if data == "[DONE]":
            self._decoder.end(out)
            self.done = True
            return
        self._number += 1
        try:
            event: object = from_json(data)
        except ValueError:
            try:
                event = json.loads(data)
            except (ValueError, RecursionError):
                raise RemoteProtocolError(f"event {self._number} of the stream is no JSON") from None
            self._halves = self._halves or Halves()
        if self._halves is not None:
            event = self._halves.mend(event)
        if not isinstance(event, Mapping):
            raise RemoteProtocolError(f"event {self._number} of the stream is no JSON object")
        self._decoder.event(event, out)
        self.done = self._decoder.done


def json_object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object in the body of a whole reply. Raises `RemoteProtocolError` for anything else."""
    try:
        data: object = from_json(body)
    except ValueError:
        try:
            data = whole(body)
        except (ValueError, RecursionError):
            raise RemoteProtocolError("the reply is no JSON") from None
    if not isinstance(data, Mapping):
        raise RemoteProtocolError("the reply is no JSON object")
    return data


def string(value: object) -> str:
    """Return `value` where it is text, else nothing."""
    return value if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, object]:
    """Return `value` where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[object]:
    """Return `value` where it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def count(value: object) -> int:
    """Return `value` where it is a number above 0, else 0."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1 << 53 else 0
