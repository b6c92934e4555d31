"""Rules of a grammar for the arguments of one tool, from its JSON Schema.

What a schema says of names, required ones, kinds and choices is kept; what it says beyond
that is left to the tool. A value may always be a reference to an earlier call's result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.cml.markup import Markup

__all__ = ["argument_rules", "literal"]

_KINDS = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_LEVELS = 4  # of objects and arrays in one another that are told apart


def argument_rules(
    name: str, schema: Mapping[str, Json], markup: Markup, *, references: bool = True
) -> list[str]:
    """Return the rules of a tool's arguments, or without `references` of an answer; the first is `name`."""
    rules = _Rules(name, markup)
    body = rules.object(schema, 0, top=True)
    lines = [f"{name} ::= {body}", *rules.lines]
    return lines if references else [line.replace(" | reference)", ")") for line in lines]


def literal(text: str) -> str:
    """Return `text` as a literal of a grammar."""
    signs = (sign if sign.isascii() and sign.isalnum() else _escaped(sign) for sign in text)
    return f'"{"".join(signs)}"'


def _escaped(sign: str) -> str:
    code = ord(sign)
    return f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}" if code < 65536 else f"\\U{code:08X}"


class _Rules:
    """The rules of one tool so far; each method returns what stands for a schema in a rule."""

    def __init__(self, name: str, markup: Markup) -> None:
        self.name = name
        self.markup = markup
        self.python = markup.body == "python"
        self.lines: list[str] = []
        self.count = 0

    def rule(self, body: str) -> str:
        self.count += 1
        name = f"{self.name}-{self.count}"
        self.lines.append(f"{name} ::= {body}")
        return name

    def object(self, schema: Mapping[str, Json], level: int, top: bool = False) -> str:
        call = top and self.python
        properties, required = schema.get("properties"), schema.get("required")
        free = not isinstance(properties, Mapping) or schema.get("additionalProperties", False) is not False
        if free or level > _MOST_LEVELS:
            return "arguments" if call else "object"
        assert isinstance(properties, Mapping)
        needed = set(required) if isinstance(required, Sequence) else set()
        first, then = "", ""  # what may follow: when nothing has been written, and when something has
        for key in reversed(list(properties)):
            written = self.said(key) if not call else key if _NAME.fullmatch(key) else None
            if written is None:
                return "arguments" if call else "object"
            sign = '"="' if call else 'ws ":" ws'
            pair = self.rule(f"{literal(written)} {sign} {self.value(properties[key], level + 1)} ws")
            fresh, more = f"{pair} {then}".strip(), f'"," ws {pair} {then}'.strip()
            if key in needed:
                first, then = self.rule(fresh), self.rule(more)
            else:
                first = self.rule(f"{fresh} | {first}" if first else f'{fresh} | ""')
                then = self.rule(f"{more} | {then}" if then else f'{more} | ""')
        opened, closed = ("(", ")") if call else ("{", "}")
        return f'"{opened}" ws {first} "{closed}"'.replace("  ", " ")

    def value(self, schema: Json, level: int) -> str:
        if not isinstance(schema, Mapping) or level > _MOST_LEVELS:
            return "value"
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(choices, Sequence) and not isinstance(choices, str):
            texts = [self.said(choice) for choice in choices]
            known = [literal(text) for text in texts if text is not None]
            return f"({' | '.join(known)} | reference)" if len(known) == len(texts) and known else "value"
        for key in ("anyOf", "oneOf"):
            some = schema.get(key)
            if isinstance(some, Sequence) and not isinstance(some, str):
                return f"({' | '.join(dict.fromkeys(self.value(one, level + 1) for one in some))})"
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _KINDS:
            return "value"
        if kind == "string":
            return "string"
        if kind == "object":
            return f"({self.object(schema, level)} | reference)"
        if kind == "array" and "items" in schema:
            item = self.rule(f"{self.value(schema['items'], level + 1)} ws")
            return f'("[" ws ({item} ("," ws {item})*)? "]" | reference)'
        return f"({kind} | reference)"

    def said(self, value: Json) -> str | None:
        """Return how a simple value is written, or None where a grammar should not hold it."""
        if isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str)):
            return None
        text = json.dumps(value, ensure_ascii=False)
        if self.python and (value is None or isinstance(value, bool)):
            text = str(value)
        loose = any(form in text for form in self.markup.forms) or not text.isprintable()
        return None if loose or len(text) > 200 else text
