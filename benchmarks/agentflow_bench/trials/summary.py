"""The figures of many rows: shares and means with their intervals, for all and by group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeVar

from agentflow_bench.trials.intervals import Interval, mean_interval, wilson
from agentflow_bench.trials.row import Row
from agentflow_bench.trials.trial import Trials

__all__ = ["Tally", "groups", "summary", "tally"]

Task = TypeVar("Task")


@dataclass(slots=True)
class Tally:
    """Sums over rows; `take` adds one."""

    n: int = 0
    right: int = 0
    failed: int = 0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    wall_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    truths: dict[str, int] = field(default_factory=dict)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def take(self, row: Row) -> None:
        """Take a row in."""
        self.n += 1
        self.right += row.right
        self.failed += row.error is not None
        self.tokens += row.tokens
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        self.requests += row.requests
        self.seconds += row.seconds
        self.wall_s += row.wall_s
        self.cost = None if self.cost is None or row.cost is None else self.cost + row.cost
        if row.fault is not None:
            self.faults[row.fault] += 1
        for name, value in row.figures.items():
            if isinstance(value, bool):
                self.truths[name] = self.truths.get(name, 0) + value
            else:
                found = self.figures.setdefault(name, [])
                if value is not None:
                    found.append(value)

    @property
    def share(self) -> float | None:
        """The share of right answers, None of nothing."""
        return self.right / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        """Where that share lies, at 95 %."""
        return wilson(self.right, self.n)

    def as_json(self) -> dict[str, object]:
        """Return the figures as data."""
        return {
            "n": self.n,
            "right": self.right,
            "share": self.share,
            "interval": [round(bound, 4) for bound in self.interval],
            "failed": self.failed,
            **self.truths,
            "figures": {
                name: {"n": len(values), "mean": fmean(values), "interval": list(mean_interval(values))}
                for name, values in self.figures.items()
                if values
            },
            "tokens": self.tokens,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "requests": self.requests,
            "cost": self.cost,
            "seconds_a_case": round(self.seconds / self.n, 4) if self.n else None,
        }


def tally(rows: Iterable[Row]) -> Tally:
    """Return the sums over rows."""
    made = Tally()
    for row in rows:
        made.take(row)
    return made


def groups(rows: Sequence[Row]) -> dict[str, dict[str | int, Tally]]:
    """Return the sums by each value of each group; numbers in their order, words in theirs."""
    made: dict[str, dict[str | int, Tally]] = {}
    for row in rows:
        for name, value in row.by.items():
            made.setdefault(name, {}).setdefault(value, Tally()).take(row)
    return {name: dict(sorted(table.items(), key=_order)) for name, table in made.items()}


def _order(item: tuple[str | int, Tally]) -> tuple[bool, float, str]:
    value = item[0]
    number = float(value) if isinstance(value, int) or value.replace(".", "", 1).isdigit() else None
    return (number is None, number or 0.0, str(value))


def summary(trials: Trials[Task], rows: Sequence[Row], wall_s: float | None = None) -> dict[str, object]:
    """Return the figures of trials as data: of all, and `by_GROUP` of each value of a group."""
    whole = tally(rows)
    by: Mapping[str, object] = {
        f"by_{name}": {str(value): sums.as_json() for value, sums in table.items()}
        for name, table in groups(rows).items()
    }
    return {
        "bench": trials.bench,
        "name": trials.name,
        **trials.about,
        **whole.as_json(),
        "faults": dict(whole.faults.most_common()),
        **by,
        "wall_s": round(whole.wall_s if wall_s is None else wall_s, 3),
    }
