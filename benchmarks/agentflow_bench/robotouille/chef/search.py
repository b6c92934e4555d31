"""Beam search over moves, moment by moment; wider and wider, until a plan can't be better or it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agentflow_bench.robotouille.chef.dishes import Menu
from agentflow_bench.robotouille.chef.estimate import Estimator, Seen
from agentflow_bench.robotouille.chef.model import FIRST_CONTAINER, TABLE, Kind, State, Step, World
from agentflow_bench.robotouille.chef.moves import Moves

__all__ = ["Found", "Search"]

_SLACK: Final = 2  # by how much an estimate may be too high


class Found(NamedTuple):
    """A plan: its steps, and how many of them there are, turns of others counted."""

    steps: tuple[Step, ...]
    cost: int


class _Node(NamedTuple):
    """A state on the way, and how it was come by."""

    before: _Node | None
    steps: tuple[Step, ...]
    state: State


class Search:
    """Looks for plans of one kitchen and menu."""

    def __init__(self, world: World, menu: Menu) -> None:
        self._world = world
        self._moves = Moves(world, menu.kinds, bool(menu.soups))
        self.estimate = Estimator(world, menu)
        self._tables = [s for s, kind in enumerate(world.station_kinds) if kind == TABLE]
        self._others = [s for s, kind in enumerate(world.station_kinds) if kind != TABLE]
        self._looked = 0

    def plan(self, start: State, limit: int, widths: Sequence[int], most: int) -> Found | None:
        """Return the best plan found of at most `limit` steps, or None, after `most` states or few more."""
        best: Found | None = None
        least = self.estimate(start).steps
        self._looked = 0
        for width in widths:
            doubt = 0 if width == widths[-1] else _SLACK  # the widest beam is for what takes longer
            if self._looked >= most or (best and best.cost <= least - doubt):
                break
            best = self._beam(start, best.cost - 1 if best else limit, width, most) or best
        return best

    def _beam(self, start: State, limit: int, width: int, most: int) -> Found | None:
        """Return the best plan that keeps only the `width` most promising states of each moment."""
        # By the moment: steps to go, waits ahead, and the number of the state, which makes the order one.
        layers: dict[int, list[tuple[int, int, int, _Node]]] = {0: [(0, 0, 0, _Node(None, (), start))]}
        known = {self._key(start, self.estimate.see(start)): 0}
        best: Found | None = None
        time = 0
        while layers and time < limit and self._looked < most:
            layer = layers.pop(time, [])
            layer.sort(key=lambda one: one[:3])
            for _, _, _, node in layer[:width]:
                for cost, steps, new in self._moves.after(node.state, node.steps[-1] if node.steps else None):
                    then = time + cost
                    if then > limit:
                        continue
                    seen = self.estimate.see(new)
                    key = self._key(new, seen)
                    if known.get(key, limit + 1) <= then:
                        continue
                    known[key] = then
                    self._looked += 1
                    left, waits = self.estimate(new, seen)
                    if then + left - _SLACK > limit:
                        continue
                    child = _Node(node, steps, new)
                    if left == 0:
                        best = Found(_steps(child), then)
                        limit = then - 1
                    else:
                        layers.setdefault(then, []).append((left, waits, self._looked, child))
            time += 1
        return best

    def _key(self, state: State, seen: Seen) -> object:
        """Return what a state is like, whichever of equal tables and equal items it is about."""
        place, held, _, _, meals, waters, effects = state
        like, cells = seen
        return (
            cells[place] if self._world.station_kinds[place] == TABLE else place,
            like[held] if 0 <= held < FIRST_CONTAINER else -2 - held,
            tuple(sorted([cells[s] for s in self._tables])),
            tuple([cells[s] for s in self._others]),
            meals,
            waters and tuple([(boils, tuple(sorted([like[i] for i in inside]))) for boils, inside in waters]),
            tuple([(of[0], of[1] if of[0] >= Kind.FILL else 0, of[2], of[3]) for of in effects]),
        )


def _steps(node: _Node) -> tuple[Step, ...]:
    """Return the steps on the way to a node."""
    parts = []
    at: _Node | None = node
    while at is not None:
        parts.append(at.steps)
        at = at.before
    return tuple(step for part in reversed(parts) for step in part)
