"""The Gemini generateContent dialect: requests out. Sans-IO. Replies are in `gemini_reply`.

A result names the function that was called, so it is looked up from the call. Thought
signatures go back on the part they came with: in `extra["gemini"]` of that `ToolCall`, or
of the `Message` for its text.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

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
from agentflow_protocols.chat.narrow import arguments_object, body_bytes, narrowed, schema_words
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["content_body", "content_path", "encode_content"]

Block = dict[str, Json]

_KEYWORDS = frozenset(
    (
        *(
            "$anchor",
            "$defs",
            "$id",
            "$ref",
            "additionalProperties",
            "anyOf",
            "description",
            "enum",
            "format",
        ),
        *("items", "maxItems", "maximum", "minItems", "minimum", "oneOf", "prefixItems", "properties"),
        *("propertyOrdering", "required", "title", "type"),
    )
)
_DATA = re.compile(r"data:([\w.+/-]+);base64,(.*)", re.DOTALL)
_BEFORE_3 = re.compile(r"(?:models/)?gemini-[12]\b")
_UNSIGNED = "skip_thought_signature_validator"  # what the API takes for a call that another model wrote
_CHOICES = {"none": "NONE", "required": "ANY"}


def content_path(request: ChatRequest, model: str, stream: bool) -> str:
    """Return the path at which `model` is asked."""
    name = model if "/" in model else f"models/{model}"
    return f"/{quote(name)}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"


def encode_content(
    request: ChatRequest, model: str, *, stream: bool = True, capabilities: Capabilities | None = None
) -> bytes:
    """Return the JSON body of `request` as bytes. See `content_body`."""
    return body_bytes(content_body(request, model, capabilities=capabilities))


def content_body(
    request: ChatRequest, model: str, *, capabilities: Capabilities | None = None
) -> dict[str, Json]:
    """Return the body that asks `model` for a reply to `request`.

    `settings.extra` is merged last and wins, its `generationConfig` key by key. Raises
    `LocalProtocolError` for content that the endpoint cannot take.
    """
    if request.prompt is not None:
        raise LocalProtocolError("the Gemini API goes on with no prompt text, only with messages")
    can = capabilities or Capabilities()
    old = _BEFORE_3.match(model) is not None
    system, contents = _conversation(request.messages, can, "" if old else _UNSIGNED)
    config = _config(request.settings)
    if request.output is not None:
        if can.json_schema and not (old and request.tools):
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = narrowed(request.output, _KEYWORDS)
        else:
            system.append({"text": schema_words(request.output)})
    body: dict[str, Json] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(spec) for spec in request.tools]}]
        if request.tool_choice != "auto":
            mode = _CHOICES.get(request.tool_choice)
            choice: Block = {"mode": mode or "ANY"}
            if mode is None:
                choice["allowedFunctionNames"] = [request.tool_choice]
            body["toolConfig"] = {"functionCallingConfig": choice}
    extra = dict(request.settings.extra or {})
    own = extra.pop("generationConfig", None)
    if isinstance(own, Mapping):
        config.update(own)
    if config:
        body["generationConfig"] = config
    body.update(extra)
    return body


def _config(settings: Settings) -> Block:
    values: dict[str, Json] = {
        "temperature": settings.temperature,
        "topP": settings.top_p,
        "maxOutputTokens": settings.max_tokens,
        "seed": settings.seed,
        "stopSequences": list(settings.stop) if settings.stop else None,
    }
    config: Block = {name: value for name, value in values.items() if value is not None}
    effort = settings.reasoning
    if effort == "none":
        config["thinkingConfig"] = {"thinkingBudget": 0}
    elif effort is not None:
        depth: Block = {"thinkingLevel": effort.upper()}
        if effort.isdecimal():
            depth = {"thinkingBudget": int(effort)}
        config["thinkingConfig"] = {"includeThoughts": True, **depth}
    return config


def _declaration(spec: ToolSpec) -> Json:
    out: Block = {"name": spec.name, "description": spec.description}
    if spec.parameters.get("properties"):
        out["parametersJsonSchema"] = narrowed(spec.parameters, _KEYWORDS)
    return out


def _conversation(
    messages: Sequence[Message], can: Capabilities, unsigned: str
) -> tuple[list[Json], list[Json]]:
    """Return the system's parts and the turns. Results stand in a turn of their own."""
    system: list[Json] = []
    contents: list[Json] = []
    names: dict[str, str] = {}
    kind = ""
    parts: list[Json] = []
    for place, message in enumerate(messages):
        names |= {call.id: call.name for call in message.calls}
        new = _parts(message, place, can, names, unsigned)
        if message.role == "system":
            system += new
        elif new:
            if message.role != kind:
                kind, parts = message.role, []
                contents.append({"role": "model" if kind == "assistant" else "user", "parts": parts})
            parts += new
    return system, contents


def _parts(
    message: Message, place: int, can: Capabilities, names: Mapping[str, str], unsigned: str
) -> list[Block]:
    content = message.content
    given: Sequence[Part] = [TextPart(content)] if isinstance(content, str) else content
    if message.role == "tool":
        return _result(message, given, place, can, names)
    parts = [_part(p, place, can) for p in given if not isinstance(p, TextPart) or p.text]
    if message.role != "assistant":
        return parts
    if message.refusal and not parts:
        parts = [{"text": message.refusal}]
    signature = (message.extra or {}).get("gemini")
    if parts and isinstance(signature, str):
        parts[-1]["thoughtSignature"] = signature
    for number, call in enumerate(message.calls):
        part: Block = {
            "functionCall": {"id": call.id, "name": call.name, "args": arguments_object(call.arguments)}
        }
        signature = (call.extra or {}).get("gemini")
        if isinstance(signature, str):
            part["thoughtSignature"] = signature
        elif number == 0 and unsigned:
            part["thoughtSignature"] = unsigned
        parts.append(part)
    return parts


def _result(
    message: Message, given: Sequence[Part], place: int, can: Capabilities, names: Mapping[str, str]
) -> list[Block]:
    """Return a result, and what of it is no text behind it."""
    identity = message.call_id or ""
    name = names.get(identity)
    if name is None:
        raise LocalProtocolError(f"message {place + 1} is a result for a call that no message makes")
    response: Block = {"id": identity, "name": name, "response": {"output": message.text}}
    others = [_part(part, place, can) for part in given if not isinstance(part, TextPart)]
    return [{"functionResponse": response}, *others]


def _part(part: Part, place: int, can: Capabilities) -> Block:
    if isinstance(part, TextPart):
        return {"text": part.text}
    if isinstance(part, ImagePart):
        if not can.images:
            raise LocalProtocolError(f"message {place + 1} holds an image, but the endpoint takes none")
        return _image(part.url, place)
    if not can.files:
        raise LocalProtocolError(f"message {place + 1} holds a file, but the endpoint takes none")
    return _file(part)


def _image(url: str, place: int) -> Block:
    data = _DATA.fullmatch(url)
    if data is not None:
        return {"inlineData": {"mimeType": data[1], "data": data[2]}}
    if not url.startswith(("https:", "http:", "gs:")):
        raise LocalProtocolError(f"message {place + 1}: an image needs an https: or a data:…;base64, address")
    kind = mimetypes.guess_type(url.split("?")[0])[0] or "image/jpeg"
    return {"fileData": {"fileUri": url, "mimeType": kind}}


def _file(part: FilePart) -> Block:
    if part.file_id is not None:
        return {"fileData": {"fileUri": part.file_id, "mimeType": part.media_type}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
