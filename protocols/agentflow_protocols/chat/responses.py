"""The OpenAI Responses dialect: requests out. Sans-IO. Replies are in `responses_reply`.

A conversation is a list of items. Nothing is stored at the provider: reasoning comes
encrypted and goes back as it came, before the item that it led to: in `extra["responses"]`
of that `ToolCall`, or of the `Message` for its text, whose phase stands there, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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
from agentflow_protocols.chat.narrow import body_bytes, schema_words
from agentflow_protocols.chat.openai import is_strict
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["encode_response", "response_body"]

Block = dict[str, Json]

_REASONS = re.compile(r"(?:o\d|gpt-(?:[5-9]|\d\d))(?!.*chat)")  # models that may be asked for reasoning


def encode_response(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> bytes:
    """Return the JSON body of `request` as bytes. See `response_body`."""
    return body_bytes(response_body(request, model, stream=stream, capabilities=capabilities))


def response_body(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> dict[str, Json]:
    """Return the body that asks `model` for a reply to `request`.

    `settings.extra` is merged last and wins. The API has no seed: that setting is passed
    over. Raises `LocalProtocolError` for stop texts, which it has not either, and for
    content that the endpoint cannot take.
    """
    if request.prompt is not None:
        raise LocalProtocolError("the Responses API goes on with no prompt text, only with messages")
    if request.settings.stop:
        raise LocalProtocolError("the Responses API takes no stop texts: leave `stop` out")
    can = capabilities or Capabilities()
    written: list[Json] = []
    for place, message in enumerate(request.messages):
        written += _items(message, place, can)
    body: Block = {"model": model, "input": written, "store": False}
    if stream:
        body["stream"] = True
    if request.tools:
        body["tools"] = [_tool(spec, can) for spec in request.tools]
        if request.tool_choice in ("none", "required"):
            body["tool_choice"] = request.tool_choice
        elif request.tool_choice != "auto":
            body["tool_choice"] = {"type": "function", "name": request.tool_choice}
    if request.output is not None:
        if can.json_schema:
            strict = can.strict_tools and is_strict(request.output)
            form: Block = {"name": request.output_name, "schema": request.output, "strict": strict}
            body["text"] = {"format": {"type": "json_schema", **form}}
        else:
            body["text"] = {"format": {"type": "json_object"}}
            written.append({"role": "developer", "content": schema_words(request.output)})
    _put_settings(body, request.settings)
    if request.settings.reasoning is not None or _REASONS.match(model):
        body["include"] = ["reasoning.encrypted_content"]
    if request.settings.extra:
        body.update(request.settings.extra)
    return body


def _put_settings(body: Block, settings: Settings) -> None:
    values: dict[str, Json] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_output_tokens": settings.max_tokens,
        "reasoning": None if settings.reasoning is None else {"effort": settings.reasoning},
    }
    body.update({name: value for name, value in values.items() if value is not None})


def _tool(spec: ToolSpec, can: Capabilities) -> Json:
    return {
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
        "strict": spec.strict and can.strict_tools,  # the API's own default is true
    }


def _items(message: Message, place: int, can: Capabilities) -> list[Block]:
    role = message.role
    content = message.content
    if role == "tool":
        output: Json = content if isinstance(content, str) else _parts(content, place, can)
        return [{"type": "function_call_output", "call_id": message.call_id, "output": output}]
    if role != "assistant":
        name = "developer" if role == "system" and can.developer_role else role
        return [
            {
                "role": name,
                "content": content if isinstance(content, str) else _parts(content, place, can),
            }
        ]
    out = _reasoning(message.extra)
    text = message.text or message.refusal
    if text:
        out.append({"role": "assistant", "content": text, **_phase(message.extra)})
    for call in message.calls:
        out += _reasoning(call.extra)
        arguments = call.arguments or "{}"
        out.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments})
    return out


def _kept(extra: Mapping[str, Json] | None) -> list[Block]:
    return [dict(item) for item in items((extra or {}).get("responses")) if isinstance(item, Mapping)]


def _reasoning(extra: Mapping[str, Json] | None) -> list[Block]:
    return [item for item in _kept(extra) if "type" in item]


def _phase(extra: Mapping[str, Json] | None) -> Block:
    """Return the phase of the reply's last message: whether it was an answer or a word in between."""
    phases = [item["phase"] for item in _kept(extra) if "phase" in item]
    return {"phase": phases[-1]} if phases else {}


def _parts(parts: Sequence[Part], place: int, can: Capabilities) -> list[Json]:
    return [_part(part, place, can) for part in parts]


def _part(part: Part, place: int, can: Capabilities) -> Json:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ImagePart):
        if not can.images:
            raise LocalProtocolError(f"message {place + 1} holds an image, but the endpoint takes none")
        return {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}
    if not can.files:
        raise LocalProtocolError(f"message {place + 1} holds a file, but the endpoint takes none")
    return {"type": "input_file", **_file(part)}


def _file(part: FilePart) -> Block:
    if part.file_id is not None:
        return {"file_id": part.file_id}
    return {"filename": part.name, "file_data": f"data:{part.media_type};base64,{part.data}"}
