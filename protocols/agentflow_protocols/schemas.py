"""The JSON Schemas of what agentflow reads and writes: workflow files, experiments, lines of a trace."""

from __future__ import annotations

from dataclasses import fields

from pydantic import JsonValue

from agentflow_protocols.chat.messages import Usage
from agentflow_protocols.experiment.schema import record_schema
from agentflow_protocols.trace import EVENTS
from agentflow_protocols.workflow.models import Workflow

__all__ = ["SCHEMAS", "schema_of"]

SCHEMAS = ("experiment", "trace", "workflow")
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_KINDS: dict[str, dict[str, JsonValue]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "str | None": {"type": ["string", "null"]},
    "float | None": {"type": ["number", "null"]},
    "tuple[str, ...]": {"type": "array", "items": {"type": "string"}},
    "Usage": {"$ref": "#/$defs/Usage"},
    "Json": {},
}


def schema_of(name: str) -> dict[str, JsonValue]:
    """Return the JSON Schema called `name`, one of `SCHEMAS`. Raises `KeyError` for another."""
    return {"experiment": _experiment, "trace": _trace, "workflow": _workflow}[name]()


def _workflow() -> dict[str, JsonValue]:
    return {"$schema": _DRAFT, **Workflow.model_json_schema()}


def _experiment() -> dict[str, JsonValue]:
    return {"$schema": _DRAFT, **record_schema()}


def _trace() -> dict[str, JsonValue]:
    """One line of a trace: any of the events, told apart by `type`."""
    definitions: dict[str, JsonValue] = {"Usage": _object(Usage, {})}
    for name, event in sorted(EVENTS.items()):
        definitions[name] = _object(event, {"type": {"const": name}})
    refs: list[JsonValue] = [{"$ref": f"#/$defs/{name}"} for name in sorted(EVENTS)]
    return {"$schema": _DRAFT, "title": "agentflow trace, one line", "oneOf": refs, "$defs": definitions}


def _object(cls: type, first: dict[str, JsonValue]) -> dict[str, JsonValue]:
    properties = {**first, **{field.name: _KINDS[str(field.type)] for field in fields(cls)}}
    required: list[JsonValue] = list(properties)
    return {
        "type": "object",
        "description": " ".join((cls.__doc__ or "").split()),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
