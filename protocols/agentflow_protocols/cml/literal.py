"""Read and write the arguments of a Python call of literals. Nothing is ever evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from agentflow_protocols.chat.messages import Json

__all__ = ["MOST_DIGITS", "MOST_LEVELS", "LiteralFault", "read_arguments", "write_arguments"]

MOST_LEVELS = 64  # of containers in one another, the arguments themselves included
MOST_DIGITS = 400
_BLANK = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)[ \t\r\n]*=(?!=)")
_NUMBER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+"
    r"|((?:[0-9][0-9_]*)?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|[0-9][0-9_]*(?:\.(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+))|[0-9][0-9_]*)"
)
_QUOTE = re.compile(r"([rR]|[uU])?(\"\"\"|'''|\"|')")
_ESCAPE = re.compile(
    r"\\(?:(\r\n|\n|\r)|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.)|$)", re.DOTALL
)
_SHORT = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"',
}  # fmt: skip
_WORDS: dict[str, Json] = {"None": None, "True": True, "False": False}
_MEANT = {"null": "None", "true": "True", "false": "False"}


class LiteralFault(ValueError):
    """A text is no call of literals; the message says what and where."""


def read_arguments(text: str) -> dict[str, Json]:
    """Return the keyword arguments of `(name=literal, …)`. Raises `LiteralFault`."""
    return _Reader(text).arguments()


def write_arguments(value: Json) -> str:
    """Return an object as the arguments of a call, `(name=literal, …)`."""
    assert isinstance(value, Mapping)
    return f"({', '.join(f'{key}={_written(item)}' for key, item in value.items())})"


def _end(found: re.Match[str] | None) -> int:
    assert found is not None
    return found.end()


def _written(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, Mapping):
        items = (f"{json.dumps(key, ensure_ascii=False)}: {_written(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False)


class _Reader:
    """A recursive descent over one call; `at` is where it is."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fault(self, what: str, at: int | None = None) -> LiteralFault:
        at = self.at if at is None else at
        line = self.text.count("\n", 0, at) + 1
        return LiteralFault(f"{what} at line {line}, column {at - self.text.rfind(chr(10), 0, at)}")

    def sign(self, signs: str = "") -> str:
        """Pass blanks and return the one of `signs` that stands here, or nothing."""
        text, at = self.text, self.at
        here = text[at : at + 1]
        if here in " \t\r\n" and here:
            at = _end(_BLANK.match(text, at))
            here = text[at : at + 1]
        if here and here in signs:
            self.at = at + 1
            return here
        self.at = at
        return ""

    def expect(self, signs: str) -> str:
        found = self.sign(signs)
        if not found:
            raise self.fault(
                f"{' or '.join(f'`{sign}`' for sign in signs)} is needed, but here is {self.here()}"
            )
        return found

    def here(self) -> str:
        return json.dumps(self.text[self.at]) if self.at < len(self.text) else "the end"

    def arguments(self) -> dict[str, Json]:
        values: dict[str, Json] = {}
        self.expect("(")
        while not self.sign(")"):
            name = _KEYWORD.match(self.text, self.at)
            if name is None:
                raise self.fault("only arguments with names are allowed, as in (city=1);")
            if name[1] in values:
                raise self.fault(f"`{name[1][:40]}` is given twice")
            self.at = name.end()
            values[name[1]] = self.value(0)
            if self.expect(",)") == ")":
                break
        self.sign()
        if self.at < len(self.text):
            raise self.fault("more text follows the call")
        return values

    def value(self, level: int) -> Json:
        opened = self.sign("[({")
        if opened and level > MOST_LEVELS - 2:
            raise self.fault(f"more than {MOST_LEVELS} levels")
        if opened == "{":
            return self.mapping(level)
        if opened:
            return self.sequence(opened, level)
        if _QUOTE.match(self.text, self.at) is not None:
            return self.strings()
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            return self.number(number)
        word = _NAME.match(self.text, self.at)
        if word is None:
            raise self.fault(f"a value is needed, but here is {self.here()}")
        if word[0] not in _WORDS:
            meant = f"; did you mean {_MEANT[word[0]]}?" if word[0] in _MEANT else ""
            raise self.fault(f"`{word[0][:40]}` is no literal{meant}")
        self.at = word.end()
        return _WORDS[word[0]]

    def sequence(self, opened: str, level: int) -> Json:
        closing = "]" if opened == "[" else ")"
        items: list[Json] = []
        comma = False
        while not self.sign(closing):
            items.append(self.value(level + 1))
            if self.expect(f",{closing}") == closing:
                break
            comma = True
        return items[0] if opened == "(" and len(items) == 1 and not comma else items

    def mapping(self, level: int) -> Json:
        items: dict[str, Json] = {}
        while not self.sign("}"):
            start = self.at
            key = self.value(level + 1)
            if not isinstance(key, str):
                raise self.fault("a key must be a string", start)
            self.expect(":")
            items[key] = self.value(level + 1)
            if self.expect(",}") == "}":
                break
        return items

    def number(self, found: re.Match[str]) -> Json:
        text, after = found[0], self.text[found.end() : found.end() + 1]
        try:
            if after.isalnum() or after == "_" or len(text) > MOST_DIGITS:
                raise ValueError
            value: int | float = int(text, 0) if found[1] is None else float(text)
        except ValueError:
            raise self.fault("no valid number") from None
        if value in (float("inf"), float("-inf")):
            raise self.fault("a number that is too large")
        self.at = found.end()
        return value

    def strings(self) -> str:
        """Read string literals that stand side by side."""
        parts: list[str] = []
        while (quote := _QUOTE.match(self.text, self.at)) is not None:
            parts.append(self.string(quote))
            self.sign()
        return "".join(parts)

    def string(self, quote: re.Match[str]) -> str:
        mark = quote[2]
        start = at = quote.end()
        end = self.text.find(mark, at)
        while end >= 0 and (slash := self.text.find("\\", at, end)) >= 0:
            at = slash + 2
            if at > end:
                end = self.text.find(mark, at)
        if end < 0:
            raise self.fault("a string that does not end begins")
        inner = self.text[start:end]
        if len(mark) == 1 and ("\n" in inner or "\r" in inner) and re.search(r"(?<!\\)[\r\n]", inner):
            raise self.fault("a string that does not end on its line begins")
        self.at = end + len(mark)
        if (quote[1] or "") in ("r", "R"):
            return inner
        return _ESCAPE.sub(self.unescaped, inner) if "\\" in inner else inner

    def unescaped(self, found: re.Match[str]) -> str:
        newline, two, four, eight, octal, other = found.groups()
        if newline is not None:
            return ""
        code = two or four or eight
        if code is not None or octal is not None:
            number = int(code, 16) if code is not None else int(octal, 8)
            if number > 0x10FFFF:
                raise self.fault(f"no character has the escape \\U{eight}")
            return chr(number)
        return _SHORT.get(other or "", found[0])
