"""Looking at an episode: the kitchen as a map, move by move, in the terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agentflow._cli.say import write_text
from agentflow.errors import UserError
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.task import Task
from agentflow_bench.trials import Row
from agentflow_bench.trials.row import read_rows

__all__ = ["frames", "picture", "watch"]

_MOVES = TypeAdapter(list[str])
_MISHAPS = TypeAdapter(list[tuple[int, str]])
_STATION = {"table": "▭", "stove": "♨", "board": "▤", "fryer": "≋", "sink": "∪"}


def watch(file: Path, case: str | None, speed: float) -> None:
    """Show an episode of a file of rows: drawn anew `speed` times a second in a terminal, else as lines.

    `case` names it, such as `asynchronous/3/42`; the first by default. Raises `UserError`.
    """
    if not 0 < speed < float("inf"):
        raise UserError(f"--speed is moves a second, above 0, not {speed:g}")
    row = _chosen(read_rows(file), case, file)
    drawn = sys.stdout.isatty()
    for number, (kitchen, text) in enumerate(frames(row)):
        if drawn:
            lines = picture(kitchen, shutil.get_terminal_size().columns)
            write_text("\x1b[H\x1b[J" if number else "\x1b[2J\x1b[H")
            write_text("\n".join([f"{row.id}  {number}: {text}", "", *lines, ""]))
            time.sleep(1 / speed)
        else:
            write_text(f"{number:>4}  {text}\n")
    write_text(f"{row.id}: {row.detail.get('ending', 'over')}\n")


def frames(row: Row) -> Iterator[tuple[Kitchen, str]]:
    """Yield the kitchen and what was just done, move by move; the same kitchen each time.

    Raises `UserError` for a row that is no episode of this kitchen.
    """
    kitchen = _kitchen(row)
    yield kitchen, kitchen.instance.task.goal_text
    moves, mishaps = _played(row)
    for number, text in enumerate(moves, 1):
        found = kitchen.by_text(text)
        if len(found) != 1:
            raise UserError(f"{row.id}: move {number}, {text[:80]!r}, is no valid action there")
        kitchen.step(found[0])
        if number in mishaps:
            kitchen.set_fact("iscut", mishaps[number], value=False)
            text = f"{text} (a mishap: {mishaps[number]} is not cut any more)"
        yield kitchen, text


def _played(row: Row) -> tuple[Sequence[str], Mapping[int, str]]:
    """Return the moves of an episode, and what was not cut any more after which of them."""
    try:
        return _MOVES.validate_python(row.detail["moves"]), dict(
            _MISHAPS.validate_python(row.detail["mishaps"])
        )
    except ValidationError:
        raise UserError(f"{row.id} is no episode of Robotouille: its moves can't be read") from None


def _chosen(rows: Sequence[Row], case: str | None, file: Path) -> Row:
    for row in rows:
        if case in (None, row.id) and "moves" in row.detail:
            return row
    if case is None:
        raise UserError(f"{file}: it holds no episodes")
    names = ", ".join(row.id for row in rows[:3])
    raise UserError(f"{file}: no episode {case} (there are {names}, …)")


def _kitchen(row: Row) -> Kitchen:
    suite, _, rest = row.id.partition("/")
    task, _, seed = rest.rpartition("/")
    known = seed == "drawn" or (seed.isascii() and seed.isdigit())
    if not known or not {"moves", "mishaps"} <= set(row.detail):
        raise UserError(f"{row.id} is no episode of Robotouille")
    return Kitchen(make_instance(Task.builtin(suite, task), None if seed == "drawn" else int(seed)))


def picture(kitchen: Kitchen, width: int = 80) -> list[str]:
    """Return the kitchen as lines: its map, then what goes on, then what is held."""
    scene = kitchen.instance.scene
    names = {cell: name for name, cell in kitchen.instance.layout.items() if _kind(name) in _STATION}
    at = {each[0]: each[1] for each in kitchen.true("loc")}
    cells = {where: _drawn(kitchen, station, at) for where, station in names.items()}
    longest = max((len(part) for parts in cells.values() for part in parts), default=0)
    cell = max(6, min(longest, (width - 1) // scene.width - 1))
    lines: list[str] = []
    for y in range(scene.height):
        row = [cells.get((x, y), ["·", "", ""]) for x in range(scene.width)]
        lines += [
            " ".join(part[:cell].ljust(cell) for part in parts).rstrip() for parts in zip(*row, strict=True)
        ]
    for player in kitchen.players:
        held = [
            item
            for holder, item in kitchen.true("has_item") + kitchen.true("has_container")
            if holder == player
        ]
        lines.append(
            f"{player} at {at.get(player, '?')}, holds {_told(kitchen, held[0]) if held else 'nothing'}"
        )
    for each in kitchen.effects:
        if each.needed:
            bar = "█" * each.ticks + "░" * (each.needed - each.ticks)
            lines.append(f"{each.action} {each.object} {bar}{' (paused)' if each.paused else ''}")
    return lines


def _kind(name: str) -> str:
    return name.rstrip("0123456789")


def _drawn(kitchen: Kitchen, station: str, at: dict[str, str]) -> list[str]:
    """Return a station as three lines: itself, the top of what is on it, what is below."""
    here = "".join("☻" for where in at.values() if where == station)
    stack = _stack(kitchen, station)
    pots = [each for each, where in kitchen.true("container_at") if where == station]
    things = [*pots, *reversed(stack)]
    top = _told(kitchen, things[0]) if things else ""
    below = "+".join(_told(kitchen, each) for each in things[1:])
    return [f"{_STATION[_kind(station)]}{station}{here}", top, below]


def _stack(kitchen: Kitchen, station: str) -> list[str]:
    """Return the items at a station, from below."""
    above = {lower: upper for upper, lower in kitchen.true("atop")}
    stack = [item for item, where in kitchen.true("item_on") if where == station]
    while stack and stack[-1] in above:
        stack.append(above[stack[-1]])
    return stack


def _told(kitchen: Kitchen, thing: str) -> str:
    """Return a thing and what became of it: `patty1'` is cooked, `lettuce1/` cut, `onion1~` fried."""
    marks = "".join(
        mark
        for fact, mark in (("iscut", "/"), ("iscooked", "'"), ("isfried", "~"))
        if _is(kitchen, fact, thing)
    )
    meals = [meal for meal, where in kitchen.true("in") if where == thing]
    for meal in meals:
        added = [item for item, into in kitchen.true("addedto") if into == meal]
        marks += f"({'°' if kitchen.holds('isboiling', meal) else ''}{'+'.join([meal, *added])})"
    return thing + marks


def _is(kitchen: Kitchen, fact: str, thing: str) -> bool:
    return any(each[0] == thing for each in kitchen.true(fact))
