"""A tournament under way: its ladder as a person sees it, and what a person may type meanwhile."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from agentflow._cli.gantt import Line
from agentflow._cli.say import error_line
from agentflow.errors import RunError, UserError
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import (
    ApprovalNeeded,
    Custom,
    Event,
    FellBack,
    Interrupted,
    Retrying,
    RunFinished,
    RunStarted,
)

if TYPE_CHECKING:
    from agentflow.runtime import Run
    from agentflow.tournament import LiveTournament, Standing

__all__ = ["COMMANDS", "LadderBoard", "command", "typed"]

_LINES = 20  # told of a whole tournament where nothing is drawn
_TOLD = 40  # pieces of work told one by one
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
_FIGURES = 30  # columns for quality, matches and source

COMMANDS = {
    "/add": "ITEM: put an item in; a line without a command does so, too",
    "/goal": "TEXT: change the goal",
    "/review": "ID TEXT: let judges see a review of an item",
    "/prefer": "ID ID: say that the first is better than the second",
    "/advise": "TEXT: tell those that make items something",
    "/restrict": "SOURCE, SOURCE: let a co-scientist rest on these sources only",
    "/withdraw": "ID WHY: take an item out",
    "/stop": ": end it with what is known",
    "/help": ": this list; an ID is a rank, or the beginning of an item's id",
}
"""What may be typed while a tournament runs."""


@dataclass(slots=True)
class _Worker:
    """What a worker does and has done."""

    kind: str = ""
    at_work: int = 0
    calls: int = 0
    made: int = 0
    failed: int = 0


@dataclass(slots=True)
class LadderBoard:
    """What a tournament's `tournament`, `ladder`, `task` and `item` events have told."""

    goal: str = ""
    k: int = 0
    stop: float | None = None
    judged: int = 0
    left: int = 0
    playing: int = 0
    settled: float | None = None
    bias: float | None = None
    ranking: list[dict[str, Json]] = field(default_factory=list)
    workers: dict[str, _Worker] = field(default_factory=dict)
    matches: set[str] = field(default_factory=set)  # under way
    begun: bool = False
    _due: int = 0  # verdicts, at the next line
    _told: int = 0

    def __bool__(self) -> bool:
        return self.begun

    def take(self, event: Event) -> None:
        """Take an event in, when it is a tournament's."""
        if isinstance(event, RunStarted | RunFinished):
            self._run(event)
            return
        data = event.data if isinstance(event, Custom) else None
        if not isinstance(event, Custom) or not isinstance(data, dict):
            return
        if event.name == "tournament":
            self.begun, self.goal = True, str(data.get("goal"))
            self.k, self.stop = _number(data.get("k")), _float(data.get("stop"))
            kinds = data.get("agents")
            known = kinds.items() if isinstance(kinds, dict) else ()
            self.workers = {str(name): _Worker(str(kind)) for name, kind in known}
        elif event.name == "ladder" and isinstance(rows := data.get("ranking"), list):
            self.judged, self.left = _number(data.get("judged")), _number(data.get("left"))
            self.playing, self.k = _number(data.get("playing")), _number(data.get("k"))
            self.settled, self.bias = _float(data.get("settled")), _float(data.get("bias"))
            self.ranking = [row for row in rows if isinstance(row, dict)]
        elif event.name == "task":
            self._task(self.workers.get(str(data.get("agent"))), data)

    def _run(self, event: RunStarted | RunFinished) -> None:
        above, _, key = event.run.rpartition("/")
        if not above or not key.startswith("match-"):
            return
        if isinstance(event, RunStarted):
            self.matches.add(event.run)
        else:
            self.matches.discard(event.run)

    def _task(self, worker: _Worker | None, data: dict[str, Json]) -> None:
        if worker is None:
            return
        if data.get("state") == "began":
            worker.at_work += 1
            return
        worker.at_work = max(0, worker.at_work - 1)
        worker.calls += 1
        worker.made += _number(data.get("made"))
        worker.failed += data.get("state") == "failed"

    def hides(self, event: Event) -> bool:
        """Return whether an event is not told where nothing is drawn: matches are too many."""
        if isinstance(event, RunFinished):
            return self.begun and "/" in event.run
        told = (Custom, Interrupted, Retrying, FellBack, ApprovalNeeded)
        return self.begun and not isinstance(event, told)

    # What is drawn.

    def lines(self, width: int, height: int) -> list[Line]:
        """Return at most `height` lines: how it stands, the ladder, and who works at what."""
        head: list[Line] = [[(error_line(self.goal)[:width], "bold")], [(self._standing(), "")]]
        people = self._people(max(3, height // 3))
        room = max(0, height - len(head) - len(people))
        rows = self.ranking[: max(0, room - 1)]
        sources = list(dict.fromkeys(_source(row) for row in self.ranking))
        scale = [_float(row.get(name)) or 0.0 for row in rows for name in ("low", "high")]
        low, high = min(scale, default=0.0), max(scale, default=1.0)
        label = max(8, min(34, width // 3))
        bar = max(8, width - label - _FIGURES - 8)
        ladder: list[Line] = []
        for place, row in enumerate(rows):
            if place and place == self.k:
                ladder.append([("┄" * min(width, label + bar + 4), "dim")])
            colour = _COLOURS[sources.index(_source(row)) % len(_COLOURS)]
            ladder.append(_row(place + 1, row, label, bar, (low, high), colour))
        return [*head, *ladder[:room], *people][: max(0, height)]

    def _standing(self) -> str:
        most = self.judged + max(0, self.left) + len(self.matches)
        parts = [f"{self.judged} of {most} matches" if self.ranking else "no verdict yet"]
        if self.matches:
            parts.append(f"{len(self.matches)} under way")
        if self.playing:
            parts.append(f"{self.playing} items")
        if self.settled is not None:
            more = (
                " when no more is made" if any(each.kind == "make" for each in self.workers.values()) else ""
            )
            until = f" (ends at {self.stop:.0%}{more})" if self.stop is not None else ""
            parts.append(f"{self.settled:.0%} settled{until}")
        if self.bias is not None:
            parts.append(f"order bias {self.bias:+.2f}")
        return "  ".join(parts)

    def _people(self, most: int) -> list[Line]:
        """Return a line for each worker; where there are too many, of those at work, or with most done."""
        busy = sorted(self.workers, key=lambda name: (-self.workers[name].at_work, -self.workers[name].calls))
        kept = set(busy[:most])
        lines = [self._worker(name, each) for name, each in self.workers.items() if name in kept]
        left = len(self.workers) - len(lines)
        return [*lines, [(f"  and {left} more", "dim")]] if left else lines

    def _worker(self, name: str, worker: _Worker) -> Line:
        told = f"  {worker.at_work} at work" if worker.at_work else "  waits"
        told += f"  {worker.calls} done"
        if worker.kind == "make":
            best = sum(_source(row) == name for row in self.ranking[: self.k])
            told += f"  {worker.made} new item{'' if worker.made == 1 else 's'}"
            told += f", {best} of the best {self.k}" if best else ""
        told += f"  {worker.failed} failed" if worker.failed else ""
        return [(f"  {name:<14.14}", ""), (told, "cyan" if worker.at_work else "dim")]

    # What is told where nothing is drawn.

    def line(self, event: Custom) -> str | None:
        """Take an event in and return a line, None when none is due."""
        self.take(event)
        data = event.data
        if not self.begun or not isinstance(data, dict):
            return None
        if event.name == "tournament":
            return f"the best {self.k} for: {self.goal[:200]}"
        if event.name == "ladder" and self.judged >= self._due:
            self._due = self.judged + max(1, (self.judged + max(0, self.left)) // _LINES)
            best = f"; best: {_title(self.ranking[0])[:80]}" if self.ranking else ""
            return f"{self._standing()}{best}".replace("  ", ", ")
        if event.name == "item" and data.get("source") == "person":
            return f"a person put in an item, {str(data.get('id'))[:20]}"
        made, state = _number(data.get("made")), data.get("state")
        if event.name == "task" and (made or state == "failed") and self._told < _TOLD:
            self._told += 1
            what = "failed" if state == "failed" else f"{made} new item{'s' if made != 1 else ''}"
            return f"{data.get('agent')}: {what}"
        return None


def _row(
    rank: int, row: dict[str, Json], label: int, room: int, scale: tuple[float, float], colour: str
) -> Line:
    """Return an item's line: its rank, its title, its interval with its mean, and the figures."""
    low, high, mean = (_float(row.get(name)) or 0.0 for name in ("low", "high", "quality"))
    span = max(scale[1] - scale[0], 1e-9)

    def at(value: float) -> int:
        return max(0, min(room - 1, round((room - 1) * (value - scale[0]) / span)))

    left, middle, right = at(low), at(mean), at(high)
    source = error_line(_source(row))
    return [
        (f"{rank:>3} ", "dim"),
        (f"{_fitted(_title(row), label)} ", ""),
        (" " * left, ""),
        ("━" * (middle - left), colour),
        ("●", f"bold {colour}"),
        ("━" * (right - middle), colour),
        (" " * (room - 1 - right), ""),
        (f" {mean:6.2f} ± {(high - low) / 2:4.2f}", ""),
        (f" {_number(row.get('matches')):>3} {source:<11.11}", "dim"),
    ]


def _fitted(text: str, room: int) -> str:
    """Return a text of just so many columns; a wide letter takes two."""
    from agentflow.tournament.picture import columns_of, cut

    text = cut(text, room)
    return text + " " * max(0, room - columns_of(text))


def _title(row: dict[str, Json]) -> str:
    return error_line(str(row.get("title") or row.get("id")))


def _source(row: dict[str, Json]) -> str:
    return str(row.get("source")).partition("/")[0]


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


def _float(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) else None


# What a person types.


def typed(run: Run[Json], line: str) -> str:
    """Do what a line says with the tournament of a run, and return what to tell of it."""
    from agentflow.tournament import LiveTournament

    try:
        live: LiveTournament[object] = LiveTournament.of(run)
        return command(live, line)
    except (UserError, RunError) as error:
        return f"error: {error}"


def command(live: LiveTournament[object], line: str) -> str:
    """Do what a line says, and return what to tell of it. Raises `UserError` for what it can't mean."""
    from agentflow_protocols.workflow import did_you_mean

    word, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if not word.startswith("/"):
        word, rest = "/add", line.strip()
    if word not in COMMANDS:
        raise UserError(
            f"no command `{word[:40]}`; there are {', '.join(COMMANDS)}{did_you_mean(word, COMMANDS)}"
        )
    if word == "/help":
        return "\n".join(f"{name} {what}".replace(" :", ":") for name, what in COMMANDS.items())
    if word == "/stop":
        live.stop()
        return "it ends with what is known"
    if not rest:
        raise UserError(f"{word} {COMMANDS[word]}")
    if word == "/goal":
        live.set_goal(rest)
        return f"the goal from now on: {rest}"
    if word == "/advise":
        live.advise(rest)
        return "told to those that make items from now on"
    if word == "/restrict":
        live.restrict([each.strip() for each in rest.split(",") if each.strip()])
        return f"sources from now on: {rest}"
    if word == "/add":
        return f"the item is {live.add(_item(live, rest))}"
    return _about(live, word, rest)


def _about(live: LiveTournament[object], word: str, rest: str) -> str:
    first, _, text = rest.partition(" ")
    item, text = _found(live, first), text.strip()
    if not text:
        raise UserError(f"{word} {COMMANDS[word]}")
    if word == "/prefer":
        other = _found(live, text)
        live.prefer(item.id, other.id)
        return f"{_named(item)} is better than {_named(other)}"
    if word == "/review":
        live.review(item.id, text)
        return f"judges see it with {_named(item)}"
    live.withdraw(item.id, text)
    return f"taken out: {_named(item)}"


def _named(item: Standing[object]) -> str:
    from agentflow.tournament.picture import cut, title_of

    return cut(title_of(item.item), 60)


def _item(live: LiveTournament[object], text: str) -> object:
    """Return what is typed as an item: JSON where items are no texts, or where it looks like it."""
    ranking = live.ranking
    texts = not ranking or isinstance(ranking[0].item, str)
    value: Json = text
    if not texts or text[:1] in "{[":
        try:
            value = cast("Json", json.loads(text))
        except ValueError as error:
            raise UserError(f"items of this tournament are JSON, and this is none: {error}") from None
    try:
        return live.read(value)
    except ValueError as error:
        raise UserError(f"this is no such item: {error}") from None


def _found(live: LiveTournament[object], name: str) -> Standing[object]:
    """Return the item that a rank, or the beginning of an id, names."""
    from agentflow_protocols.workflow import did_you_mean

    ranking = live.ranking
    number = name.removeprefix("#")
    if number.isdigit() and 1 <= int(number) <= len(ranking):
        return ranking[int(number) - 1]
    named = [each for each in ranking if each.id == name] or [
        each for each in ranking if each.id.startswith(name)
    ]
    if len(named) == 1:
        return named[0]
    if named:
        raise UserError(f"{len(named)} items have an id that begins with `{name[:40]}`")
    near = did_you_mean(name, [each.id for each in ranking])
    raise UserError(f"no item `{name[:40]}`: give a rank from 1 to {len(ranking)}, or an id{near}")
