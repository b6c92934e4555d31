"""A review under way, as a person sees it: its rounds as bars, its reviewers, and what they take."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentflow._cli.gantt import Line
from agentflow._cli.say import error_line
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import (
    ApprovalNeeded,
    Custom,
    Event,
    FellBack,
    Interrupted,
    Retrying,
    RunFinished,
)

__all__ = ["ReviewBoard"]

_LINES = 20  # told of a whole review where nothing is drawn
_FAULTS = 20  # told one by one
_BAR = 30


@dataclass(slots=True)
class _Looks:
    """What a reviewer has done in a round."""

    looks: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float | None = 0.0

    def told(self) -> str:
        parts = [f"{self.looks:,} looks", f"{self.tokens:,} tokens"]
        if self.cost:
            parts.append(f"${self.cost:.4f}")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return "  ".join(parts)


@dataclass(slots=True)
class _Round:
    """How far a round is: rows that entered it, that have their votes, and that are disputed."""

    reviewers: dict[str, _Looks]
    entered: int = 0
    done: int = 0
    disputed: int = 0


@dataclass(slots=True)
class ReviewBoard:
    """What a review's `review`, `entered`, `look`, `voted` and `row` events have told."""

    records: int = 0
    rows: int = 0
    failed: int = 0
    rounds: dict[str, _Round] = field(default_factory=dict)
    fault: str = ""
    _due: int = 0  # rows, at the next line

    def __bool__(self) -> bool:
        return bool(self.rounds)

    def take(self, event: Custom) -> None:
        """Take an event in, when it is a review's."""
        data = event.data
        if not isinstance(data, dict):
            return
        if event.name == "review" and isinstance(rounds := data.get("rounds"), list):
            self.records = _number(data.get("records"))
            self.rounds = dict(_round(each) for each in rounds if isinstance(each, dict))
            return
        round_ = self.rounds.get(str(data.get("round")))
        if round_ is not None and event.name == "entered":
            round_.entered += 1
        elif round_ is not None and event.name == "voted":
            round_.done += 1
            round_.disputed += data.get("disputed") is True
        elif round_ is not None and event.name == "look":
            self._look(round_.reviewers.get(str(data.get("reviewer"))), data)
        elif self.rounds and event.name == "row":
            self.rows += 1
            if fault := data.get("fault"):
                self.failed += 1
                self.fault = error_line(f"{str(data.get('id'))[:60]}, {fault}")

    def _look(self, looks: _Looks | None, data: dict[str, Json]) -> None:
        if looks is None:
            return
        cost = data.get("cost")
        looks.looks += 1
        looks.tokens += _number(data.get("tokens"))
        known = isinstance(cost, int | float) and looks.cost is not None
        looks.cost = float(looks.cost or 0) + float(str(cost)) if known else None
        looks.failed += data.get("failed") is True

    def hides(self, event: Event) -> bool:
        """Return whether an event is not told where nothing is drawn: looks are too many."""
        if isinstance(event, RunFinished):
            return bool(self.rounds) and "/" in event.run
        told = (Custom, Interrupted, Retrying, FellBack, ApprovalNeeded)
        return bool(self.rounds) and not isinstance(event, told)

    def lines(self, width: int, height: int) -> list[Line]:
        """Return at most `height` lines: a bar for each round, below it its reviewers where there is room."""
        failed = f", {self.failed:,} failed" if self.failed else ""
        lines: list[Line] = [[(f"{self.rows:,} of {self.records:,} rows done{failed}", "bold")]]
        people = sum(1 + len(each.reviewers) for each in self.rounds.values())
        roomy = people + 2 <= height
        names = [*self.rounds] + [who for each in self.rounds.values() for who in each.reviewers]
        label = max(8, min(24, width // 4, max(map(len, names)) + 2))
        for name, each in self.rounds.items():
            lines.append(self._bar(name, each, label, width))
            for who, looks in each.reviewers.items() if roomy else ():
                lines.append([(f"    {who:<{label}.{label}}", ""), (looks.told(), "dim")])
        if self.fault:
            lines.append([(f"  last fault: {self.fault}", "red")])
        return lines[: max(0, height)]

    def _bar(self, name: str, each: _Round, label: int, width: int) -> Line:
        room = max(6, min(_BAR, width - label - 44))
        done = round(room * each.done / max(1, self.records))
        begun = max(done, round(room * each.entered / max(1, self.records)))
        told = f" entered {each.entered:,}  done {each.done:,}"
        told += f"  disputed {each.disputed:,}" if len(each.reviewers) > 1 else ""
        return [
            (f"  {name:<{label + 2}.{label + 2}}", "bold"),
            ("━" * done, "green"),
            ("━" * (begun - done), "cyan"),
            ("─" * (room - begun), "dim"),
            (told, ""),
        ]

    def line(self, event: Custom) -> str | None:
        """Take an event in and return a line for where nothing is drawn, None when none is due."""
        before = self.failed
        self.take(event)
        if not self.rounds:
            return None
        if event.name == "review":
            return f"{self.records:,} records, rounds: {', '.join(self.rounds)}"
        if before < self.failed <= _FAULTS:
            more = "; more are not told one by one" if self.failed == _FAULTS else ""
            return f"failed: {self.fault[:200]}{more}"
        if event.name == "row" and self.rows >= self._due:
            self._due = self.rows + max(1, self.records // _LINES)
            return self._standing()
        return None

    def _standing(self) -> str:
        parts = [f"{self.rows:,} of {self.records:,} rows done"]
        for name, each in self.rounds.items():
            disputed = f" ({each.disputed:,} disputed)" if len(each.reviewers) > 1 else ""
            parts.append(f"{name} {each.done:,}{disputed}")
        every = [looks for each in self.rounds.values() for looks in each.reviewers.values()]
        parts.append(f"{sum(looks.looks for looks in every):,} looks")
        parts.append(f"{sum(looks.tokens for looks in every):,} tokens")
        cost = sum(looks.cost or 0.0 for looks in every)
        return ", ".join([*parts, *([f"${cost:.4f}"] if cost else [])])


def _round(data: dict[str, Json]) -> tuple[str, _Round]:
    names = data.get("reviewers")
    reviewers = {str(name): _Looks() for name in names} if isinstance(names, list) else {}
    return str(data.get("name")), _Round(reviewers)


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
