"""The Anthropic Messages dialect: requests out. Sans-IO. Replies are in `anthropic_reply`.

The system text stands apart, messages of one role in a row are one, a tool's result is
a block in a user message. Thinking goes back as it came, signed, before the call that
it led to: in `extra["anthropic"]` of that `ToolCall`, or of the `Message` after its last call.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import cast

from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.draft import items
from agentflow_protocols.chat.messages import (
    ChatRequest,
    FilePart,
    ImagePart,
    Json,
    Message,
    Part,
    Settings,
    TextPart,
    ToolSpec,
)
from agentflow_protocols.chat.narrow import arguments_object, body_bytes, closable, narrowed, schema_words
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["encode_messages", "messages_body"]

Block = dict[str, Json]

MAX_TOKENS = 16_384  # the API wants a bound; that of the settings, where they have one
_MAX_MARKS = 4  # cache marks that a request may have
_EFFORTS = {"minimal": "low"}
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_DATA = re.compile(r"data:([\w.+/-]+);base64,(.*)", re.DOTALL)
_NO_ID = re.compile(r"[^A-Za-z0-9_-]")
_KEYWORDS = frozenset(
    (
        *("$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "definitions"),
        *("description", "enum", "format", "items", "properties", "required", "title", "type"),
    )
)


def encode_messages(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> bytes:
    """Return the JSON body of `request` as bytes. See `messages_body`."""
    return body_bytes(messages_body(request, model, stream=stream, capabilities=capabilities))


def messages_body(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> dict[str, Json]:
    """Return the body that asks `model` for a reply to `request`.

    `settings.extra` is merged last and wins. Raises `LocalProtocolError` for content that
    the endpoint cannot take. An output goes by `output_config`, in words where its schema has
    objects with properties of any name, which the API can't hold to.
    """
    if request.prompt is not None:
        raise LocalProtocolError("the Messages API goes on with no prompt text, only with messages")
    can = capabilities or Capabilities()
    system, messages, marks = _conversation(request, can)
    body: dict[str, Json] = {"model": model, "max_tokens": MAX_TOKENS, "messages": messages}
    in_words = request.output is not None and not (can.json_schema and closable(request.output))
    if request.output is not None and in_words:
        system.append({"type": "text", "text": schema_words(request.output)})
    if can.cache_control:
        for block in marks[-_MAX_MARKS:]:
            block["cache_control"] = {"type": "ephemeral"}
    if system:
        plain = len(system) == 1 and len(system[0]) == 2
        body["system"] = system[0]["text"] if plain else cast("list[Json]", system)
    if stream:
        body["stream"] = True
    if request.tools:
        body["tools"] = [_tool(spec, can) for spec in request.tools]
        if request.tool_choice != "auto":
            body["tool_choice"] = _choice(request.tool_choice)
    _put_settings(body, request.settings)
    if request.output is not None and not in_words:
        schema = narrowed(request.output, _KEYWORDS, closed=True)
        config = cast("Mapping[str, Json]", body.get("output_config", {}))
        body["output_config"] = {**config, "format": {"type": "json_schema", "schema": schema}}
    if request.settings.extra:
        body.update(request.settings.extra)
    return body


def _put_settings(body: dict[str, Json], settings: Settings) -> None:
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if settings.top_p is not None:
        body["top_p"] = settings.top_p
    if settings.stop:
        body["stop_sequences"] = list(settings.stop)
    if settings.max_tokens is not None:
        body["max_tokens"] = settings.max_tokens
    effort = settings.reasoning
    if effort is None:
        return
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif effort.isdecimal():
        budget = int(effort)
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        body["max_tokens"] = (settings.max_tokens or MAX_TOKENS) + budget
    else:
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {"effort": _EFFORTS.get(effort, effort)}


def _choice(choice: str) -> Block:
    if choice == "required":
        return {"type": "any"}
    return {"type": "none"} if choice == "none" else {"type": "tool", "name": choice}


def _tool(spec: ToolSpec, can: Capabilities) -> Json:
    tool: Block = {
        "name": spec.name,
        "description": spec.description,
        "input_schema": {"type": "object", **spec.parameters},
    }
    if spec.strict and can.strict_tools:
        tool["strict"] = True
    return tool


def _conversation(request: ChatRequest, can: Capabilities) -> tuple[list[Block], list[Json], list[Block]]:
    """Return the system's blocks, the turns, and the blocks that end a prompt to cache."""
    system: list[Block] = []
    turns: list[Json] = []
    marks: list[Block] = []
    role = ""
    blocks: list[Json] = []
    for place, message in enumerate(request.messages):
        new = _blocks(message, place, can)
        if message.role == "system":
            system += new
        elif new:
            wanted = "assistant" if message.role == "assistant" else "user"
            if wanted != role:
                role, blocks = wanted, []
                turns.append({"role": role, "content": blocks})
            blocks += new
        markable = [block for block in new if "thinking" not in str(block["type"])]
        if message.cache and markable:
            marks.append(markable[-1])
    if role == "assistant" and blocks and request.messages[-1].role == "assistant":
        last = cast("Block", blocks[-1])
        if last["type"] == "text":  # which the model shall go on with: a blank at its end is refused
            last["text"] = str(last["text"]).rstrip()
            if not last["text"]:
                blocks.pop()
    return system, [turn for turn in turns if cast("Block", turn)["content"]], marks


