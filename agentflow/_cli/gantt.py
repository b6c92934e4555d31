"""The steps of running plans as a tree beside a time line, made from events alone.

`Steps` takes events and knows every step; `chart` draws those that matter most into a given
width and height, as pieces of text with their styles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agentflow._cli.say import error_line, seconds_text
from agentflow_protocols.trace import (
    Custom,
    Event,
    PlanChanged,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepReady,
    StepSkipped,
    StepStarted,
)

__all__ = ["Line", "Row", "Steps", "chart", "cut", "row_of", "width_of"]

Line = list[tuple[str, str]]
"""Pieces of text, each with its style."""

_SIGNS = {
    "waiting": ("·", "dim"),
    "ready": ("○", "yellow"),
    "running": ("●", "cyan"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("-", "dim"),
    "cancelled": ("-", "yellow"),
    "dropped": ("-", "dim"),
}
_FIRST = ("failed", "running", "ready")  # what is shown where there is no room for all
_RECENT = 200
_TIME = 10  # columns of a step's seconds


@dataclass(slots=True)
class Row:
    """A step on the time line. Times are those of the events; None is not yet."""

    id: str  # that of its run
    name: str  # a path below the plan: `course/0/bake`
    label: str
    depth: int
    place: tuple[int, ...]  # where it stands among the others
    state: str = "waiting"
    ready: float | None = None
    start: float | None = None
    end: float | None = None
    critical: bool = False
    goes_on: bool = False  # a failure of it is passed over
    note: str = ""


@dataclass(slots=True)
class Steps:
    """The steps of the plans of a run, those of plans in plans below the step that they are."""

    rows: dict[str, Row] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    _plans: dict[str, str] = field(default_factory=dict)  # a run that is a plan: the plan's name
    _states: dict[str, dict[str, Row]] = field(default_factory=dict)
    _ended: deque[Row] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def __bool__(self) -> bool:
        """Whether there is a plan at all."""
        return bool(self._plans)

    def take(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RunStarted(kind="plan", name=name):
                self._plans.setdefault(event.run, name)
            case Custom(name="plan", data=data) if isinstance(data, Mapping):
                self._plans[event.run] = ""
                self._listed(event.run, data.get("steps"))
            case StepProgress(key=key, data=data) if (row := self.rows.get(f"{event.run}/{key}")) is not None:
                percent = data.get("percent") if isinstance(data, Mapping) else None
                row.note = f"{percent} %" if isinstance(percent, int | float) else ""
            case RunFinished() if event.run in self._plans:
                self._left(event)
            case _ if event.run in self._plans:
                self._step(event)

    def in_order(self) -> list[Row]:
        """Return all steps, each before those in it."""
        return sorted(self.rows.values(), key=lambda row: row.place)

    def chosen(self, most: int) -> list[Row]:
        """Return at most so many steps in their order: what failed, runs, waits, is critical, ended last."""
        if len(self.rows) <= most:
            return self.in_order()
        kept: dict[str, Row] = {}
        for row in self._by_weight():
            if len(kept) >= most:
                break
            kept.setdefault(row.id, row)
        return sorted(kept.values(), key=lambda row: row.place)

    def _by_weight(self) -> Iterator[Row]:
        for state in _FIRST:
            yield from self._states.get(state, {}).values()
        yield from (row for row in self.rows.values() if row.critical)
        yield from reversed(self._ended)
        yield from self.rows.values()

    def _listed(self, run: str, steps: object) -> None:
        for step in steps if isinstance(steps, list | tuple) else ():
            if isinstance(step, Mapping) and isinstance(name := step.get("name"), str):
                row = self._row(run, name)
                row.critical = step.get("critical") is True
                row.goes_on = step.get("on_error") == "skip"

    def _step(self, event: Event) -> None:
        now = event.time
        match event:
            case StepReady(key=key):
                row = self._row(event.run, key)
                row.ready = now
                self._is(row, "ready")
            case StepStarted(key=key):
                row = self._row(event.run, key)
                row.ready = now if row.ready is None else row.ready
                row.start = now
                self._is(row, "running")
            case StepFinished(key=key):
                row = self._row(event.run, key)
                row.ready = now if row.ready is None else row.ready
                self._is(row, "done", now)
            case StepFailed(key=key):
                row = self._row(event.run, key)
                self._is(row, "skipped" if row.goes_on else "failed", now)
            case StepSkipped(key=key, reason=reason):
                row = self._row(event.run, key)
                given_up = row.start is not None or "failed" in reason
                self._is(row, "cancelled" if given_up else "skipped", now)
            case PlanChanged(change="add", step=key):
                self._row(event.run, key)
            case PlanChanged(change="drop", step=key):
                self._is(self._row(event.run, key), "dropped", now)

    def _left(self, event: RunFinished) -> None:
        """The run of a plan has ended: nothing of it is under way."""
        for state in ("running", "ready"):
            for row in list(self._states.get(state, {}).values()):
                if not row.id.startswith(f"{event.run}/"):
                    continue
                if event.status == "paused":
                    row.start = None
                    self._is(row, "waiting")
                else:
                    self._is(row, "cancelled", event.time)

    def _row(self, run: str, key: str) -> Row:
        id = f"{run}/{key}"
        row = self.rows.get(id)
        if row is None:
            above = id
            while (above := above.rpartition("/")[0]) and above not in self.rows:
                pass
            parent = self.rows.get(above)
            name = id.partition("/")[2]
            shown = id[len(above) + 1 :] if parent is not None else name
            depth, place = (0, ()) if parent is None else (parent.depth + 1, parent.place)
            row = self.rows[id] = Row(id, name, shown, depth, (*place, len(self.rows)))
            self._is(row, "waiting")
        return row

    def _is(self, row: Row, state: str, end: float | None = None) -> None:
        """Note a step's state."""
        here = self._states.setdefault(row.state, {})
        if here.pop(row.id, None) is not None:
            self.counts[row.state] -= 1
        row.state, row.end = state, end
        self._states.setdefault(state, {})[row.id] = row
        self.counts[state] = self.counts.get(state, 0) + 1
        if end is not None:
            row.note = ""
            self._ended.append(row)


