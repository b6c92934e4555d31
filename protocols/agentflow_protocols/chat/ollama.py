"""Ollama's own dialect: requests out. Sans-IO. Replies are in `ollama_reply`.

Settings go into `options` by Ollama's names; what `settings.extra["options"]` holds wins.
A tool can't be demanded there: a choice of `none` leaves the tools out, a tool's name
leaves the others out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.messages import (
    ChatRequest,
    ImagePart,
    Json,
    Message,
    Settings,
    TextPart,
    ToolSpec,
)
from agentflow_protocols.chat.narrow import arguments_object, body_bytes, schema_words
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["encode_ollama", "ollama_body", "ollama_path"]

Block = dict[str, Json]

_DATA = re.compile(r"data:[\w.+/-]+;base64,(.*)", re.DOTALL)
_EFFORTS: dict[str, Json] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
}


def ollama_path(request: ChatRequest, model: str, stream: bool) -> str:
    """Return the path for `request`: that of a chat, or of a text to go on with."""
    return "/api/chat" if request.prompt is None else "/api/generate"


def encode_ollama(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> bytes:
    """Return the JSON body of `request` as bytes. See `ollama_body`."""
    return body_bytes(ollama_body(request, model, stream=stream, capabilities=capabilities))


def ollama_body(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> dict[str, Json]:
    """Return the body that asks `model` for a reply to `request`.

    `settings.extra` is merged last and wins, its `options` key by key. A prompt text is
    gone on with as it stands, without the model's template. Raises `LocalProtocolError` for
    content that the endpoint cannot take.
    """
    can = capabilities or Capabilities()
    body: dict[str, Json] = {"model": model, "stream": stream}
    if request.prompt is not None:
        body |= {"prompt": request.prompt, "raw": True}
    else:
        names = {call.id: call.name for message in request.messages for call in message.calls}
        messages: list[Json] = [_message(m, place, can, names) for place, m in enumerate(request.messages)]
        tools = _tools(request.tools, request.tool_choice)
        if tools:
            body["tools"] = tools
        if request.output is not None:
            body["format"] = request.output if can.json_schema else "json"
            if not can.json_schema:
                messages.append({"role": "system", "content": schema_words(request.output)})
        body["messages"] = messages
    effort = request.settings.reasoning
    if effort is not None:
        body["think"] = _EFFORTS.get(effort, True)
    options = _options(request.settings)
    extra = dict(request.settings.extra or {})
    own = extra.pop("options", None)
    if isinstance(own, Mapping):
        options.update(own)
    if options:
        body["options"] = options
    body.update(extra)
    return body


def _options(settings: Settings) -> Block:
    values: dict[str, Json] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "num_predict": settings.max_tokens,
        "seed": settings.seed,
        "stop": list(settings.stop) if settings.stop else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _tools(tools: Sequence[ToolSpec], choice: str) -> list[Json]:
    if choice == "none":
        return []
    one = [spec for spec in tools if spec.name == choice]
    return [
        {
            "type": "function",
            "function": {
                "name": spec.name,
                "description": spec.description,
                "parameters": {"type": "object", **spec.parameters},
            },
        }
        for spec in one or tools
    ]


def _message(message: Message, place: int, can: Capabilities, names: Mapping[str, str]) -> Json:
    out: Block = {"role": message.role, "content": message.text}
    if not isinstance(message.content, str):
        images: list[Json] = [
            _image(part, place, can) for part in message.content if not isinstance(part, TextPart)
        ]
        if images:
            out["images"] = images
    if message.role == "assistant":
        if message.refusal and not message.text:
            out["content"] = message.refusal
        if message.reasoning:
            out["thinking"] = message.reasoning
        if message.calls:
            out["tool_calls"] = [
                {
                    "id": call.id,
                    "function": {"name": call.name, "arguments": arguments_object(call.arguments)},
                }
                for call in message.calls
            ]
    elif message.role == "tool":
        identity = message.call_id or ""
        if identity in names:
            out["tool_name"] = names[identity]
        out["tool_call_id"] = identity
    return out


def _image(part: object, place: int, can: Capabilities) -> str:
    if not isinstance(part, ImagePart):
        raise LocalProtocolError(f"message {place + 1} holds a file, but Ollama takes none")
    if not can.images:
        raise LocalProtocolError(f"message {place + 1} holds an image, but the endpoint takes none")
    data = _DATA.fullmatch(part.url)
    if data is None:
        raise LocalProtocolError(
            f"message {place + 1}: Ollama fetches no image: give a data:…;base64, address"
        )
    return data[1]
