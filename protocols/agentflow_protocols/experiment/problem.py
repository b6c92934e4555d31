"""What is wrong with a line of an experiment, in one line of text."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from agentflow_protocols.errors import AgentflowError

__all__ = ["ExperimentError", "Problem", "kind_of", "nearest", "shown"]


class ExperimentError(AgentflowError, ValueError):
    """A record, a judge's settings or a scorer's input can't be used; the caller must change it."""


@dataclass(slots=True, frozen=True)
class Problem:
    """A line that can't be read. `line` counts from 1; `message` never holds a prompt."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


def kind_of(value: object) -> str:
    """Return what JSON calls `value`: `text`, `a list`, `an object`, `null`, …"""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text" if value else "empty text"
    return "a list" if isinstance(value, list | tuple) else "an object"


def shown(name: object) -> str:
    """Return a name as a message may show it: one short line between backticks, or its kind."""
    if not isinstance(name, str) or not name:
        return kind_of(name)
    line = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(name[:200].split())
    )
    return f"`{line[:57]}...`" if len(line) > 60 else f"`{line}`"


def nearest(name: object, names: Iterable[str]) -> str:
    """Return ` (did you mean `x`?)` for the name nearest to `name`, or nothing."""
    near = difflib.get_close_matches(name[:100], list(names), 1) if isinstance(name, str) else []
    return f" (did you mean `{near[0]}`?)" if near else ""
