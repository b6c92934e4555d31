"""Items of a tournament: read from a file, and out of what an agent answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

from agentflow.errors import UserError
from agentflow_protocols.chat import Json

__all__ = ["items_in", "items_of"]

_BULLET = re.compile(r"\s*(?:[-*•]|\(?\d{1,3}[.)])\s+(?=\S)")
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n\s*```", re.DOTALL)


def items_in(file: Path) -> list[Json]:
    """Return the items of a file: of .jsonl a line of JSON each, of .txt a line of text.

    Raises `UserError` with the line.
    """
    ending = file.suffix.lower()
    if ending not in (".jsonl", ".txt"):
        raise UserError(f"{file.name[:60]} is no .jsonl or .txt file")
    found: list[Json] = []
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {file.name[:60]}: {error}") from None
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        try:
            found.append(cast("Json", json.loads(text)) if ending == ".jsonl" else text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file.name}:{number}: no JSON: {error}") from None
    if not found:
        raise UserError(f"{file.name[:60]} has no items")
    return found


def items_of(answer: Json, *, whole: bool = False) -> list[Json]:
    """Return the items in what an agent answered.

    A list is that of its items, and so is the only list in an object. A text is one item when it is
    `whole`; else it is the items of its bullets or numbers, with the lines that go on below each; or those
    of the JSON that it is; without any of these it is one item.
    """
    if isinstance(answer, list):
        return list(answer)
    if isinstance(answer, dict):
        lists = [value for value in answer.values() if isinstance(value, list)]
        return list(lists[0]) if len(lists) == 1 and not whole else [answer]
    if not isinstance(answer, str):
        return [] if answer is None else [answer]
    text = answer.strip()
    if whole or not text:
        return [text] if text else []
    fenced = _FENCED.fullmatch(text)
    try:
        read = cast("Json", json.loads(fenced[1] if fenced else text))
    except (ValueError, RecursionError):
        return list(_bullets(text)) or [text]
    return items_of(read) if isinstance(read, list | dict) else [text]


def _bullets(text: str) -> list[str]:
    found: list[str] = []
    for line in text.splitlines():
        bullet = _BULLET.match(line)
        if bullet is not None and not line[0].isspace():
            found.append(line[bullet.end() :].strip())
        elif found and line[:1].isspace() and line.strip():
            found[-1] += f"\n{line.strip()}"
    return found
