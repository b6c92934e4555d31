"""What is shown of a run while it goes on, made from its events alone.

`Board` takes events and knows what is under way; `Live` draws it with rich on a
terminal, `Lines` writes an event a line where there is none.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from agentflow._cli.game import GameBoard, game_line
from agentflow._cli.gantt import Line, Steps, chart, cut
from agentflow._cli.ladder import LadderBoard
from agentflow._cli.review import ReviewBoard
from agentflow._cli.say import error_line, note, seconds_text
from agentflow.workflow.tally import counts, own_seconds
from agentflow_protocols.trace import (
    Admitted,
    ApprovalNeeded,
    ApprovalSettled,
    Custom,
    Event,
    FellBack,
    HandedOff,
    Interrupted,
    ModelCalled,
    ModelFinished,
    PlanChanged,
    Retrying,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepProgress,
    StepReady,
    StepSkipped,
    StepStarted,
    Throttled,
    ToolCalled,
    ToolFinished,
    ToolProgress,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live as RichLive

    from agentflow_protocols.chat import Json

__all__ = ["Bar", "Board", "Lines", "Live", "View", "call_label", "drawn", "seconds_text", "waits_text"]

_SHOWN = 40
_COLOURS = {"ok": "green", "running": "cyan", "failed": "red", "cancelled": "yellow"}


class View(Protocol):
    """Shows a run to a person."""

    def take(self, event: Event) -> None:
        """Take an event, as it happens."""

    def say(self, text: str) -> None:
        """Show a remark."""

    def close(self) -> None:
        """Show nothing more."""


@dataclass(slots=True)
class Bar:
    """A tool call on the run's time line. `end` is None while it is under way."""

    label: str
    start: float
    end: float | None = None
    status: str = "running"
    note: str = ""


@dataclass(slots=True)
class Board:
    """What a run did and does."""

    begun: float | None = None
    now: float = 0.0
    runs: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: dict[tuple[str, str], Bar] = field(default_factory=dict)
    thinking: dict[str, str] = field(default_factory=dict)
    agents: set[str] = field(default_factory=set)  # runs under way that have asked a model
    waits: dict[str, str] = field(default_factory=dict)
    approvals: dict[str, str] = field(default_factory=dict)
    finished: int = 0
    call_seconds: float = 0.0
    inner: dict[str, float] = field(default_factory=dict)
    requests: int = 0
    tokens: int = 0
    cost: float | None = 0.0
    steps: Steps = field(default_factory=Steps)
    game: GameBoard = field(default_factory=GameBoard)
    review: ReviewBoard = field(default_factory=ReviewBoard)
    ladder: LadderBoard = field(default_factory=LadderBoard)

    def take(self, event: Event) -> None:
        """Take an event in."""
        if self.begun is None:
            self.begun = event.time
        self.now = max(self.now, event.time)
        self.steps.take(event)
        self.ladder.take(event)
        match event:
            case RunStarted(kind=kind, name=name):
                # Steps, looks and matches are told by events of their own.
                if kind != "step" and not self.review and not self.ladder:
                    self.runs[event.run] = (f"{name} ({kind})", "running")
            case RunFinished(status=status):
                if event.run in self.runs:
                    self.runs[event.run] = (self.runs[event.run][0], status)
                self.thinking.pop(event.run, None)
                self.waits.pop(event.run, None)
                self.agents.discard(event.run)
            case ModelCalled(agent=agent, model=model, turn=turn):
                self.agents.add(event.run)
                self.thinking[event.run] = f"{agent} asks {model} (turn {turn})"
            case Throttled(model=model, binds=binds):
                self.waits[event.run] = waits_text(model, binds)
            case Admitted() | FellBack() | Retrying():
                self.waits.pop(event.run, None)
            case ModelFinished(usage=usage, cost=cost):
                self.thinking.pop(event.run, None)
                self.waits.pop(event.run, None)
                self.requests += 1
                self.tokens += usage.input_tokens + usage.output_tokens
                self.cost = None if cost is None or self.cost is None else self.cost + cost
            case ToolCalled(call=call, name=name, arguments=arguments) if counts(name):
                self.calls[event.run, call] = Bar(call_label(name, arguments), event.time)
            case ToolProgress(call=call, data=data):
                if (bar := self.calls.get((event.run, call))) is not None:
                    bar.note = _progress(data)[:30]
            case ToolFinished(call=call, name=name, status=status, seconds=seconds) if counts(name):
                bar = self.calls.setdefault((event.run, call), Bar(name, event.time - seconds))
                bar.end, bar.status, bar.note = event.time, status, ""
                self.finished += 1
                self.call_seconds += own_seconds(event, self.inner)
            case ApprovalNeeded(call=call, name=name):
                self.approvals[call] = f"{name} waits for approval: agentflow runs approve {event.run} {call}"
            case ApprovalSettled(call=call):
                self.approvals.pop(call, None)
            case Custom():
                self.game.take(event)
                self.review.take(event)
            case _:
                pass

    def asking(self) -> list[str]:
        """Return what each run's model does, or waits for."""
        return [self.waits.get(run, text) for run, text in self.thinking.items()]