def _blocks(message: Message, place: int, can: Capabilities) -> list[Block]:
    content = _content(message, place, can)
    if message.role == "tool":
        result: Block = {"type": "tool_result", "tool_use_id": _id(message.call_id or "")}
        if content:
            plain = len(content) == 1 and content[0]["type"] == "text"
            result["content"] = content[0]["text"] if plain else cast("list[Json]", content)
        return [result]
    if message.role != "assistant":
        return content
    if message.refusal and not content:
        content = [{"type": "text", "text": message.refusal}]
    blocks: list[Block] = []
    for number, call in enumerate(message.calls):
        blocks += _thinking(call.extra)
        if number == 0:
            blocks += content
        blocks.append(
            {
                "type": "tool_use",
                "id": _id(call.id),
                "name": call.name,
                "input": arguments_object(call.arguments),
            }
        )
    blocks += _thinking(message.extra)
    return blocks if message.calls else blocks + content


def _thinking(extra: Mapping[str, Json] | None) -> list[Block]:
    return [dict(block) for block in items((extra or {}).get("anthropic")) if isinstance(block, Mapping)]


def _id(identity: str) -> str:
    """Return an id with the characters that the API allows; another provider's may have more."""
    return _NO_ID.sub("_", identity) or "_"


def _content(message: Message, place: int, can: Capabilities) -> list[Block]:
    content = message.content
    parts: Sequence[Part] = [TextPart(content)] if isinstance(content, str) else content
    return [_part(part, place, can) for part in parts if not isinstance(part, TextPart) or part.text.strip()]


def _part(part: Part, place: int, can: Capabilities) -> Block:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        if not can.images:
            raise LocalProtocolError(f"message {place + 1} holds an image, but the endpoint takes none")
        return {"type": "image", "source": _source(part.url, place)}
    if not can.files:
        raise LocalProtocolError(f"message {place + 1} holds a file, but the endpoint takes none")
    return _file(part, place)


def _source(url: str, place: int) -> Block:
    data = _DATA.fullmatch(url)
    if data is not None:
        return {"type": "base64", "media_type": data[1], "data": data[2]}
    if not url.startswith(("https:", "http:")):
        raise LocalProtocolError(f"message {place + 1}: an image needs an https: or a data:…;base64, address")
    return {"type": "url", "url": url}


def _file(part: FilePart, place: int) -> Block:
    if part.file_id is not None:
        return {"type": "document", "source": {"type": "file", "file_id": part.file_id}}
    kind = part.media_type.split(";")[0].strip().lower()
    source: Block = {"type": "base64", "media_type": kind, "data": part.data}
    if kind in _IMAGES:
        return {"type": "image", "source": source}
    if kind.startswith("text/") or kind == "application/json":
        try:
            text = base64.b64decode(part.data).decode()
        except ValueError:
            raise LocalProtocolError(f"message {place + 1}: the file is no base64 of UTF-8 text") from None
        source = {"type": "text", "media_type": "text/plain", "data": text}
    elif kind != "application/pdf":
        raise LocalProtocolError(f"message {place + 1}: a file of {kind} is not taken; PDF, text, images are")
    return {"type": "document", "source": source, **({"title": part.name} if part.name else {})}
