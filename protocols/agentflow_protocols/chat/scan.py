"""Say when a JSON value that arrives in pieces is complete.

A tool call may start as soon as its arguments close, long before the reply ends.
The scanner only counts brackets outside strings: linear time, a few words of
state, any split. Whether the text is valid JSON is for `object_fault` to say.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

__all__ = ["JsonScanner", "object_fault"]

_OUTSIDE = re.compile(r'["{}\[\]]')
_INSIDE = re.compile(r'["\\]')


class JsonScanner:
    """Find the end of the first JSON object or array in a text told in pieces."""

    __slots__ = ("_depth", "_escaped", "_in_string", "complete")

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self.complete = False

    def feed(self, piece: str) -> int:
        """Read `piece`; return the offset in it just past the value's end, or -1 before that."""
        if self.complete:
            return 0
        at = 0
        if self._escaped and piece:
            self._escaped = False
            at = 1
        while True:
            found = (_INSIDE if self._in_string else _OUTSIDE).search(piece, at)
            if found is None:
                return -1
            at = found.end()
            mark = found[0]
            if mark == '"':
                self._in_string = not self._in_string
            elif mark == "\\":
                if at == len(piece):
                    self._escaped = True
                    return -1
                at += 1
            elif mark in "{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth <= 0:
                    self.complete = True
                    return at


def object_fault(text: str) -> str | None:
    """Return what keeps `text` from being a JSON object, with line and column, or None."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return f"no valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except RecursionError:
        return "no valid JSON: nested too deeply"
    except ValueError as error:
        return f"no valid JSON: {str(error).split(';')[0]}"
    if isinstance(value, dict):
        return None
    return f"a JSON object is needed, but this is {_KINDS[type(value)]}"


_KINDS: dict[type, str] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
