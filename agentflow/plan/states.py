"""How the steps of a running plan stand, as rows that views draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FINAL", "Bar", "State"]

State = Literal["waiting", "ready", "running", "done", "failed", "skipped", "cancelled", "dropped"]

FINAL = frozenset(("done", "failed", "skipped", "cancelled", "dropped"))


@dataclass(slots=True)
class Bar:
    """A step on the plan's time line. Times are seconds on the run's clock; None is not yet."""

    name: str
    state: State
    ready: float | None = None
    start: float | None = None
    end: float | None = None
    critical: bool = False
    error: str | None = None
