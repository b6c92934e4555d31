"""Where a scheduler stands: what binds now, and how much of each limit has been used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Binds", "Source", "Standing", "Use"]

Source: TypeAlias = Literal["given", "told", "found"]
Binds: TypeAlias = Literal[
    "requests", "tokens", "input_tokens", "output_tokens", "concurrency", "pause", "replies"
]

_NAMES = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "input_tokens": "input tokens per minute",
    "output_tokens": "output tokens per minute",
}


@dataclass(slots=True, frozen=True)
class Standing:
    """What holds requests up, now.

    `binds` is a dimension (`requests`, `tokens`, `input_tokens`, `output_tokens`), `concurrency`,
    `pause` (the server has nothing left), or `replies` when nobody waits. `limit` is per minute, or
    places. `used`, 0 to 1, is what was sent of what the limit allowed while somebody waited.
    `source`: the limit was `given`, `told` by the server, or `found` by trying.
    """

    binds: Binds
    limit: float | None = None
    used: float | None = None
    waiting: int = 0
    running: int = 0
    source: Source = "given"

    def __str__(self) -> str:
        """Say it in a few words."""
        if self.binds == "replies":
            return f"{self.running} under way"
        if self.binds == "pause":
            return "the server has nothing left: a pause"
        if self.binds == "concurrency":
            return f"{self.running} requests under way, as many as may be"
        used = "" if self.used is None else f", {round(self.used * 100)} % used"
        return f"{_NAMES.get(self.binds, self.binds)}{used}"


class Use:
    """How much of one limit was used while somebody waited, over the limit's changes."""

    __slots__ = ("_at", "_busy", "_rate", "allowed", "sent")

    def __init__(self) -> None:
        self.sent = 0.0
        self.allowed = 0.0
        self._at = 0.0
        self._rate: float | None = None
        self._busy = False

    def pass_to(self, now: float, per_minute: float | None, busy: bool) -> None:
        """Let time pass up to `now`; from then on `per_minute` is the limit, and somebody waits if `busy`."""
        if self._busy and self._rate is not None:
            self.allowed += max(0.0, now - self._at) * self._rate / 60.0
        self._at, self._rate, self._busy = now, per_minute, busy

    def take(self, units: float) -> None:
        """Count units that went, or came back (below 0), after they had waited."""
        self.sent += units

    @property
    def share(self) -> float | None:
        """What was sent of what was allowed, 0 to 1; None when nothing ever waited."""
        if self.allowed <= 0.0:
            return None
        return min(1.0, max(0.0, self.sent / self.allowed))
