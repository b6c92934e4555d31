"""What is wrong with a call's arguments, in one line that a model can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

__all__ = ["clip_value", "fault_line", "unknown_name"]

_MOST_FAULTS = 5
_LONGEST_VALUE = 60


def fault_line(tool: str, errors: Sequence[Mapping[str, object]], names: Sequence[str]) -> str:
    """Return one line for pydantic's `errors`: the path, what was found, what is allowed."""
    parts: list[str] = []
    for error in errors[:_MOST_FAULTS]:
        part = _one(error, names)
        if part not in parts:
            parts.append(part)
    if len(errors) > _MOST_FAULTS:
        parts.append(f"{len(errors) - _MOST_FAULTS} more")
    return f"{tool}: {'; '.join(parts)}"


def unknown_name(path: str, name: str, allowed: Sequence[str]) -> str:
    """Return the fault of a name that is none of `allowed`, with the nearest one."""
    near = get_close_matches(name, allowed, 1)
    known = ", ".join(f"`{each}`" for each in allowed) or "none"
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"`{path}`: no such parameter ({hint}allowed: {known})"


def clip_value(value: object) -> str:
    """Return `value` as JSON, cut to a few dozen characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _one(error: Mapping[str, object], names: Sequence[str]) -> str:
    kind, text = str(error["type"]), str(error["msg"])
    location = error["loc"] if isinstance(error["loc"], tuple) else ()
    path = _path(location)
    if kind == "json_invalid":
        return f"the arguments are no JSON: {text.removeprefix('Invalid JSON: ')}"
    if kind == "extra_forbidden":
        return unknown_name(path, str(location[-1]), names if len(location) == 1 else ())
    if kind == "missing":
        return f"`{path}` is missing"
    found = clip_value(error.get("input"))
    if not path:
        return f"the arguments must be a JSON object, found {found}"
    allowed = text[:1].lower() + text[1:]
    return f"`{path}`: {allowed.removeprefix('value error, ')}, found {found}"


def _path(location: Sequence[object]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
