"""Floor: the part of a kitchen that stays as it is, and the ways across it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow_bench.overcooked.seen import MOVES, Cell

__all__ = ["Floor", "Route", "moved"]

_KINDS = {"O": "onions", "D": "dishes", "P": "pot", "S": "window", "X": "counter"}


@dataclass(frozen=True, slots=True)
class Route:
    """A way to a place: steps to the cell beside it, the first move ("" when there), and the place."""

    steps: int
    move: str
    target: Cell


_SAVED = 2
_FAR = 999


class Floor:
    """A kitchen's floor: `places` by kind (`onions`, `dishes`, `pot`, `window`, `counter`).

    Routes are found breadth first and kept; moves are tried up, down, left, right, so that every run
    finds the same.
    """

    def __init__(self, name: str, rows: Sequence[str]) -> None:
        self.name = name
        self.rows = tuple(rows)
        self.places: dict[str, tuple[Cell, ...]] = dict.fromkeys(_KINDS.values(), ())
        cells: list[Cell] = []
        for y, row in enumerate(rows):
            for x, letter in enumerate(row):
                if letter == " ":
                    cells.append((x, y))
                elif letter in _KINDS:
                    self.places[_KINDS[letter]] += ((x, y),)
        self.cells = tuple(cells)
        self._free = frozenset(cells)
        self._beside: dict[Cell, list[Cell]] = {}
        self._reach: dict[int, frozenset[Cell]] = {}
        self._of: dict[tuple[str, int], tuple[Cell, ...]] = {}
        self.region = self._regions()
        self._routes: dict[tuple[Cell, tuple[Cell, ...], Cell | None], Route | None] = {}
        self._ways: dict[tuple[Cell, Cell, Cell | None], tuple[int, str] | None] = {}
        self._bridges: dict[int, tuple[Cell, ...]] = {}
        self.narrow = frozenset(cell for cell in cells if self._is_narrow(cell))
        self.working = frozenset(
            cell
            for kind in ("onions", "dishes", "pot", "window")
            for place in self.places[kind]
            for cell in self.beside(place)
        )
        self.shared = tuple(
            place
            for place in self.places["counter"]
            if len({self.region[cell] for cell in self.beside(place)}) > 1
        )

    def bridges(self, at: Cell) -> tuple[Cell, ...]:
        """Return the counters across which an onion gets to a pot with less walking than round about."""
        part = self.region[at]
        if part not in self._bridges:
            self._bridges[part] = tuple(p for p in self.of("counter", at) if self._saves(p, at) >= _SAVED)
        return self._bridges[part]

    def _saves(self, place: Cell, at: Cell) -> int:
        """Return how many steps it saves to hand an onion over a counter."""
        onions, pots = self.of("onions", at), self.of("pot", at)
        sides = [cell for cell in self.beside(place) if self.region[cell] == self.region[at]]
        direct = min((self._between(o, pots) for o in onions), default=_FAR)
        there = min((self._steps(cell, onions) for cell in sides), default=_FAR)
        on = min((self._steps(cell, pots) for cell in sides), default=_FAR)
        return 0 if direct >= _FAR else direct - there - on

    def _between(self, place: Cell, targets: tuple[Cell, ...]) -> int:
        return min((self._steps(cell, targets) for cell in self.beside(place)), default=_FAR)

    def _steps(self, cell: Cell, targets: tuple[Cell, ...]) -> int:
        route = self.route(cell, targets, None) if targets else None
        return _FAR if route is None else route.steps

    def beside(self, place: Cell) -> list[Cell]:
        """Return the cells from which a place can be reached."""
        if place not in self._beside:
            around = (moved(place, move) for move in MOVES)
            self._beside[place] = [cell for cell in around if cell in self._free]
        return self._beside[place]

    def reaches(self, at: Cell, place: Cell) -> bool:
        """Return whether a chef who stands at `at` can ever get beside a place."""
        return place in self._reached(self.region[at])

    def of(self, kind: str, at: Cell) -> tuple[Cell, ...]:
        """Return the places of a kind that a chef at `at` can ever reach."""
        key = (kind, self.region[at])
        if key not in self._of:
            self._of[key] = tuple(place for place in self.places[kind] if self.reaches(at, place))
        return self._of[key]

    def _reached(self, part: int) -> frozenset[Cell]:
        if part not in self._reach:
            places = (place for kind in self.places.values() for place in kind)
            self._reach[part] = frozenset(
                place for place in places if part in {self.region[cell] for cell in self.beside(place)}
            )
        return self._reach[part]

    def route(self, start: Cell, targets: tuple[Cell, ...], blocked: Cell | None) -> Route | None:
        """Return the shortest way beside one of `targets`, not through `blocked`; None without one."""
        key = (start, targets, blocked)
        if key not in self._routes:
            goals = {cell: place for place in reversed(targets) for cell in self.beside(place)}
            found = self._search(start, frozenset(goals), blocked)
            self._routes[key] = None if found is None else Route(found[0], found[1], goals[found[2]])
        return self._routes[key]

    def way(self, start: Cell, goal: Cell, blocked: Cell | None) -> tuple[int, str] | None:
        """Return the steps to a cell and the first move; None without a way."""
        key = (start, goal, blocked)
        if key not in self._ways:
            found = self._search(start, frozenset([goal]), blocked)
            self._ways[key] = None if found is None else found[:2]
        return self._ways[key]

    def _search(
        self, start: Cell, goals: frozenset[Cell], blocked: Cell | None
    ) -> tuple[int, str, Cell] | None:
        line: deque[tuple[Cell, int, str]] = deque([(start, 0, "")])
        known = {start}
        while line:
            cell, steps, first = line.popleft()
            if cell in goals:
                return steps, first, cell
            for move in MOVES:
                there = moved(cell, move)
                if there in self._free and there not in known and there != blocked:
                    known.add(there)
                    line.append((there, steps + 1, first or move))
        return None

    def _regions(self) -> dict[Cell, int]:
        region: dict[Cell, int] = {}
        for cell in self.cells:
            if cell not in region:
                number = len(set(region.values()))
                line = [cell]
                while line:
                    here = line.pop()
                    region[here] = number
                    line += [
                        c for move in MOVES if (c := moved(here, move)) in self._free and c not in region
                    ]
        return region

    def _is_narrow(self, cell: Cell) -> bool:
        """Return whether who stands in a cell keeps others of its part from a kind of place."""
        for kind in ("onions", "dishes", "pot", "window"):
            access = {c for place in self.places[kind] for c in self.beside(place)}
            if {c for c in access if self.region[c] == self.region[cell]} == {cell}:
                return True
        return False


def moved(cell: Cell, move: str) -> Cell:
    """Return the cell that lies in a direction."""
    x, y = MOVES[move]
    return cell[0] + x, cell[1] + y
