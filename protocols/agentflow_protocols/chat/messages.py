"""Chat messages, requests and replies, in no provider's dialect.

A conversation is a list of `Message`. What a provider's wire calls these is in
the dialect's file beside this one. Dataclasses with slots, since every turn of
every agent makes some; `to_json` / `from_json` are the form in the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias

from typing_extensions import TypeAliasType

__all__ = [
    "CallReady",
    "CallStarted",
    "ChatRequest",
    "Delta",
    "FilePart",
    "ImagePart",
    "Json",
    "Message",
    "Part",
    "ReasoningPiece",
    "Reply",
    "Settings",
    "TextPart",
    "TextPiece",
    "ToolCall",
    "ToolSpec",
    "Usage",
]

Json = TypeAliasType("Json", "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None")
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(slots=True)
class TextPart:
    """Text inside a message of several parts."""

    text: str


@dataclass(slots=True)
class ImagePart:
    """An image: an `https:` or `data:` URL."""

    url: str
    detail: str | None = None


@dataclass(slots=True)
class FilePart:
    """A file: base64 data and its media type, or an id the provider knows."""

    name: str
    data: str = ""
    media_type: str = "application/octet-stream"
    file_id: str | None = None


Part: TypeAlias = TextPart | ImagePart | FilePart


@dataclass(slots=True)
class ToolCall:
    """A call that a model wrote. `arguments` is its raw JSON text; `extra` is what
    the provider wants back with it (signatures), as JSON."""

    id: str
    name: str
    arguments: str
    extra: dict[str, Json] | None = None


@dataclass(slots=True)
class Message:
    """One message. `call_id` is set on role `tool`, `calls` on role `assistant`.

    `cache` asks the provider to cache the prompt up to and with this message.
    `interrupt` marks blocks that a session put in: with markup they belong to the
    model's own text.
    """

    role: Role
    content: str | list[Part] = ""
    calls: list[ToolCall] = field(default_factory=list)
    call_id: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    cache: bool = False
    extra: dict[str, Json] | None = None
    interrupt: bool = False

    @property
    def text(self) -> str:
        """The message's text, without its other parts."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    def to_json(self) -> dict[str, Json]:
        """Return the journal's form: JSON without the fields that are empty."""
        out: dict[str, Json] = {"role": self.role}
        if isinstance(self.content, str):
            out["content"] = self.content
        else:
            out["content"] = [_part_json(part) for part in self.content]
        if self.calls:
            out["calls"] = [_call_json(call) for call in self.calls]
        for name in ("call_id", "reasoning", "refusal", "extra"):
            value = getattr(self, name)
            if value is not None:
                out[name] = value
        for name in ("cache", "interrupt"):
            if getattr(self, name):
                out[name] = True
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Message:
        """Read the journal's form."""
        values = dict(data)
        content = values.get("content", "")
        if isinstance(content, list):
            values["content"] = [_part_from_json(part) for part in content]
        calls = values.pop("calls", ())
        assert isinstance(calls, Sequence)
        return cls(**values, calls=[ToolCall(**call) for call in calls])  # type: ignore[arg-type]


def _call_json(call: ToolCall) -> dict[str, Json]:
    extra: dict[str, Json] = {"extra": call.extra} if call.extra else {}
    return {"id": call.id, "name": call.name, "arguments": call.arguments, **extra}


_PARTS: dict[str, type[Part]] = {"text": TextPart, "image": ImagePart, "file": FilePart}


def _part_json(part: Part) -> dict[str, Json]:
    kind = next(name for name, cls in _PARTS.items() if isinstance(part, cls))
    values = {f.name: getattr(part, f.name) for f in fields(part)}
    return {"type": kind, **{k: v for k, v in values.items() if v is not None}}


def _part_from_json(data: Mapping[str, object]) -> Part:
    values = dict(data)
    return _PARTS[str(values.pop("type"))](**values)  # type: ignore[arg-type]


@dataclass(slots=True)
class Usage:
    """Tokens and requests that were truly spent. `cached_tokens` are part of
    `input_tokens`, `reasoning_tokens` of `output_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    requests: int = 0

    def add(self, other: Usage) -> None:
        """Add `other` to this."""
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.requests += other.requests

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(slots=True, frozen=True)
class Settings:
    """How a model shall write. None leaves a value to the next outer level: the
    call's win over the agent's, those over the endpoint's."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    reasoning: str | None = None
    extra: Mapping[str, Json] | None = None

    def over(self, outer: Settings | None) -> Settings:
        """Return these settings, with gaps filled from `outer`."""
        if outer is None:
            return self
        values = {
            f.name: mine if (mine := getattr(self, f.name)) is not None else getattr(outer, f.name)
            for f in fields(self)
        }
        if self.extra and outer.extra:
            values["extra"] = {**outer.extra, **self.extra}
        return Settings(**values)


@dataclass(slots=True, frozen=True)
class ToolSpec:
    """A tool as a model sees it: a JSON Schema of its parameters."""

    name: str
    description: str
    parameters: Mapping[str, Json]
    strict: bool = False


@dataclass(slots=True)
class ChatRequest:
    """One request for one reply.

    `output` is a JSON Schema that the reply's text must follow, under
    `output_name`; `tool_choice` is `auto`, `none`, `required` or a tool's name.
    With a `prompt` the model goes on with that text, and `messages` are not sent.
    `banned` are texts that must not be written and `grammar` (GBNF) is what the reply
    must follow, where the endpoint has its hands on sampling. `group` says whose request it
    is: groups that wait for one endpoint are served in turns, a higher `priority` before them.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    settings: Settings = Settings()
    tool_choice: str = "auto"
    output: Mapping[str, Json] | None = None
    output_name: str = "output"
    idempotency_key: str | None = None
    prompt: str | None = None
    banned: tuple[str, ...] = ()
    grammar: str | None = None
    group: str = ""
    priority: int = 0


@dataclass(slots=True)
class Reply:
    """A whole reply. `finish` is `stop`, `length`, `tool_calls`, `content_filter`,
    or `cut` when the reader left early; `stopped` is the stop text that ended it, where
    the server tells. `others` are the further answers, where several were asked for. `safety`
    is how harmful the server finds the reply, by category, and whether it blocked it for that
    (Gemini)."""

    message: Message
    usage: Usage
    finish: str
    model: str = ""
    stopped: str | None = None
    others: list[Message] = field(default_factory=list)
    safety: dict[str, tuple[str, bool]] = field(default_factory=dict)


@dataclass(slots=True)
class TextPiece:
    """Some of the reply's text."""

    text: str


@dataclass(slots=True)
class ReasoningPiece:
    """Some of the reply's reasoning."""

    text: str


@dataclass(slots=True)
class CallStarted:
    """The model began to write call number `index` of this reply."""

    index: int
    name: str


@dataclass(slots=True)
class CallReady:
    """Call number `index` is complete, though the reply may go on. `fault` says what
    is wrong with its arguments, where they are no JSON object."""

    index: int
    call: ToolCall
    fault: str | None = None


Delta: TypeAlias = TextPiece | ReasoningPiece | CallStarted | CallReady
