"""StalePolicy: what becomes of a slow process's output when the world has gone on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agentflow.dual.brief import Output
from agentflow.errors import UserError

__all__ = ["StalePolicy", "Verdict"]

Verdict: TypeAlias = Literal["apply", "rebase", "drop"]


@dataclass(frozen=True, slots=True)
class StalePolicy:
    """Decide at a tick boundary: apply, apply if its ground still holds, rebase, or drop.

    An output older than `max_age` ticks is dropped. Where `keys` is given, it returns the part of what
    is seen on which the output rests: when that has changed since, the output is handled as `changed`
    says. So is one whose own `holds` is false now. `rebase` asks the slow process again, telling it its
    own output and the present; at most `rebases` times in a row, then the output is dropped.
    """

    max_age: int | None = None
    keys: Callable[[object], object] | None = None
    changed: Verdict = "drop"
    rebases: int = 1

    def __post_init__(self) -> None:
        if self.max_age is not None and self.max_age < 0:
            raise UserError(f"max_age is ticks, 0 or more, not {self.max_age}")
        if self.changed not in ("apply", "rebase", "drop"):
            raise UserError(f"changed is apply, rebase or drop, not {self.changed!r}")

    def verdict(self, output: Output, tick: int, seen: object) -> Verdict:
        """Return what becomes of an output at a tick."""
        if self.max_age is not None and tick - output.based_on > self.max_age:
            return "drop"
        holds = output.update.holds
        gone = holds is not None and not holds(seen)
        moved = self.keys is not None and self.keys(seen) != self.keys(output.seen)
        if not gone and not moved:
            return "apply"
        if self.changed == "rebase":
            return "rebase" if output.rebased < self.rebases else "drop"
        return "drop" if gone else self.changed
