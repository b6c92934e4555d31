"""How a measure is declared: what it is, how it is run, which bar its figures must keep."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["Bar", "Figure", "Measure", "Runner", "Setting", "Skipped", "Suite"]

Sense: TypeAlias = Literal["<=", ">=", "=="]
_SENSES: dict[Sense, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bound that a figure must keep, such as `Bar("<=", 3)`."""

    sense: Sense
    limit: float

    def met_by(self, value: float) -> bool:
        """Return whether `value` keeps the bound."""
        return _SENSES[self.sense](value, self.limit)

    def __str__(self) -> str:
        return f"{self.sense} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. Without a bar it is told, and judged by nobody."""

    name: str
    value: float
    unit: str = ""
    bar: Bar | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the bar is kept, or there is none."""
        return self.bar is None or self.bar.met_by(self.value)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run of a suite was told: where data lies, and whether to take less time."""

    data: Path | None = None
    quick: bool = False


class Skipped(Exception):
    """A measure lacks something it needs here; the message says what."""


Runner: TypeAlias = Callable[[Setting], Sequence[Figure] | Awaitable[Sequence[Figure]]]


@dataclass(frozen=True, slots=True)
class Measure:
    """A named thing to measure. `what` is one sentence; `run` returns its figures or raises `Skipped`."""

    name: str
    what: str
    run: Runner


@dataclass(frozen=True, slots=True)
class Suite:
    """Measures that are run and reported together."""

    name: str
    what: str
    measures: Sequence[Measure]