def waits_text(model: str, binds: str) -> str:
    """Return what a request waits for as a short text."""
    return error_line(f"waits for {model}: {binds}" if binds else f"waits for {model}")


def _progress(data: Json) -> str:
    """Return a tool's word on its progress as a short text: `percent 50` for `{"percent": 50}`."""
    if isinstance(data, dict):
        return error_line(", ".join(f"{key} {_progress(value)}" for key, value in data.items()))
    return error_line(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False))


def call_label(name: str, arguments: str) -> str:
    """Return a call as a short text: its name and the values of its arguments."""
    try:
        values = json.loads(arguments or "{}")
    except ValueError:
        values = {}
    texts = [str(v) for v in values.values()] if isinstance(values, dict) else []
    inner = error_line(", ".join(texts))
    return f"{name}({inner})" if len(inner) <= _SHOWN else f"{name}({inner[: _SHOWN - 1]}…)"


class Lines:
    """Writes an event a line on stderr, without control codes."""

    def __init__(self, say: Callable[[str], None] = note) -> None:
        self._say = say
        self._begun: float | None = None
        self._steps: dict[str, float] = {}  # runs of a plan's steps, and when they began
        self._review = ReviewBoard()
        self._ladder = LadderBoard()

    def take(self, event: Event) -> None:
        """Write the event, when it is one that a person wants to see, with the seconds since the first."""
        if self._begun is None:
            self._begun = event.time
        if self._review.hides(event) or self._ladder.hides(event):
            self._ladder.take(event)
            return
        text = None if self._is_step(event) else _line(event)
        if isinstance(event, Custom) and text is None:
            text = self._review.line(event) or self._ladder.line(event)
        if isinstance(event, StepFinished) and text is not None:
            begun = self._steps.pop(f"{event.run}/{event.key}", None)
            text += "" if begun is None else f" after {seconds_text(event.time - begun)}"
        if text is not None:
            self._say(f"[{event.time - self._begun:10.1f}] {error_line(text)}")

    def _is_step(self, event: Event) -> bool:
        """Return whether an event is the begin or the end of a step's run, which its own events tell."""
        if isinstance(event, RunStarted) and event.kind == "step":
            self._steps[event.run] = event.time
            return True
        return isinstance(event, RunFinished) and event.run in self._steps

    def say(self, text: str) -> None:
        """Write a remark."""
        self._say(text)

    def close(self) -> None:
        """Nothing is left to show."""


def _path(event: Event, key: str) -> str:
    """Return a step as a path below the outermost run: `course/bake`."""
    return f"{event.run}/{key}".partition("/")[2]


def _line(event: Event) -> str | None:
    match event:
        case RunStarted(kind=kind, name=name, resumed=resumed):
            return f"{kind} {name} {'resumed' if resumed else 'started'} ({event.run})"
        case RunFinished(status=status, error=error):
            return f"{event.run} {status}{': ' + error if error else ''}"
        case ModelCalled(agent=agent, model=model, turn=turn):
            return f"{agent} asks {model} (turn {turn})"
        case ModelFinished(agent=agent, model=model, usage=usage, seconds=seconds):
            tokens = f"{usage.output_tokens} tokens in {seconds_text(seconds)}"
            return f"{agent} has its reply from {model}: {tokens}"
        case ToolCalled(name=name, arguments=arguments):
            return f"call {call_label(name, arguments)}"
        case ToolFinished(name=name, status=status, seconds=seconds):
            return f"call {name} {status} after {seconds_text(seconds)}"
        case ToolProgress(name=name, data=data):
            return f"call {name}: {_progress(data)}"[:200]
        case Interrupted(source=source, text=text):
            return f"interrupt from {source}: {text[:100]}"
        case ApprovalNeeded(call=call, name=name):
            return f"call {call} ({name}) waits for approval: agentflow runs approve {event.run} {call}"
        case HandedOff(source=source, target=target):
            return f"{source} hands over to {target}"
        case Retrying(model=model, attempt=attempt, wait_s=wait, reason=reason):
            return f"{model} failed ({reason[:100]}); try {attempt + 1} in {seconds_text(wait)}"
        case Throttled(model=model, binds=binds):
            return waits_text(model, binds)
        case FellBack(model=model, target=target, reason=reason):
            return f"{model} is given up for {target}{': ' + reason[:100] if reason else ''}"
        case StepReady(key=key):
            return f"step {_path(event, key)} waits for what it needs"
        case StepStarted(key=key):
            return f"step {_path(event, key)}"
        case StepProgress(key=key, data=data):
            return f"step {_path(event, key)}: {_progress(data)}"[:200]
        case StepFinished(key=key, error=None):
            return f"step {_path(event, key)} done"
        case StepFailed(key=key, error=error) | StepFinished(key=key, error=error):
            return f"step {_path(event, key)} failed: {error}"
        case StepSkipped(key=key, reason=reason):
            return f"step {_path(event, key)} is not run: {reason}"
        case PlanChanged(change=change, step=step):
            return f"plan changed: {change} {step}"
        case Custom():
            return game_line(event)
    return None


