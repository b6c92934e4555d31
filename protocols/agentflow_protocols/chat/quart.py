"""The dialect of prompto's Quart server: one text in, its continuations out, never streamed. Sans-IO.

`settings.extra` is merged last and wins, its `options` key by key. The first of several
texts is the reply, the others are `Reply.others`. Tokens are not told.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.draft import items, json_object, mapping, string
from agentflow_protocols.chat.messages import ChatRequest, Delta, Json, Message, Reply, Usage
from agentflow_protocols.chat.narrow import body_bytes
from agentflow_protocols.chat.openai_reply import reply_deltas
from agentflow_protocols.chat.server_error import ErrorReply, server_error
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["GeneratedReader", "encode_generate", "parse_generated"]


def encode_generate(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> bytes:
    """Return the JSON body of `request` as bytes.

    Raises `LocalProtocolError` for anything but one text: a prompt, or one user message.
    """
    if request.tools or request.output is not None:
        raise LocalProtocolError("a Quart server takes a text alone, no tools and no output schema")
    text = request.prompt
    if text is None:
        if len(request.messages) != 1 or not isinstance(request.messages[0].content, str):
            raise LocalProtocolError("a Quart server takes one text: one user message without other parts")
        text = request.messages[0].content
    settings = request.settings
    values: dict[str, Json] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_new_tokens": settings.max_tokens,
    }
    options: dict[str, Json] = {name: value for name, value in values.items() if value is not None}
    extra = dict(settings.extra or {})
    own = extra.pop("options", None)
    if isinstance(own, Mapping):
        options.update(own)
    return body_bytes({"text": text, "model": model, "options": options, **extra})


def parse_generated(body: bytes) -> Reply:
    """Read a reply. Raises `ErrorReply` for an error object, `RemoteProtocolError` for what is no reply."""
    data = json_object(body)
    said = data.get("response")
    texts = [said] if isinstance(said, str) else [_text(each) for each in items(said)]
    known = [text for text in texts if text is not None]
    if not known:
        if data.get("error"):
            raise ErrorReply(server_error(data))
        raise RemoteProtocolError("the reply has no generated text")
    first, *others = (Message("assistant", text) for text in known)
    return Reply(first, Usage(requests=1), "stop", string(data.get("model")), others=others)


def _text(value: object) -> str | None:
    text = mapping(value).get("generated_text")
    return text if isinstance(text, str) else None


class GeneratedReader:
    """Read a reply that was sent as anything but JSON: it is whole at its end."""

    __slots__ = ("_body", "_reply", "done", "fault")

    def __init__(self) -> None:
        self._body: list[bytes] = []
        self._reply: Reply | None = None
        self.done = False
        self.fault: RemoteProtocolError | None = None

    def feed(self, chunk: bytes) -> list[Delta]:
        """Keep `chunk`; it adds nothing yet."""
        self._body.append(chunk)
        return []

    def end(self) -> list[Delta]:
        """Say that the body has ended; return the reply's deltas."""
        if self.done:
            return []
        self.done = True
        try:
            self._reply = parse_generated(b"".join(self._body))
        except RemoteProtocolError as error:
            self.fault = error
            return []
        return reply_deltas(self._reply)

    def finish(self) -> Reply:
        """Return the whole reply. Raises as `parse_generated` does."""
        if self.fault is not None:
            raise self.fault
        if self._reply is None:
            raise RemoteProtocolError("the reply has not ended")
        return self._reply
