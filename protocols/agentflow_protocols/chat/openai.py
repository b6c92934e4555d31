"""The Chat Completions dialect: requests out, replies in. Sans-IO.

`encode_request` writes a body, `ReplyParser` reads a stream, `parse_reply` a
whole reply, `parse_error` an error body. Servers that call themselves compatible
differ much; what is accepted beyond the standard stands where it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from pydantic_core import PydanticSerializationError, to_json

from agentflow_protocols.chat.capabilities import Capabilities
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
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["FOREIGN", "completion_body", "encode_request", "is_strict", "request_body"]

FOREIGN = frozenset({"anthropic", "gemini", "responses"})
"""Names in `Message.extra` and `ToolCall.extra` under which other dialects keep what they want back."""


def encode_request(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> bytes:
    """Return the JSON body of `request` as bytes. See `request_body` and `completion_body`."""
    make = request_body if request.prompt is None else completion_body
    body = make(request, model, stream=stream, capabilities=capabilities)
    try:
        return to_json(body, fallback=dict)
    except PydanticSerializationError:  # a lone surrogate in a text
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=dict).encode(
            "utf-8", "replace"
        )


def request_body(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> dict[str, Json]:
    """Return the body that asks `model` for a reply to `request`.

    `settings.extra` is merged last and wins. Raises `LocalProtocolError` for
    content that the endpoint cannot take.
    """
    can = capabilities or Capabilities()
    messages: list[Json] = [_message(m, place, can) for place, m in enumerate(request.messages)]
    body: dict[str, Json] = {"model": model, "messages": messages}
    if stream:
        body["stream"] = True
        if can.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [_tool(spec, can) for spec in request.tools]
        if request.tool_choice in ("none", "required"):
            body["tool_choice"] = request.tool_choice
        elif request.tool_choice != "auto":
            body["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice}}
    if request.output is not None:
        _put_output(body, messages, request, can)
    if request.messages and request.messages[-1].role == "assistant":
        if can.prefill == "continue":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        elif can.prefill == "prefix":
            messages[-1] = {**cast("dict[str, Json]", messages[-1]), "prefix": True}
    _put_settings(body, request.settings, can)
    return body


def completion_body(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> dict[str, Json]:
    """Return the body that asks `model` to go on with `request.prompt`, for `/completions`.

    A `grammar` goes in by the name that llama.cpp's server gives it, where the endpoint
    takes one. What such a grammar leaves out can't be written, so `banned` needs no more.
    """
    can = capabilities or Capabilities()
    body: dict[str, Json] = {"model": model, "prompt": request.prompt}
    if stream:
        body["stream"] = True
        if can.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.grammar is not None and can.grammar:
        body["grammar"] = request.grammar
    _put_settings(body, request.settings, replace(can, max_tokens_field="max_tokens"))
    return body


def _put_output(body: dict[str, Json], messages: list[Json], request: ChatRequest, can: Capabilities) -> None:
    assert request.output is not None
    if can.json_schema:
        schema: dict[str, Json] = {"name": request.output_name, "schema": request.output}
        if can.strict_tools and is_strict(request.output):
            schema["strict"] = True
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    else:
        body["response_format"] = {"type": "json_object"}
        text = json.dumps(request.output, ensure_ascii=False, separators=(",", ":"))
        messages.append(
            {
                "role": "system",
                "content": f"Answer with one JSON object that follows this JSON Schema:\n{text}",
            }
        )


def _put_settings(body: dict[str, Json], settings: Settings, can: Capabilities) -> None:
    values: dict[str, Json | None] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        can.max_tokens_field: settings.max_tokens,
        "seed": settings.seed,
        "stop": list(settings.stop) if settings.stop else None,
        "reasoning_effort": settings.reasoning,
    }
    for name, value in values.items():
        if value is not None:
            body[name] = value
    if settings.extra:
        body.update(settings.extra)


def _tool(spec: ToolSpec, can: Capabilities) -> Json:
    function: dict[str, Json] = {
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
    }
    if spec.strict and can.strict_tools:
        function["strict"] = True
    return {"type": "function", "function": function}


def _message(message: Message, place: int, can: Capabilities) -> Json:
    role = message.role
    out: dict[str, Json] = {"role": "developer" if role == "system" and can.developer_role else role}
    content = message.content
    if isinstance(content, str):
        out["content"] = content
    else:
        out["content"] = [_part(part, place, can) for part in content]
    if message.cache and can.cache_control:
        out["content"] = _marked(out["content"])
    if role == "assistant":
        if message.calls:
            out["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments or "{}"},
                    **_ours(call.extra),
                }
                for call in message.calls
            ]
            if not content:
                out["content"] = None
        if message.refusal:
            out["refusal"] = message.refusal
    elif role == "tool":
        out["tool_call_id"] = message.call_id
    out.update(_ours(message.extra))
    return out


def _ours(extra: Mapping[str, Json] | None) -> dict[str, Json]:
    """Return what this dialect put aside, without what another one wants back."""
    return {name: value for name, value in extra.items() if name not in FOREIGN} if extra else {}


def _marked(content: Json) -> Json:
    """Return `content` as parts, the last one marked as the end of a prompt to cache."""
    parts: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else []
    if isinstance(content, list):
        parts = list(content)
    if parts and isinstance(parts[-1], Mapping):
        parts[-1] = {**parts[-1], "cache_control": {"type": "ephemeral"}}
    return parts


def _part(part: Part, place: int, can: Capabilities) -> Json:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        if not can.images:
            raise LocalProtocolError(f"message {place + 1} holds an image, but the endpoint takes none")
        return {"type": "image_url", "image_url": {"url": part.url} | _given("detail", part.detail)}
    if not can.files:
        raise LocalProtocolError(f"message {place + 1} holds a file, but the endpoint takes none")
    return {"type": "file", "file": _file(part)}


def _file(part: FilePart) -> dict[str, Json]:
    if part.file_id is not None:
        return {"file_id": part.file_id}
    return {"filename": part.name, "file_data": f"data:{part.media_type};base64,{part.data}"}


def _given(name: str, value: Json) -> dict[str, Json]:
    return {} if value is None else {name: value}


def is_strict(schema: Json) -> bool:
    """Return whether every object in `schema` is closed and requires all its properties."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if schema.get("type") == "object" or properties is not None:
            required = schema.get("required", [])
            names = list(properties) if isinstance(properties, Mapping) else []
            if schema.get("additionalProperties") is not False:
                return False
            if not isinstance(required, Sequence) or set(names) - {str(name) for name in required}:
                return False
        return all(is_strict(value) for value in schema.values())
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return all(is_strict(value) for value in schema)
    return True