class Live:
    """Draws the run with rich on stderr: its agents, its calls over time, tokens and cost."""

    def __init__(self, now: Callable[[], float]) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._board = Board()
        self._now = now
        self._lock = threading.Lock()
        self._console = Console(stderr=True, highlight=False)
        self._live: RichLive = RichLive(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=12,
            vertical_overflow="crop",
        )
        self._live.start()

    def take(self, event: Event) -> None:
        """Take the event in; it is drawn with the next frame, a person's interrupt as a line above it."""
        with self._lock:
            self._board.take(event)
        if isinstance(event, Interrupted) and event.source == "user":
            self.say(error_line(f"interrupt: {event.text}"))

    def say(self, text: str) -> None:
        """Write a remark above what is drawn."""
        self._console.print(text, markup=False)

    def close(self) -> None:
        """Draw the last frame and leave it there."""
        self._live.stop()

    def _render(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        size = self._console.size
        with self._lock:
            self._board.now = max(self._board.now, self._now())
            lines = drawn(self._board, size.width, size.height - 1)
        return Group(*(Text.assemble(*line, no_wrap=True, overflow="crop") for line in lines))


def drawn(board: Board, width: int, height: int) -> list[Line]:
    """Return a run as lines of at most `width` columns, at most `height` of them (but no less than 8)."""
    height = max(8, height)
    runs = list(board.runs.items())[: 1 if board.game or board.review or board.ladder else None]
    shown = runs[-(height // 3 if board.steps else height // 2) :]
    lines: list[Line] = [
        [(f"{'  ' * run.count('/')}{name}  {status}", "bold" if "/" not in run else "")]
        for run, (name, status) in shown
    ]
    told = list(board.waits.values()) if board.ladder else board.asking()  # a match is soon over
    lines += [[(f"  … {text}", "dim")] for text in told[-4:]]
    lines += [[(f"  ? {text}", "yellow")] for text in list(board.approvals.values())[:4]]
    del lines[height - 4 :]
    begun, room = board.begun or 0.0, height - 1 - len(lines)
    if board.game:
        lines += board.game.lines(board.now, room)
        room = height - 1 - len(lines)
    if board.review:
        lines += board.review.lines(width, room)
        room = height - 1 - len(lines)
    if board.ladder:
        lines += board.ladder.lines(width, room)
        room = height - 1 - len(lines)
    if board.steps:
        most = room - min(len(board.calls), room // 3)
        lines += chart(board.steps, begun, board.now, width, most)
        room = height - 1 - len(lines)
    bars = sorted(board.calls.values(), key=lambda bar: bar.end is not None)[: max(0, room)]
    bars.sort(key=lambda bar: bar.start)
    lines += [_bar(bar, board, width) for bar in bars]
    cost = "" if not board.cost else f"  ${board.cost:.4f}"
    spent = seconds_text(board.now - begun)
    lines.append([(f"{spent}  {board.requests} requests  {board.tokens} tokens{cost}", "dim")])
    return [cut(line, width) for line in lines]


def _bar(bar: Bar, board: Board, width: int) -> Line:
    label = max(10, min(_SHOWN, width // 3))
    begun, room = board.begun or 0.0, max(6, min(60, width - label - 24))
    scale = room / max(board.now - begun, 1e-9)
    end = board.now if bar.end is None else bar.end
    left = min(room - 1, int((bar.start - begun) * scale))
    long = max(1, min(room - left, round((end - bar.start) * scale)))
    colour = _COLOURS.get(bar.status, "magenta")
    return [
        (f"  {bar.label:<{label}.{label}} {' ' * left}", ""),
        ("━" * long + " " * (room - left - long), colour),
        (f" {seconds_text(end - bar.start)}", "dim"),
        (f" {bar.status if bar.end is not None else bar.note}", colour),
    ]
