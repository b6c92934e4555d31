"""Lines of an experiment file: JSON objects, as people and programs really write them.

A line is refused only where it can't be read. What can be repaired is, and noted.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping, Sequence
from typing import NoReturn

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.problem import Problem, kind_of, shown
from agentflow_protocols.experiment.record import Record, Values, without_nan

__all__ = ["DEEPEST", "read_json", "read_line", "to_line"]

DEEPEST = 100
"""How deep the values of a line may be nested."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _Twice(Exception):
    """A key stands twice in an object."""


class _NotFinite(Exception):
    """A number is NaN, infinite or too big for a float."""


def read_line(raw: bytes, line: int, *, first: bool = False) -> Record | Problem | None:
    """Return the record on a line; None for a blank line, a Problem for one that can't be read.

    `raw` may end in a line feed, `line` counts from 1, `first` is the file's first line. Never
    raises. NaN and infinite numbers, which are no JSON, are read as null, with a note.
    """
    if first and raw.startswith(_UTF16):
        return Problem(line, "the file is UTF-16; save it as UTF-8")
    notes: tuple[str, ...] = ()
    if raw.startswith(codecs.BOM_UTF8):
        raw = raw[3:]
        notes = () if first else ("a byte order mark before the line was passed over",)
    try:
        text = raw.decode().strip(" \t\r\n")
    except UnicodeDecodeError as error:
        return Problem(line, f"byte {error.start + 1} (0x{raw[error.start]:02x}) is no UTF-8")
    if not text:
        return None
    value, found = read_json(text)
    if isinstance(value, Problem):
        return Problem(line, value.message)
    if not isinstance(value, dict):
        return Problem(line, f"{kind_of(value)} where an object {{…}} must stand")
    return Record(line, value, notes + found)


def to_line(values: Mapping[str, Json]) -> bytes:
    """Return the line of `values`: ASCII JSON with prompto's spaces, a line feed at its end.

    What JSON can't say (NaN, infinite numbers) is written as null.
    """
    try:
        text = json.dumps(values, allow_nan=False)
    except (TypeError, ValueError):
        text = json.dumps(without_nan(values))
    return text.encode("ascii") + b"\n"


def read_json(
    text: str, deepest: int = DEEPEST
) -> tuple[Values | list[Json] | str | int | float | bool | Problem | None, tuple[str, ...]]:
    """Return the value of a JSON text, a Problem for no JSON, and notes of what was repaired."""
    notes: list[str] = []
    try:
        try:
            value = _STRICT.decode(text)
        except _NotFinite:
            value = _repairing(notes).decode(text)
    except json.JSONDecodeError as error:
        return Problem(0, _fault(error, text)), ()
    except _Twice as error:
        return Problem(0, f"the key {shown(error.args[0])} stands twice in one object"), ()
    except RecursionError:
        return Problem(0, f"values nested more than {DEEPEST} levels deep"), ()
    except ValueError:
        return Problem(0, "a whole number of more than 4,300 digits"), ()
    if text.count("[") + text.count("{") > deepest and _too_deep(value, deepest):
        return Problem(0, f"values nested more than {deepest} levels deep"), ()
    return value, tuple(dict.fromkeys(notes))


def _fault(error: json.JSONDecodeError, text: str) -> str:
    if error.pos >= len(text) or error.msg.startswith("Unterminated"):
        return f"the line ends inside its JSON, after {len(text):,} characters: it was cut off"
    if text[error.pos] in "'":
        return f"no JSON: a single quote at column {error.pos + 1}; JSON has double quotes"
    if error.msg == "Extra data":
        return f"more text after the JSON, from column {error.pos + 1} on; one object a line"
    return f"no JSON: {error.msg[:1].lower()}{error.msg[1:]} at column {error.pos + 1}"


def _object(pairs: list[tuple[str, Json]]) -> Values:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        raise _Twice(next(name for name, _ in pairs if name in seen or seen.add(name)))  # type: ignore[func-returns-value]
    return values


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NotFinite
    return value


def _constant(_: str) -> NoReturn:
    raise _NotFinite


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)


def _repairing(notes: list[str]) -> json.JSONDecoder:
    """Return a decoder that reads what is no finite number as null, and notes it."""

    def null(text: str) -> float | None:
        notes.append(f"{text[:20]} read as null")
        return None

    def number(text: str) -> float | None:
        value = float(text)
        return value if math.isfinite(value) else null(text)

    return json.JSONDecoder(object_pairs_hook=_object, parse_float=number, parse_constant=null)


def _too_deep(value: Json, deepest: int) -> bool:
    """Return whether `value` is nested more than `deepest` levels deep. It does not recurse."""
    level: list[Json] = [value]
    for _ in range(deepest):
        inner: list[Json] = []
        for item in level:
            if isinstance(item, Mapping):
                inner += item.values()
            elif isinstance(item, Sequence) and not isinstance(item, str):
                inner += item
        if not inner:
            return False
        level = inner
    return any(not isinstance(item, str | int | float | None) for item in level)
