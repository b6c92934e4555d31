"""Looking at a game: the kitchen as a map, tick by tick, in the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from agentflow._cli.say import write_text
from agentflow.errors import UserError
from agentflow_bench.overcooked.games import LETTERS
from agentflow_bench.overcooked.kitchen import Kitchen
from agentflow_bench.overcooked.partner import partner_of
from agentflow_bench.overcooked.seen import Seen
from agentflow_bench.trials import Row
from agentflow_bench.trials.row import read_rows

__all__ = ["frames", "picture", "watch"]

_PLACE = {"X": "▒▒", "O": "oo", "D": "uu", "S": "▣▣", " ": "  "}
_THING = {"onion": "o", "dish": "u", "soup": "ö", "": " "}
_FACING = {"up": "^", "down": "v", "left": "<", "right": ">"}


def watch(file: Path, case: str | None, speed: float) -> None:
    """Show a game of a file of rows: drawn anew `speed` times a second in a terminal, else its servings.

    `case` names it, such as `cramped_room/onion/3`; the first by default. Raises `UserError`.
    """
    if not 0 < speed < float("inf"):
        raise UserError(f"--speed is ticks a second, above 0, not {speed:g}")
    row = _chosen(read_rows(file), case, file)
    drawn, score = sys.stdout.isatty(), 0
    for kitchen, ours, theirs in frames(row):
        seen = kitchen.observe()
        if drawn:
            head = f"{row.id}  tick {seen.tick}  score {seen.score}   A (ours) {ours}, B {theirs}"
            clear = "\x1b[2J\x1b[H" if seen.tick == 1 else "\x1b[H\x1b[J"
            write_text(clear + "\n".join([head, "", *picture(kitchen.floor.rows, seen), ""]))
            time.sleep(1 / speed)
        elif seen.score != score:
            write_text(f"{seen.tick:>4}  a soup is served: {seen.score}\n")
        score = seen.score
    write_text(f"{row.id}: {score} points\n")


def frames(row: Row) -> Iterator[tuple[Kitchen, str, str]]:
    """Yield the kitchen with what both have just done, tick by tick; the same kitchen each time.

    Raises `UserError` for a row that is no game of this bench.
    """
    layout, _, rest = row.id.partition("/")
    partner, _, seed = rest.partition("/")
    moves = row.detail.get("moves")
    if not isinstance(moves, str) or not seed.isdigit() or set(moves) - set(LETTERS.values()):
        raise UserError(f"{row.id} is no game of Overcooked")
    kitchen = Kitchen(layout, partner_of(partner), ticks=max(1, len(moves)))
    kitchen.reset(int(seed))
    names = {letter: name for name, letter in LETTERS.items()}
    for letter in moves:
        kitchen.act(names[letter])
        yield kitchen, names[letter], kitchen.theirs
    found, told = kitchen.observe().score, row.figures.get("score")
    if told is not None and found != told:
        raise UserError(f"{row.id}: played again it ends with {found}, not {told}: another version made it")


def picture(rows: tuple[str, ...], seen: Seen) -> list[str]:
    """Return the kitchen as lines: A and B are the cooks, with where they look and what they carry."""
    cells = [[_PLACE.get(letter, "  ") for letter in row] for row in rows]
    for pot in seen.pots:
        told = f"{pot.onions}o" if pot.left is None else "ö!" if pot.left == 0 else f"{pot.left:02d}"
        cells[pot.at[1]][pot.at[0]] = told
    for (x, y), thing in seen.counters:
        cells[y][x] = f"▒{_THING[thing]}"
    for name, chef in zip("AB", seen.chefs, strict=True):
        x, y = chef.at
        cells[y][x] = name + (_THING[chef.holds] if chef.holds else _FACING[chef.facing])
    return ["".join(row) for row in cells]


def _chosen(rows: list[Row], case: str | None, file: Path) -> Row:
    for row in rows:
        if case in (None, row.id) and "moves" in row.detail:
            return row
    if case is None:
        raise UserError(f"{file}: it holds no games")
    raise UserError(f"{file}: no game {case} (there are {', '.join(row.id for row in rows[:3])}, …)")
