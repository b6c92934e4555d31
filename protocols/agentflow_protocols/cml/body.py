"""The body of a call: a tool's name with its arguments, as JSON or as a Python call of literals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from math import isinf

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.chat.scan import object_fault
from agentflow_protocols.cml.escaping import escape, unescape
from agentflow_protocols.cml.literal import (
    MOST_DIGITS,
    MOST_LEVELS,
    LiteralFault,
    read_arguments,
    write_arguments,
)
from agentflow_protocols.cml.markup import Markup
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["OPENERS", "BodyFault", "read_body", "write_body"]

OPENERS: Mapping[str, str] = {"json": "{", "python": "("}  # what ends a tool's name and begins its arguments
BLANK = " \t\r\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_encoded = json.JSONEncoder(ensure_ascii=False).encode
_LONG = re.compile(r"[0-9][eE]\+?[0-9]{3}|(?<![0-9])[0-9]{300}")  # numbers that may be too large
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


class BodyFault(ValueError):
    """A call's body is no call; the message is one line for the model."""


def read_body(body: str, markup: Markup) -> tuple[str, str]:
    """Return the tool's name and its arguments, the JSON text of an object.

    Escapes in strings are undone. Raises `BodyFault`.
    """
    opener = OPENERS[markup.body]
    name, found, rest = body.strip(BLANK).partition(opener)
    name = name.rstrip(BLANK)
    example = 'name {"argument": 1}' if markup.body == "json" else 'name(argument=1, other="x")'
    if not name:
        raise BodyFault(f"a call without a tool's name: write {example}")
    if _NAME.fullmatch(name) is None:
        raise BodyFault(f"{_quoted(name)} is no tool's name: write {example}")
    if not found:
        raise BodyFault(f"{_quoted(name)} has no arguments, not even empty ones: write {example}")
    try:
        arguments = (_read_json if markup.body == "json" else _read_python)(opener + rest, markup)
    except LiteralFault as fault:
        raise BodyFault(f"in the arguments of {_quoted(name)}: {fault}{_hint(str(fault))}") from None
    return name, arguments


def _hint(fault: str) -> str:
    if not any(sign in fault for sign in ("Unterminated string", "escape", "string that does not end")):
        return ""
    return (
        " (a control token inside a string ends it: write two backslashes after the token's first character)"
    )


def _quoted(name: str) -> str:
    return json.dumps(name if len(name) <= 64 else f"{name[:63]}…")


def _read_json(text: str, markup: Markup) -> str:
    fault = _object_fault(text)
    if fault is not None:
        raise LiteralFault(fault)
    if "\\" not in text:
        return text
    value = json.loads(text)
    plain = _mapped(value, lambda string: unescape(string, markup))
    return text if plain == value else _dumped(plain)


def _object_fault(text: str) -> str | None:
    """Return what keeps `text` from being the JSON text of arguments, or None."""
    fault = object_fault(text)
    if fault is None and _LONG.search(text) is not None:
        try:
            json.loads(text, parse_int=_whole, parse_float=_real)
        except LiteralFault as error:
            return str(error)
    if fault is None and text.count("{") + text.count("[") > MOST_LEVELS and _too_deep(json.loads(text)):
        return f"more than {MOST_LEVELS} levels"
    return fault


def _too_deep(value: object) -> bool:
    level = [value]
    for _ in range(MOST_LEVELS):
        inner = [outer.values() if isinstance(outer, dict) else outer for outer in level]
        level = [item for items in inner if isinstance(items, Iterable) for item in items if _holds(item)]
    return bool(level)


def _holds(value: object) -> bool:
    return isinstance(value, dict | list)


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise LiteralFault(f"a number of more than {MOST_DIGITS} characters")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if len(text) > MOST_DIGITS or isinf(value):
        raise LiteralFault(f"{text[:20]} is a number that is too large")
    return value


def _read_python(text: str, markup: Markup) -> str:
    value = read_arguments(text)
    return _dumped(_mapped(value, lambda string: unescape(string, markup)) if "\\" in text else value)


def _dumped(value: Json) -> str:
    text = _encoded(value)
    try:
        _ = text.isascii() or text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _mapped(value: Json, change: Callable[[str], str]) -> Json:
    """Return `value` with each string in it, keys too, changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return value


def write_body(name: str, arguments: str, markup: Markup) -> str:
    """Return the body of a call of `name` with `arguments`, the JSON text of an object.

    Raises `LocalProtocolError` for what the body's language can't say.
    """
    if _NAME.fullmatch(name) is None:
        raise LocalProtocolError(f"{_quoted(name)} can't be the name of a tool in a call")
    fault = _object_fault(arguments)
    if fault is not None:
        raise LocalProtocolError(f"the arguments of a call of {_quoted(name)}: {fault}")
    value = json.loads(arguments)
    safe = _mapped(value, lambda string: escape(string, markup))
    assert isinstance(safe, Mapping)
    if markup.body == "json":
        body = arguments.strip(BLANK) if safe == value else _dumped(safe)
        write = _dumped
    else:
        wrong = next((key for key in safe if _KEY.fullmatch(key) is None), None)
        if wrong is not None:
            raise LocalProtocolError(f"{_quoted(wrong)} can't be the name of an argument in a Python call")
        body, write = write_arguments(safe), write_arguments
    if any(token in body for token in markup.tokens):
        body = _spelled_out(write(safe))
        if any(token in body for token in markup.tokens):
            raise LocalProtocolError(f"the arguments of a call of {_quoted(name)} can't be told from a token")
    return f"{name} {body}" if markup.body == "json" else name + body


def _spelled_out(body: str) -> str:
    """Return `body` with each character of its strings as an escape and blanks between its signs."""
    out: list[str] = []
    done = 0
    for found in _STRING.finditer(body):
        out.append(" ".join(re.findall(r"[{}\[\](),:=]|[^{}\[\](),:=\s]+", body[done : found.start()])))
        units = json.loads(found[0]).encode("utf-16-be", "surrogatepass")
        out.append(
            '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)) + '"'
        )
        done = found.end()
    return "".join([*out, body[done:]])
