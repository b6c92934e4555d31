"""One limit of a scheduler: its pace, what the server says is left of it, and how much was used."""

from __future__ import annotations

from agentflow.endpoints.learned import Span
from agentflow.endpoints.pace import Credit, Pace
from agentflow.endpoints.standing import Source, Use
from agentflow_protocols.chat.limits import Dimension

__all__ = ["Gate", "units_of"]


class Gate:
    """One dimension: its pace, given or learned, and what is left by the last answer."""

    __slots__ = ("credit", "given", "pace", "span", "told", "use")

    def __init__(self) -> None:
        self.use = Use()
        self.given: float | None = None
        self.told = False
        self.pace: Pace | None = None
        self.credit = Credit()
        self.span = Span()

    def keep(self, limit: float | None) -> None:
        """Keep below `limit` units a minute; None keeps to no pace."""
        if limit is None:
            self.pace = None
        elif self.pace is None:
            self.pace = Pace(limit)
        elif self.pace.limit != limit:
            self.pace.change(limit)

    @property
    def source(self) -> Source:
        """Whether the limit was given, told by the server, or found by trying."""
        if self.given is not None:
            return "given"
        return "told" if self.told else "found"

    def ready_at(self, now: float, units: float) -> float:
        """Return when `units` may go."""
        rate = None if self.pace is None else self.pace.rate
        when = 0.0 if self.pace is None else self.pace.ready_at()
        return max(when, self.credit.ready_at(now, units, rate))

    def take(self, now: float, units: float) -> None:
        """Let `units` go."""
        self.credit.take(units)
        if self.pace is not None:
            self.pace.take(now, units)

    def give_back(self, units: float) -> None:
        """Take back `units` that were not used after all; whether the server does, its next answer says."""
        if self.pace is not None:
            self.pace.give_back(units)


def units_of(dimension: Dimension, cost: int, output: int) -> float:
    """Return what a request of `cost` tokens, `output` of them written, takes of a limit."""
    if dimension == "requests":
        return 1.0
    if dimension == "tokens":
        return float(cost)
    return float(output if dimension == "output_tokens" else cost - output)
