"""References in a call's arguments: `"$c1.field"` stands for what the call `c1` returned.

A model that may name a result that is not there yet can write a whole chain of calls
in one message, which saves a request for each link. Only earlier calls can be named,
so there are no cycles. A string that begins with `$$` is a plain one with one `$` less.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from agentflow_protocols.chat import Json

__all__ = ["Reference", "accepting", "fill", "find_references", "pick"]

_FORM = re.compile(r"\$([A-Za-z_]\w{0,63})((?:\.\w[^.\[\]\s]*|\[\d{1,9}\])*)")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_NUMBERED = re.compile(r"c\d+")
_PLAIN_STRING = {"type", "description", "title", "default", "examples"}


@dataclass(slots=True, frozen=True)
class Reference:
    """A string of the arguments that names a call, and a path into what it returned."""

    text: str
    call: str
    path: tuple[str, ...]


def find_references(arguments: str, known: Callable[[str], bool]) -> list[Reference]:
    """Return the references in a JSON text, each once.

    A `$name` counts as one when `known(name)`, or when the name is `c` and a number.
    """
    if "$" not in arguments:
        return []
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return []
    found: dict[str, Reference] = {}
    _walk(value, lambda text: found.setdefault(text, r) if (r := _read(text, known)) else None)
    return list(found.values())


def fill(arguments: str, values: Mapping[str, Json]) -> str:
    """Return the JSON text with each reference of `values` replaced, and `$$` unescaped."""
    if "$" not in arguments:
        return arguments

    def put(text: str) -> object:
        if text in values:
            return values[text]
        return text[1:] if text.startswith("$$") and _FORM.fullmatch(text[1:]) else None

    try:
        return json.dumps(_walk(json.loads(arguments), put), ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


def pick(text: str, reference: Reference) -> Json:
    """Return what a reference stands for in the result `text`; LookupError says what is not there."""
    value: object = text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if not reference.path:
            return text
        raise LookupError(f"`{reference.text}`: the result of {reference.call} is no JSON") from None
    for step in reference.path:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            there = f"there are {', '.join(list(value)[:20])}" if isinstance(value, dict) else _kind(value)
            raise LookupError(f"`{reference.text}`: the result of {reference.call} has no `{step}`: {there}")
    return cast("Json", value)


def accepting(parameters: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return a tool's JSON Schema in which each argument may be a reference, too."""
    properties = parameters.get("properties")
    if not isinstance(properties, Mapping):
        return parameters
    return {**parameters, "properties": {name: _accepting(schema) for name, schema in properties.items()}}


def _accepting(schema: Json) -> Json:
    if not isinstance(schema, Mapping):
        return schema
    if schema.get("type") == "string" and not set(schema) - _PLAIN_STRING:
        return schema
    outer = {name: schema[name] for name in ("description", "title", "default") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in outer}
    return {**outer, "anyOf": [inner, {"type": "string", "pattern": r"^\$"}]}


def _read(text: str, known: Callable[[str], bool]) -> Reference | None:
    form = _FORM.fullmatch(text)
    if form is None or not (_NUMBERED.fullmatch(form[1]) or known(form[1])):
        return None
    return Reference(text, form[1], tuple(a or b for a, b in _STEP.findall(form[2])))


def _walk(value: object, put: Callable[[str], object]) -> object:
    """Return `value` with each string for which `put` returns something replaced by that."""
    if isinstance(value, str):
        if not value.startswith("$"):
            return value
        found = put(value)
        return value if found is None else found
    if isinstance(value, dict):
        return {name: _walk(item, put) for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_walk(item, put) for item in value]
    return value


def _kind(value: object) -> str:
    if isinstance(value, list):
        return f"it is a list of {len(value)}"
    return f"it is {json.dumps(value, ensure_ascii=False)[:60]}"
