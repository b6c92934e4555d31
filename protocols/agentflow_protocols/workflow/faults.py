"""What pydantic says of a workflow, in our own words: what was found, what is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from agentflow_protocols.workflow.base import PATTERNS
from agentflow_protocols.workflow.document import Document, Path
from agentflow_protocols.workflow.models import SettingsSection
from agentflow_protocols.workflow.problem import Problem, did_you_mean, one_of
from agentflow_protocols.workflow.secret import looks_secret

__all__ = ["faults", "shown"]

_ALLOWED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_too_short": "text that is not empty",
    "string_too_long": "shorter text",
    "finite_number": "a finite number",
    "too_short": "one that is not empty",
}
_HINTS = {
    "api_key": "keys never stand in a file; write `api_key_env: NAME` with the variable that holds it",
    "extends": "write `include: FILE`",
}
_SCHEMA = TypeAdapter(dict[str, JsonValue])


def shown(value: object) -> str:
    """Return `value` as an error may show it: its kind, and a short safe form."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        if looks_secret(value):
            return "text that looks like a key"
        line = " ".join(value.split())
        return f'"{line[:37]}..."' if len(line) > 40 else f'"{line}"'
    return json.dumps(value)[:40] if isinstance(value, bool | int | float) else type(value).__name__


def faults(model: type[BaseModel], document: Document, value: JsonValue) -> list[Problem]:
    """Return what is wrong with `value`, read from `document`, as a `model`."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return list(_problems(model, document, error))
    return []


def _problems(model: type[BaseModel], document: Document, error: ValidationError) -> Iterable[Problem]:
    for fault in error.errors(include_url=False):
        path = [part for part in fault["loc"] if part != "[key]"]
        where = _dotted(path[:-1]) or "the file"
        kind, last, found = fault["type"], path[-1] if path else "", shown(fault["input"])
        context = fault.get("ctx", {})
        if kind == "extra_forbidden":
            names = _allowed_keys(model, path[:-1])
            hint = _HINTS.get(str(last)) or f"allowed: {one_of(names)}{did_you_mean(str(last), names)}"
            if last in SettingsSection.model_fields and "settings" in names:
                hint = f"write `settings: {{{last}: …}}`"
            yield document.problem(path, f"unknown key `{str(last)[:60]}` in {where}; {hint}", key=True)
        elif kind == "missing":
            yield document.problem(path[:-1], f"`{last}` is missing in {where}", key=True)
        elif "[key]" in fault["loc"]:
            allowed = PATTERNS.get(str(context.get("pattern")), "a shorter name")
            yield document.problem(
                path, f"bad name `{str(last)[:60]}` in {where}; allowed is {allowed}", key=True
            )
        elif kind == "literal_error":
            names = [name.strip("' ") for name in str(context["expected"]).replace(" or ", ", ").split(",")]
            near = did_you_mean(str(fault["input"]), names)
            yield document.problem(path, f"{_dotted(path)} is {found}; allowed: {', '.join(names)}{near}")
        elif kind == "value_error" and isinstance(fault["input"], dict):
            yield document.problem(path, f"{_dotted(path)}: {context['error']}")
        else:
            yield document.problem(path, f"{_dotted(path)} is {found}; {_rule(kind, fault['msg'], context)}")


def _rule(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"allowed is {PATTERNS.get(str(context['pattern']), 'other text')}"
    for bound, words in (("gt", "more than"), ("ge", "at least"), ("le", "at most"), ("lt", "less than")):
        if bound in context:
            return f"allowed is {words} {context[bound]:g}"
    return f"allowed is {_ALLOWED[kind]}" if kind in _ALLOWED else message[:1].lower() + message[1:]


def _dotted(path: Path) -> str:
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part[:60]}" if out else part[:60]
    return out


@cache
def _schema(model: type[BaseModel]) -> dict[str, JsonValue]:
    return _SCHEMA.validate_python(model.model_json_schema())


def _allowed_keys(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys that `model` has at `path`, read off its JSON Schema."""
    root = _schema(model)
    defs = root.get("$defs")
    level: list[dict[str, JsonValue]] = [root]
    for part in (*path, None):
        flat: list[dict[str, JsonValue]] = []
        while level:
            node = level.pop()
            name = str(node.get("$ref", "")).rpartition("/")[2]
            target = defs.get(name) if isinstance(defs, dict) and name else None
            options = node.get("anyOf")
            level += [
                item for item in (options if isinstance(options, list) else []) if isinstance(item, dict)
            ]
            level += [target] if isinstance(target, dict) else []
            flat.append(node)
        if part is None:
            return [name for node in flat for name in _mapping(node.get("properties"))]
        for node in flat:
            inner = [_mapping(node.get("properties")).get(str(part)), node.get("additionalProperties")]
            inner += [node.get("items") if isinstance(part, int) else None]
            inner += _mapping(node.get("patternProperties")).values()
            level += [item for item in inner if isinstance(item, dict)]
    return []


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
