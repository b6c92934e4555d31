"""The inputs of a run: read from the command line's text, checked, defaults filled in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from agentflow.errors import UserError
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import InputSection, did_you_mean, fits, one_of

__all__ = ["input_from_text", "read_inputs"]


def read_inputs(
    sections: Mapping[str, InputSection], given: Mapping[str, Json], folder: Path
) -> dict[str, Json]:
    """Return the value of every input: the given ones, else their defaults, else None.

    A record may be given as an object or as `PATH:ID`; a path is relative to the
    working folder, in a default to `folder`. Raises `UserError` that names all faults.
    """
    faults: list[str] = []
    values: dict[str, Json] = {}
    for name in given:
        if name not in sections:
            near = did_you_mean(name, sections)
            faults.append(f"unknown input `{name}`; allowed: {one_of(sections)}{near}")
    for name, section in sections.items():
        try:
            values[name] = _value(name, section, given, folder)
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("; ".join(faults))
    return values


def _value(name: str, section: InputSection, given: Mapping[str, Json], folder: Path) -> Json:
    if name not in given:
        if section.is_required:
            raise UserError(f"input `{name}` ({section.type}) is required: -i {name}={_example(section)}")
        value: Json = section.default
        base = folder
    else:
        value, base = given[name], Path()
    if value is None and not section.is_required:
        return None
    if not fits(section.type, value):  # type: ignore[arg-type]
        raise UserError(f"input `{name}`: allowed is a value of type {section.type}")
    if section.type == "record" and isinstance(value, str):
        return _record(name, value, base)
    return value


def _example(section: InputSection) -> str:
    examples = {
        "integer": "3",
        "number": "2.5",
        "boolean": "true",
        "json": "'{…}'",
        "record": "FILE.jsonl:ID",
    }
    return examples.get(section.type, "TEXT")


def input_from_text(name: str, section: InputSection, text: str) -> Json:
    """Return the value that `text` of a command line stands for. Raises `UserError`."""
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise UserError(f"input `{name}`: it is not UTF-8 text")
    try:
        match section.type:
            case "integer":
                return int(text)
            case "number":
                return _finite(float(text))
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "json":
                return _json(text)
    except (ValueError, KeyError, RecursionError):
        words = {"integer": "a whole number", "boolean": "true or false", "json": "JSON"}
        allowed = words.get(section.type, "a number")
        raise UserError(f"input `{name}`: found {text[:40]!r}, allowed is {allowed}") from None
    return text


def _finite(number: float) -> float:
    if not abs(number) < float("inf"):
        raise ValueError("NaN and Infinity are no JSON")
    return number


def _json(text: str) -> Json:
    value: Json = json.loads(text, parse_constant=_finite_text, parse_float=_finite_text)
    return value


def _finite_text(number: str) -> float:
    return _finite(float(number))


def _record(name: str, text: str, base: Path) -> Json:
    """Return the line of a JSON Lines file that `PATH:ID` names."""
    path, colon, wanted = text.rpartition(":")
    if not colon or not path or not wanted:
        raise UserError(f"input `{name}`: a record is written PATH:ID, found {text[:80]!r}")
    file = base / path
    known: list[str] = []
    try:
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    record = _json(line)
                except ValueError as error:
                    raise UserError(f"input `{name}`: {file}:{number}: not JSON: {error}") from None
                if not isinstance(record, dict) or "id" not in record:
                    raise UserError(f"input `{name}`: {file}:{number}: a record is an object with an `id`")
                if str(record["id"]) == wanted:
                    return record
                known.append(str(record["id"]))
    except OSError as error:
        raise UserError(f"input `{name}`: can't read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"input `{name}`: {file} is not UTF-8 text") from None
    some = f"; it has {', '.join(known[:5])}{', …' if len(known) > 5 else ''}" if known else ""
    raise UserError(
        f"input `{name}`: {file} has no record `{wanted[:60]}`{did_you_mean(wanted, known)}{some}"
    )