def row_of(row: Row, begun: float) -> dict[str, object]:
    """Return a step as `run --json` prints it; times are seconds from the run's beginning."""

    def since(time: float | None) -> float | None:
        return None if time is None else round(time - begun, 6)

    return {
        "name": row.name,
        "state": row.state,
        "ready": since(row.ready),
        "start": since(row.start),
        "end": since(row.end),
        "critical": row.critical,
    }


def chart(steps: Steps, begun: float, now: float, width: int, height: int) -> list[Line]:
    """Return the steps as at most `height` lines of at most `width` columns.

    The first line counts them; `*` marks those of the critical path. Where there is no room for
    all, those that failed, run, wait for a resource or are critical come before others.
    """
    if height < 1:
        return []
    lines = [_headed(steps, width)]
    rows = steps.chosen(height - 1)
    if len(rows) < len(steps.rows) and height > 2:
        rows = steps.chosen(height - 2)
    labels = max((2 * row.depth + len(row.label) for row in rows), default=0)
    label = max(4, min(labels, width // 3))
    bar = width - label - _TIME - 5
    lines += [_drawn(row, begun, now, label, bar, width) for row in rows]
    if len(rows) < len(steps.rows) and height > 2:
        lines.append(cut([(f"  … and {len(steps.rows) - len(rows)} more", "dim")], width))
    return lines


def _headed(steps: Steps, width: int) -> Line:
    counts = [f"{count} {state}" for state in _SIGNS if (count := steps.counts.get(state))]
    critical = " (* critical)" if any(row.critical for row in steps.rows.values()) else ""
    return cut([(f"{len(steps.rows)} steps{critical}: {', '.join(counts)}", "")], width)


def _drawn(row: Row, begun: float, now: float, label: int, bar: int, width: int) -> Line:
    """Return a step's line: its state, its name, its bar and how long it took."""
    sign, colour = _SIGNS[row.state]
    name = _shortened("  " * row.depth + row.label, label)
    line: Line = [(sign, colour), ("*" if row.critical else " ", "bold"), (f" {name:<{label}}", "")]
    if row.critical:
        line[2] = (line[2][0], "bold")
    end = now if row.end is None else row.end
    took = "" if row.start is None else seconds_text(end - row.start)
    if bar >= 6:
        line += [(" ", ""), *_bar(row, begun, now, bar, colour)]
    line.append((f" {row.note or took:>{_TIME}}"[: _TIME + 1], "dim"))
    return cut(line, width)


def _bar(row: Row, begun: float, now: float, room: int, colour: str) -> Line:
    """Return a step's bar, with a thin line for the time in which it had to wait for a resource."""
    scale = room / max(now - begun, 1e-9)
    ready = row.ready if row.ready is not None else row.start
    if ready is None:
        return [(" " * room, "")]
    end = now if row.end is None else row.end
    start = end if row.start is None else row.start
    left = min(room - 1, int((ready - begun) * scale))
    first = min(room - 1, max(left, int((start - begun) * scale)))
    last = min(room, max(first + 1, round((end - begun) * scale)))
    bar = " " if row.start is None else "━"
    return [(" " * left + "┄" * (first - left), "dim"), (bar * (last - first) + " " * (room - last), colour)]


def _shortened(text: str, room: int) -> str:
    text = error_line(text) if text.strip() == text else text
    return text if len(text) <= room else text[: room - 1] + "…"


def width_of(line: Iterable[tuple[str, str]]) -> int:
    """Return the columns that a line takes."""
    return sum(len(text) for text, _ in line)


def cut(line: Sequence[tuple[str, str]], width: int) -> Line:
    """Return a line of at most `width` columns."""
    kept: Line = []
    for text, style in line:
        room = width - width_of(kept)
        if text and room > 0:
            kept.append((text[:room], style))
    return kept
