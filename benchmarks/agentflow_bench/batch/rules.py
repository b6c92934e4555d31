"""What the measures' server does to a request: how long it takes, what goes wrong, how many may come."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["FAULTS", "Bucket", "FaultName", "Rules", "Trouble"]

FaultName: TypeAlias = Literal["500", "503", "reset", "malformed", "truncated", "empty", "hang"]
FAULTS: tuple[FaultName, ...] = ("500", "503", "reset", "malformed", "truncated", "empty", "hang")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one server.

    An answer takes `seconds`, more or less by the share `jitter`; a share `stragglers` of the
    answers takes `slow` times as long. A share `faulty` of the requests fails as `fault` says, `most`
    times for one prompt. No more than `limit`
    requests a minute may come, those of `window` seconds at once; `tells` says so in headers. A line is
    printed once `tell_at` answers were sent, or that many requests had come with `tell_of` "come".
    `keeps` is whether every request is kept for the record.
    """

    seconds: float = 0.0
    jitter: float = 0.0
    stragglers: float = 0.0
    slow: float = 30.0
    fault: FaultName | None = None
    faulty: float = 0.0
    most: int = 1_000_000
    limit: float | None = None
    window: float = 60.0
    tells: bool = False
    tell_at: int | None = None
    tell_of: Literal["sent", "come"] = "sent"
    keeps: bool = True


@dataclass(slots=True)
class Trouble:
    """Decides what goes wrong: the same prompts have the same troubles for every client."""

    rules: Rules
    _times: Counter[str] = field(default_factory=Counter)
    _faults: Counter[str] = field(default_factory=Counter)

    def next(self, prompt: str) -> tuple[FaultName | None, float]:
        """Return the fault of the prompt's next request, and the seconds that its answer takes."""
        rules = self.rules
        if not (rules.faulty or rules.stragglers or rules.jitter):
            return None, rules.seconds
        self._times[prompt] += 1
        dice = random.Random(f"{prompt} {self._times[prompt]}")
        if dice.random() < rules.faulty and self._faults[prompt] < rules.most:
            self._faults[prompt] += 1
            return rules.fault, rules.seconds
        seconds = rules.seconds * (rules.slow if dice.random() < rules.stragglers else 1.0)
        return None, seconds * dice.uniform(1 - rules.jitter, 1 + rules.jitter)


class Bucket:
    """A bucket of requests: it holds those of `window` seconds, and fills at `limit` a minute."""

    def __init__(self, limit: float, window: float) -> None:
        self.limit, self.size = limit, limit * window / 60
        self.level, self._at = self.size, 0.0

    def take(self, now: float) -> tuple[bool, float, float]:
        """Return whether a request may come now, what is left, and the seconds until one more may come."""
        self.level = min(self.size, self.level + (now - self._at) * self.limit / 60)
        self._at = now
        good = self.level >= 1.0 - 1e-9
        self.level -= good
        return good, self.level, max(0.0, 1.0 - self.level) * 60 / self.limit
