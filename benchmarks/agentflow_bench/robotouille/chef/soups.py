"""What a soup still takes: the pot's way from sink to stove to bowl."""

from __future__ import annotations

from typing import NamedTuple

from agentflow_bench.robotouille.chef.dishes import Demand, Menu, Soup
from agentflow_bench.robotouille.chef.errand import HELD, NEVER, Cost
from agentflow_bench.robotouille.chef.model import (
    DELAY,
    EMPTY,
    FIRST_CONTAINER,
    SINK,
    STOVE,
    TABLE,
    Kind,
    State,
    World,
)
from agentflow_bench.robotouille.chef.piles import Item, Wanted, unmet

__all__ = ["Simmering", "Soups"]

_AWAY = -2  # in the hands of another player
_AFTER = 3  # steps after the last item is in: take the pot, walk, fill the bowl


class Simmering(NamedTuple):
    """A soup so far: the pot's and the bowl's errands, waits that are ahead, what is missing in it."""

    cost: Cost
    waits: int
    missing: tuple[Wanted, ...]


_NEVER = Simmering(Cost(NEVER, 0, NEVER), 0, ())


class Soups:
    """Judges the soups of a menu in one kitchen."""

    def __init__(self, world: World, menu: Menu) -> None:
        self._world, self._soups = world, menu.soups
        self._pots = [c for c, pot in enumerate(world.pots) if pot]
        self._vessels = range(len(world.containers))
        self._known: dict[object, tuple[Simmering, ...]] = {}
        self._bowls = [c for c, pot in enumerate(world.pots) if not pot]

    def __call__(self, state: State) -> tuple[Simmering, ...]:
        """Return how far each soup is, with the pots and bowls that suit best, none used twice."""
        if not self._soups:
            return ()
        key = (
            state.held if state.held >= FIRST_CONTAINER else EMPTY,
            tuple([self._where(state, vessel) for vessel in self._vessels]),
            state.meals,
            tuple([(boils, tuple([(i, state.items[i]) for i in inside])) for boils, inside in state.waters]),
            tuple([effect for effect in state.effects if effect[0] >= Kind.FILL]),
        )
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._judged(state)
        return known

    def _judged(self, state: State) -> tuple[Simmering, ...]:
        found = []
        pots, bowls = list(self._pots), list(self._bowls)
        for soup in self._soups:
            ways = [
                (self._soup(state, soup, pot, bowl), pot, bowl) for pot in pots or [EMPTY] for bowl in bowls
            ]
            if not ways:
                return (_NEVER,)
            best, pot, bowl = min(ways, key=lambda way: way[0].cost.steps + 7 * len(way[0].missing))
            if pot != EMPTY and state.meals[bowl] == EMPTY:
                pots.remove(pot)
            bowls.remove(bowl)
            found.append(best)
        return tuple(found)

    def _soup(self, state: State, soup: Soup, pot: int, bowl: int) -> Simmering:
        """Return how far a soup is that is made in this pot and goes into this bowl."""
        bowl_at = self._where(state, bowl)
        if bowl_at == _AWAY:
            return _NEVER
        steps = 2 if bowl_at == HELD else 0 if self._world.station_kinds[bowl_at] == TABLE else 4
        stations = (steps > 0) << TABLE
        served = state.meals[bowl]
        if served != EMPTY:
            boils, inside = state.waters[served]
            if self._lacks(state, soup, inside) or (soup.boiling and not boils):
                return _NEVER
            return Simmering(Cost(steps, stations, steps), 0, ())
        if pot == EMPTY or self._where(state, pot) == _AWAY:
            return _NEVER
        way = self._way(state, soup, pot)
        ahead = (state.meals[pot] == EMPTY) << SINK
        return Simmering(
            Cost(steps + way.cost.steps, stations | way.cost.stations, way.cost.time),
            way.waits,
            tuple(one._replace(ahead=ahead) for one in way.missing),
        )

    def _way(self, state: State, soup: Soup, pot: int) -> Simmering:
        """Return the pot's way: to a sink and a stove as far as they are needed, and to the bowl."""
        at = self._where(state, pot)
        kind = HELD if at == HELD else self._world.station_kinds[at]
        water = state.meals[pot]
        boils, inside = state.waters[water] if water != EMPTY else (False, ())
        lacks = self._lacks(state, soup, inside)
        saved = len(lacks)  # walks to the pot that bring something for it
        take, walk = (0, 0) if kind == HELD else (1, 1)
        steps = stations = time = waits = 0
        if water == EMPTY:
            left = self._left(state, Kind.FILL, pot, at)
            if left:
                time = left
            else:
                steps = walk + 1 if kind == SINK else walk + take + 3
                stations |= (kind != SINK) << SINK
                waits = DELAY - 1
                time = steps + waits
            kind, take, walk = SINK, 1, 1
        if soup.boiling and not boils:
            left = self._left(state, Kind.BOIL, water << 4 | pot, at) if water != EMPTY else 0
            if left:
                time = left
            else:
                goes = 1 if kind == STOVE else take + 3
                steps += goes + (walk if saved <= 0 else 0)
                saved -= walk
                stations |= (kind != STOVE) << STOVE
                waits += DELAY - 1
                time += goes + DELAY - 1
            take, walk = 1, 1
        steps += take + 2 + (walk if saved <= 0 else 0)
        missing = tuple(Wanted(kind, status, _AFTER, 0) for kind, status in lacks)
        return Simmering(Cost(steps, stations, time + take + 2), waits, missing)

    def _where(self, state: State, container: int) -> int:
        """Return the station of a container, `HELD`, or `_AWAY`."""
        cell = (FIRST_CONTAINER + container,)
        if state.held == cell[0]:
            return HELD
        return state.cells.index(cell) if cell in state.cells else _AWAY

    def _left(self, state: State, kind: int, subject: int, place: int) -> int:
        """Return the ticks that an effect for what lies at `place` still takes, 0 if none runs."""
        for effect in state.effects:
            if effect[0] == kind and effect[1] == subject and effect[2] == place:
                return DELAY - effect[3]
        return 0

    def _lacks(self, state: State, soup: Soup, inside: tuple[int, ...]) -> list[Demand]:
        if not inside:
            return list(soup.inside)
        return unmet(soup.inside, [Item(self._world.item_kinds[i], state.items[i]) for i in inside])
