"""What some providers take only in part: JSON Schemas, arguments, numbers in a body."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from pydantic_core import PydanticSerializationError, to_json

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.chat.scan import object_fault

__all__ = ["arguments_object", "body_bytes", "closable", "narrowed", "schema_words"]

_NAMED = ("properties", "$defs", "definitions")  # keywords that hold schemas by name
_SILENT = ("$schema", "$id", "$comment", "default", "examples", "title", "additionalProperties")


def narrowed(schema: Json, keywords: Collection[str], closed: bool = False) -> Json:
    """Return `schema` with `keywords` alone; what else it demands is told in its description.

    `closed` forbids properties that are not named, in every object that names some.
    """
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return [narrowed(each, keywords, closed) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    out: dict[str, Json] = {}
    told: list[str] = []
    for key, value in schema.items():
        if key == "const" and key not in keywords:
            out["enum"] = [value]
        elif key not in keywords:
            if key not in _SILENT:
                told.append(f"{key}: {json.dumps(value, ensure_ascii=False, default=dict)}")
        elif key in _NAMED and isinstance(value, Mapping):
            out[key] = {name: narrowed(inner, keywords, closed) for name, inner in value.items()}
        elif key in ("enum", "const", "required", "example"):
            out[key] = value
        else:
            out[key] = narrowed(value, keywords, closed)
    if told:
        out["description"] = " ".join([str(out.get("description", "")), f"({', '.join(told)})"]).strip()
    if closed and (out.get("type") == "object" or "properties" in out):
        out["additionalProperties"] = False
    return out


def closable(schema: Json) -> bool:
    """Return whether no object in `schema` may have properties of any name."""
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return all(closable(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("additionalProperties") or (schema.get("type") == "object" and "properties" not in schema):
        return False
    return all(closable(value) for value in schema.values())


def schema_words(schema: Mapping[str, Json]) -> str:
    """Return the words that ask for an answer that follows `schema`."""
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), default=dict)
    return f"Answer with one JSON object that follows this JSON Schema:\n{text}"


def arguments_object(text: str) -> Mapping[str, Json]:
    """Return a call's arguments as an object, whatever the model wrote: what is none stands in one."""
    if not text:
        return {}
    if object_fault(text) is not None:
        return {"arguments": text}
    return cast("Mapping[str, Json]", json.loads(text))


def body_bytes(body: Mapping[str, Json]) -> bytes:
    """Return `body` as JSON; half a surrogate pair becomes a question mark, what is no number null."""
    try:
        return to_json(body, fallback=dict, inf_nan_mode="null")
    except PydanticSerializationError:  # a lone surrogate in a text
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=dict)
        return text.encode("utf-8", "replace")
