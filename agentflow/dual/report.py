"""DualReport: what came of a game, and how its two sides worked together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from agentflow_protocols.chat import Json

__all__ = ["DualReport", "SlowReport"]


@dataclass(slots=True)
class SlowReport:
    """What became of one slow process's calls. `ages` counts applied outputs by their age in ticks."""

    calls: int = 0
    applied: int = 0
    dropped: int = 0
    rebased: int = 0
    failed: int = 0
    invalid: int = 0
    timed_out: int = 0
    restarted: int = 0
    merged: int = 0
    faults: list[str] = field(default_factory=list)
    ages: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class DualReport:
    """What came of a game.

    `ticks` happened; `missed` began later than their own end. `by` counts who chose the actions: `fast`,
    `policy`, `default`. `late` are decisions of the fast function beyond its deadline, `raised` those
    that raised, `refused` actions that the environment refused. `decision_ms` are wall milliseconds of
    the decisions at p50, p99 and the most. `seen` is the last state, where the game has a `state=`.
    """

    ticks: int = 0
    done: bool = False
    missed: int = 0
    late: int = 0
    raised: int = 0
    refused: int = 0
    strikes: int = 0
    by: dict[str, int] = field(default_factory=dict)
    decision_ms: dict[str, float] = field(default_factory=dict)
    slow: dict[str, SlowReport] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seen: Json = None

    @property
    def staleness(self) -> dict[int, int]:
        """Applied outputs of all slow processes by their age in ticks."""
        sums: Counter[int] = Counter()
        for each in self.slow.values():
            sums.update(each.ages)
        return dict(sorted(sums.items()))
