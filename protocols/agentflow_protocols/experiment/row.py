"""Rows of a CSV experiment file.

A cell is what it looks like, alone: no other row changes it. Texts that are prompts, names or
answers stay text, whatever they look like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.line import DEEPEST, read_json
from agentflow_protocols.experiment.problem import Problem, shown
from agentflow_protocols.experiment.record import Record, Values, without_nan

__all__ = ["read_row", "to_row"]

_PREFIX = "parameters-"
_TEXTS = frozenset(
    (
        *("api", "endpoint", "expected_response", "finish_reason", "group", "mode", "model", "model_name"),
        *("prompt", "response", "safety_filter", "template_name", "timestamp_received", "timestamp_sent"),
    )
)
_LISTS = frozenset({"prompt", "response"})
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,4000})", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_WORDS: Mapping[str, bool] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


def read_row(header: Sequence[str], cells: Sequence[str], line: int) -> Record | Problem | None:
    """Return the record in a row of cells; None for an empty row, a Problem for one that can't be read.

    Empty cells are absent. Columns `parameters-X` become `parameters.X`, over what a column
    `parameters` holds. `line` is the row's line in the file, counted from 1. Never raises.
    """
    if not any(cells):
        return None
    if len(cells) > len(header) and any(cells[len(header) :]):
        return Problem(line, f"{len(cells)} cells for {len(header)} columns; is a quote missing?")
    values: Values = {}
    parameters: Values = {}
    folded = False
    notes: list[str] = []
    names = [_column(name, place) for place, name in enumerate(header)]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        return Problem(line, f"two columns are called {shown(twice)}")
    for name, cell in zip(names, cells, strict=False):
        if name.startswith(_PREFIX) and len(name) > len(_PREFIX):
            folded = True
            if cell:
                parameters[name.removeprefix(_PREFIX)] = _value("", cell, notes)
        elif cell:
            values[name] = _value(name, cell, notes)
    if folded:
        own = values.get("parameters", {})
        if not isinstance(own, Mapping):
            return Problem(
                line, "the column `parameters` holds no JSON object, beside columns `parameters-…`"
            )
        values["parameters"] = {**own, **parameters}
    return Record(line, values, tuple(dict.fromkeys(notes)))


def to_row(values: Mapping[str, Json], columns: Sequence[str]) -> list[str]:
    """Return the cells of `values` under `columns`: objects and lists as JSON, null and absent as nothing."""
    return [_cell(values.get(name)) for name in columns]


def _column(name: str, place: int) -> str:
    name = name.removeprefix("\ufeff") if place == 0 else name
    return name or f"Unnamed: {place}"


def _value(name: str, cell: str, notes: list[str]) -> Json:
    if cell[0] in "[{" and (name not in _TEXTS or name in _LISTS):
        value, found = read_json(cell, DEEPEST - 2)
        if isinstance(value, list | dict) and (name not in _LISTS or _is_list(value)):
            notes.extend(found)
            return value
    if name in _TEXTS:
        return cell
    if cell in _WORDS:
        return _WORDS[cell]
    if _INTEGER.fullmatch(cell):
        return int(cell)
    if _NUMBER.fullmatch(cell) and (name != "id" or "e" not in cell.lower()):
        number = float(cell)
        return cell if number in (float("inf"), float("-inf")) else number
    return cell


def _is_list(value: Json) -> bool:
    """Return whether a cell is a list of texts or messages, and not a text in brackets."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, str) for item in value) or all(
        isinstance(item, Mapping) and "role" in item for item in value
    )


def _cell(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    value = without_nan(value)
    return "" if value is None else json.dumps(value)
