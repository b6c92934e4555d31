"""One thing that is wrong in a workflow file, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Problem", "did_you_mean", "one_of"]


@dataclass(slots=True, frozen=True)
class Problem:
    """What is wrong, where, and what is allowed. Line and column count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ` (did you mean `x`?)` for the name nearest to `name`, or nothing."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f" (did you mean `{near[0]}`?)" if near else ""


def one_of(names: Iterable[str]) -> str:
    """Return the allowed names as a list in words, `none` where there are none."""
    return ", ".join(sorted(names)) or "none"
