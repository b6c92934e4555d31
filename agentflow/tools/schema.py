"""Parameters that are given as a JSON Schema, and what is wrong with a value under one.

Covers what tool and output schemas use: types, enum, const, objects, arrays, bounds,
pattern, the combinators and local `$ref`. Other keywords are left unchecked.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from agentflow.errors import ToolRetry
from agentflow.tools.faults import clip_value, unknown_name
from agentflow_protocols.chat.messages import Json

__all__ = ["SchemaParameters", "schema_faults"]

_DEEPEST = 64
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


_BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": (">=", operator.ge),
    "maximum": ("<=", operator.le),
    "exclusiveMinimum": (">", operator.gt),
    "exclusiveMaximum": ("<", operator.lt),
    "multipleOf": ("a multiple of", lambda value, step: abs(value / step - round(value / step)) < 1e-9),
}


class SchemaParameters:
    """Parameters under a JSON Schema of an object."""

    takes_context = True

    def __init__(self, tool: str, schema: Mapping[str, Json], description: str = "") -> None:
        self._tool = tool
        self.schema: Mapping[str, Json] = {"type": "object", "properties": {}, **schema}
        self.description = description

    def validate(self, arguments: str) -> dict[str, object]:
        """Return the arguments of a JSON object's text.

        Raises `ToolRetry` whose one line says what is wrong and what is allowed.
        """
        try:
            values = json.loads(arguments.strip() or "{}")
        except ValueError as error:
            raise ToolRetry(f"{self._tool}: the arguments are no JSON: {error}") from None
        if not isinstance(values, dict):
            raise ToolRetry(f"{self._tool}: the arguments must be a JSON object, found {clip_value(values)}")
        faults = schema_faults(values, self.schema)
        if faults:
            raise ToolRetry(f"{self._tool}: {'; '.join(faults)}")
        return values


def schema_faults(value: Json, schema: Mapping[str, Json], most: int = 5) -> list[str]:
    """Return what is wrong with `value` under `schema`, at most `most` lines; none when it fits."""
    out: list[str] = []
    for fault in _faults(value, schema, schema, "", 0):
        if fault not in out:
            out.append(fault)
        if len(out) == most:
            break
    return out


def _faults(value: Json, schema: Json, root: Mapping[str, Json], path: str, depth: int) -> Iterator[str]:
    if schema is False:
        yield f"{_at(path)} is not allowed"
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield from _faults(value, _target(root, reference), root, path, depth + 1)
    kinds = schema.get("type")
    names = [kinds] if isinstance(kinds, str) else list(kinds) if isinstance(kinds, Sequence) else []
    if names and not any(_is(value, str(name)) for name in names):
        yield f"{_at(path)} must be of type {' or '.join(map(str, names))}, found {clip_value(value)}"
        return
    options = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(options, Sequence) and not any(_same(value, option) for option in options):
        allowed = ", ".join(clip_value(option) for option in options)
        yield f"{_at(path)} must be one of {allowed}, found {clip_value(value)}"
    if isinstance(value, str):
        yield from _text_faults(value, schema, path)
    elif isinstance(value, dict):
        yield from _object_faults(value, schema, root, path, depth)
    elif isinstance(value, list):
        yield from _array_faults(value, schema, root, path, depth)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_faults(value, schema, path)
    yield from _combined_faults(value, schema, root, path, depth)


def _text_faults(value: str, schema: Mapping[str, Json], path: str) -> Iterator[str]:
    yield from _size_faults(len(value), schema, path, "minLength", "maxLength", "characters")
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _matches(pattern, value):
        yield f"{_at(path)} must match `{pattern}`, found {clip_value(value)}"


def _number_faults(value: float, schema: Mapping[str, Json], path: str) -> Iterator[str]:
    for keyword, (sign, fits) in _BOUNDS.items():
        bound = schema.get(keyword)
        if isinstance(bound, int | float) and not isinstance(bound, bool) and not fits(value, bound):
            yield f"{_at(path)} must be {sign} {bound}, found {clip_value(value)}"


def _size_faults(
    size: int, schema: Mapping[str, Json], path: str, least: str, most: str, unit: str
) -> Iterator[str]:
    low, high = schema.get(least), schema.get(most)
    if isinstance(low, int) and size < low:
        yield f"{_at(path)} must have at least {low} {unit}, found {size}"
    if isinstance(high, int) and size > high:
        yield f"{_at(path)} must have at most {high} {unit}, found {size}"


def _object_faults(
    value: dict[str, Json], schema: Mapping[str, Json], root: Mapping[str, Json], path: str, depth: int
) -> Iterator[str]:
    known = schema.get("properties")
    properties = known if isinstance(known, Mapping) else {}
    required = schema.get("required")
    for name in required if isinstance(required, Sequence) else ():
        if name not in value:
            yield f"{_at(_join(path, str(name)))} is missing"
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            yield from _faults(item, properties[name], root, _join(path, name), depth + 1)
        elif others is False:
            yield unknown_name(_join(path, name), name, list(properties))
        else:
            yield from _faults(item, others, root, _join(path, name), depth + 1)
    yield from _size_faults(len(value), schema, path, "minProperties", "maxProperties", "properties")


def _array_faults(
    value: list[Json], schema: Mapping[str, Json], root: Mapping[str, Json], path: str, depth: int
) -> Iterator[str]:
    yield from _size_faults(len(value), schema, path, "minItems", "maxItems", "items")
    first = schema.get("prefixItems")
    heads = list(first) if isinstance(first, Sequence) else []
    for i, item in enumerate(value):
        rule = heads[i] if i < len(heads) else schema.get("items", True)
        yield from _faults(item, rule, root, f"{path}[{i}]", depth + 1)
    if schema.get("uniqueItems") is True and len({json.dumps(v, sort_keys=True) for v in value}) < len(value):
        yield f"{_at(path)} must hold no item twice"


def _combined_faults(
    value: Json, schema: Mapping[str, Json], root: Mapping[str, Json], path: str, depth: int
) -> Iterator[str]:
    for rule in _list(schema.get("allOf")):
        yield from _faults(value, rule, root, path, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        rules = _list(schema.get(keyword))
        if not rules:
            continue
        tries = [list(_faults(value, rule, root, path, depth + 1)) for rule in rules]
        fits = sum(not faults for faults in tries)
        if fits == 0:
            yield min(tries, key=len)[0]
        elif fits > 1 and keyword == "oneOf":
            yield f"{_at(path)} must fit exactly one of {len(rules)} forms, fits {fits}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True  # another dialect's pattern


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _target(root: Mapping[str, Json], reference: str) -> Json:
    at: Json = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part and isinstance(at, Mapping):
            at = at.get(part.replace("~1", "/").replace("~0", "~"))
    return at


def _is(value: Json, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def _same(a: Json, b: Json) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(path: str) -> str:
    return f"`{path}`" if path else "the value"
