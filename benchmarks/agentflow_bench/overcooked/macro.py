"""Macro: a few ticks' work by name, and the executor that makes a tick's action of it.

All of it depends on what is seen alone: two chefs who want the same cell give way by the tick's parity,
so that nobody waits for the other for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentflow_bench.overcooked.floor import Floor, Route, moved
from agentflow_bench.overcooked.seen import MOVES, Cell, Chef, Seen

__all__ = ["MACROS", "Macro", "action_of"]

MACROS = ("onion", "fill", "dish", "plate", "serve", "pass", "clear", "take", "wait")
"""Fetch an onion; put it into a pot; fetch a dish; plate a soup; serve it; put what is in hand on a
counter that both reach; put it on any counter; take what lies on a counter; wait, out of the way."""

_STUBBORN = 3  # ticks of standing still after which a chef gives way
_WORTH = ("", "onion", "dish", "soup")
_TURN = 8  # ticks for which one of two gives way


@dataclass(frozen=True, slots=True)
class Macro:
    """What to do by name, and the places where it can be done: the nearest is taken."""

    do: str
    targets: tuple[Cell, ...] = ()


def action_of(macro: Macro, seen: Seen, floor: Floor) -> str:
    """Return the first chef's action of a tick towards a macro."""
    me, other = seen.chefs
    if macro.do == "wait" or not macro.targets:
        return _rest(macro, me, other, floor)
    near = floor.region[me.at] == floor.region[other.at]
    route = floor.route(me.at, macro.targets, None)
    if near and (route is None or _in_the_way(route, seen, floor, macro)):
        route = floor.route(me.at, macro.targets, other.at)
    if route is None:
        return _squeeze(macro, seen, floor)
    if route.move:
        return _go(route.move, seen, floor) if near else route.move
    toward = next(move for move in MOVES if moved(me.at, move) == route.target)
    return "interact" if me.facing == toward else toward


def _in_the_way(route: Route, seen: Seen, floor: Floor, macro: Macro) -> bool:
    """Return whether the other stands on the way, and will not be gone when one is there."""
    me, other = seen.chefs
    detour = floor.route(me.at, macro.targets, other.at)
    if detour is None or detour.steps == route.steps:
        return True
    if not route.move:
        return False
    if other.still >= _STUBBORN:
        return True  # it waits: a way that turns back when it is near would turn again
    apart = floor.way(me.at, other.at, None)
    if apart is None or apart[0] > 2 or apart[1] != route.move:
        return False  # it is far, or elsewhere
    away = other.still == 0 and other.facing == route.move
    return not away and not _insists(me, other)


def _insists(me: Chef, other: Chef) -> bool:
    """Return whether the other shall turn round where two meet head-on: what is nearer to done goes first."""
    mine, theirs = _WORTH.index(me.holds), _WORTH.index(other.holds)
    return mine > theirs or (mine == theirs and me.first)


def _go(move: str, seen: Seen, floor: Floor) -> str:
    """Return a step, or nothing where both want the same cell and it is the other's turn."""
    me, other = seen.chefs
    there = moved(me.at, move)
    contested = sum(abs(a - b) for a, b in zip(there, other.at, strict=True)) == 1
    if contested and me.still and other.still and not _first(seen):
        return "stay"
    return move


def _first(seen: Seen) -> bool:
    """Return whether it is the first chef's turn: of two, at any time one's."""
    me = seen.chefs[0]
    return me.first == (seen.tick // 2 % 2 == 0)


def _squeeze(macro: Macro, seen: Seen, floor: Floor) -> str:
    """Return an action where the other stands in the only way: go up to it, and give way by turns."""
    me, other = seen.chefs
    route = floor.route(me.at, macro.targets, None)
    if route is None:
        return "stay"
    stuck = min(me.still, other.still) >= _STUBBORN
    mine = me.first == (seen.tick // _TURN % 2 == 0)
    if stuck and not mine:
        return _aside(me, other, floor)
    if not route.move or moved(me.at, route.move) == other.at:
        return "stay"
    return _go(route.move, seen, floor)


def _aside(me: Chef, other: Chef, floor: Floor) -> str:
    """Return the step that leads furthest from the other."""

    def distance(cell: Cell) -> int:
        found = floor.way(cell, other.at, None)
        return 0 if found is None else found[0]

    steps = [move for move in MOVES if (c := moved(me.at, move)) in floor.region and c != other.at]
    return max(steps, key=lambda move: distance(moved(me.at, move)), default="stay")


def _rest(macro: Macro, me: Chef, other: Chef, floor: Floor) -> str:
    """Return an action of one who waits: near where it waits for, and in nobody's way."""
    region = floor.region[me.at]
    if floor.region[other.at] != region:
        if not macro.targets:
            return "stay"
        route = floor.route(me.at, macro.targets, None)
        return "stay" if route is None else route.move or "stay"
    pressed = _apart(me.at, other.at) <= 2 and other.still > 0 and _ahead(other, me.at)
    goals = {cell for place in macro.targets for cell in floor.beside(place)}

    def cost(cell: Cell) -> tuple[int, int]:
        way = floor.way(me.at, cell, other.at)
        if way is None:
            return 999, 999
        near = min((_apart(cell, goal) for goal in sorted(goals)), default=0)
        crowd = 2 if _apart(cell, other.at) == 1 and cell != me.at else 0
        if pressed and _apart(cell, other.at) <= 2:
            crowd = 20
        return way[0] + 3 * near + crowd + 2 * (cell in floor.working), way[0]

    cells = [
        cell
        for cell in floor.cells
        if floor.region[cell] == region and cell not in floor.narrow and cell != other.at
    ]
    if not cells:
        return "stay"
    best = min(cells, key=lambda cell: (cost(cell), cell))
    found = floor.way(me.at, best, other.at)
    return "stay" if found is None else found[1] or "stay"


def _ahead(chef: Chef, cell: Cell) -> bool:
    """Return whether a cell lies straight before a chef, within two steps."""
    first = moved(chef.at, chef.facing)
    return cell in (first, moved(first, chef.facing))


def _apart(one: Cell, other: Cell) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])
