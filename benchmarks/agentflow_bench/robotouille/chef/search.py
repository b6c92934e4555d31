"""Beam search over moves, moment by moment; wider and wider, until a plan can't be better or it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agentflow_bench.robotouille.chef.dishes import Menu
from agentflow_bench.robotouille.chef.estimate import Estimator, Seen
from agentflow_bench.robotouille.chef.model import FIRST_CONTAINER, TABLE, State, Step, World
from agentflow_bench.robotouille.chef.moves import Moves

__all__ = ["Found", "Search"]

_SLACK: Final = 2  # by how much an estimate may be too high


@dataclass(frozen=True, slots=True)
class Found:
    """A plan: its steps, and how many states were looked at for it."""

    steps: tuple[Step, ...]
    cost: int
    looked: int


_Node = tuple["_Node | None", tuple[Step, ...], State]


class Search:
    """Looks for plans of one kitchen and menu."""

    def __init__(self, world: World, menu: Menu) -> None:
        self._world = world
        self._moves = Moves(world, menu.kinds, bool(menu.soups))
        self.estimate = Estimator(world, menu)
        self._tables = [s for s, kind in enumerate(world.station_kinds) if kind == TABLE]
        self._others = [s for s, kind in enumerate(world.station_kinds) if kind != TABLE]

    def plans(self, start: State, limit: int, widths: Sequence[int], most: int) -> list[Found]:
        """Return the plans found, best first. `limit` bounds their steps, `most` the states looked at."""
        found: list[Found] = []
        looked = 0
        least = self.estimate(start).steps
        for width in widths:
            doubt = 0 if width == widths[-1] else _SLACK  # the widest beam is for what takes longer
            if looked >= most or (found and found[0].cost <= least - doubt):
                break
            one, seen = self._beam(start, found[0].cost - 1 if found else limit, width, most - looked)
            looked += seen
            if one is not None:
                found.insert(0, Found(one.steps, one.cost, looked))
        return found

    def _beam(self, start: State, limit: int, width: int, most: int) -> tuple[Found | None, int]:
        """Return a plan of at most `limit` steps, and how many states were looked at."""
        first = self.estimate(start)
        layers: dict[int, list[tuple[int, int, int, _Node]]] = {
            0: [(first.steps, first.waits, 0, (None, (), start))]
        }
        known = {self._key(start, self.estimate.see(start)): 0}
        best: Found | None = None
        looked = time = 0
        while layers and time < limit:
            layer = layers.pop(time, [])
            layer.sort(key=lambda one: one[:3])
            for _, _, _, node in layer[:width]:
                state = node[2]
                for cost, steps, new in self._moves.after(state, node[1][-1] if node[1] else None):
                    then = time + cost
                    if then > limit:
                        continue
                    seen = self.estimate.see(new)
                    key = self._key(new, seen)
                    if known.get(key, limit + 1) <= then:
                        continue
                    known[key] = then
                    looked += 1
                    left, waits = self.estimate(new, seen)
                    if then + left - _SLACK > limit:
                        continue
                    child = (node, steps, new)
                    if left == 0:
                        best = Found(_steps(child), then, looked)
                        limit = then - 1
                    else:
                        layers.setdefault(then, []).append((left, waits, looked, child))
            if looked > most:
                break
            time += 1
        return best, looked

    def _key(self, state: State, seen: Seen) -> object:
        """Return what a state is like, whichever of equal tables and equal items it is about."""
        place, held, _, _, meals, waters, effects = state
        like, cells = seen
        return (
            cells[place] if self._world.station_kinds[place] == TABLE else place,
            like[held] if 0 <= held < FIRST_CONTAINER else -held,
            tuple(sorted([cells[s] for s in self._tables])),
            tuple([cells[s] for s in self._others]),
            meals,
            waters and tuple([(boils, tuple(sorted([like[i] for i in inside]))) for boils, inside in waters]),
            tuple([(effect[0], effect[2], effect[3]) for effect in effects]),
        )


def _steps(node: _Node | None) -> tuple[Step, ...]:
    """Return the steps on the way to a node."""
    parts = []
    while node is not None:
        parts.append(node[1])
        node = node[0]
    return tuple(step for part in reversed(parts) for step in part)
