"""What a plan may do next: walk somewhere and do one thing there, or wait there for something to end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agentflow_bench.robotouille.chef.model import (
    BOARD,
    COOKED,
    COOKING,
    CUT,
    CUTS,
    EMPTY,
    FIRST_CONTAINER,
    FRIED,
    FRYABLE,
    FRYER,
    SINK,
    STOVE,
    TABLE,
    Kind,
    State,
    Step,
    World,
    given,
    put,
    runs,
    start_cut,
    started,
    taken,
    tick,
)

__all__ = ["Move", "Moves"]

_PUT = ("place-item", "stack", "place-container")


class Move(NamedTuple):
    """Some steps in a row: their number, they themselves, and what is then."""

    cost: int
    steps: tuple[Step, ...]
    state: State


class Moves:
    """The moves of one kitchen that can serve a goal."""

    def __init__(self, world: World, kinds: frozenset[str], soups: bool) -> None:
        self._world = world
        self._wanted = tuple(kind in kinds for kind in world.item_kinds)
        self._soups = soups
        self._places = range(len(world.stations))

    def after(self, state: State, last: Step | None) -> Iterator[Move]:
        """Return the moves from `state`; `last` is the step that led to it."""
        world, here = self._world, state.place
        walked = self._ticked(state)
        bare = {}  # an empty station of each kind stands for all; the one where the robot is costs less
        for s in self._places:
            if not state.cells[s] and (world.station_kinds[s] not in bare or s == here):
                bare[world.station_kinds[s]] = s
        crowded = TABLE not in bare
        for s in self._places:
            if s == here:
                steps: tuple[Step, ...] = ()
                at = state
            else:
                steps = (("move", here, s),)
                at = walked
            cell = at.cells[s]
            if not cell and bare[world.station_kinds[s]] != s:
                continue
            if at.held == EMPTY:
                if not cell:
                    continue
                if self._worth(cell, s, crowded) and not (s == here and last and last[0] in _PUT):
                    yield self._move(steps, *taken(at, s))
                yield from self._works(steps, at, s, cell)
            elif at.held < FIRST_CONTAINER:
                way = given(world, at, s)
                if way is not None:
                    yield self._move(steps, *way)
            else:
                yield from self._vessel(steps, at, s, cell)
            if at.effects:
                yield from self._waits(steps, at, s)

    def _ticked(self, state: State) -> State:
        for _ in range(self._world.ticks):
            state = tick(state)
        return state

    def _move(self, steps: tuple[Step, ...], step: Step, new: State) -> Move:
        return Move((len(steps) + 1) * self._world.ticks, (*steps, step), self._ticked(new))

    def _worth(self, cell: tuple[int, ...], place: int, crowded: bool) -> bool:
        """Return whether something may be gained by taking the top of a station."""
        if crowded or self._world.station_kinds[place] != TABLE:
            return True
        if cell[0] >= FIRST_CONTAINER:
            return self._soups
        return any(self._wanted[item] for item in cell)

    def _works(self, steps: tuple[Step, ...], at: State, place: int, cell: tuple[int, ...]) -> Iterator[Move]:
        """Return what is done with free hands: cut to the end, cook, fry, fill, boil."""
        if len(cell) != 1:
            return
        world, thing, kind = self._world, cell[0], self._world.station_kinds[place]
        if thing >= FIRST_CONTAINER:
            pot = thing - FIRST_CONTAINER
            if not world.pots[pot] or not self._soups:
                return
            water = at.meals[pot]
            if kind == SINK and water == EMPTY and not runs(at, Kind.FILL, pot, place):
                new = started(at._replace(place=place), (Kind.FILL, pot, place, 0))
                yield self._move(steps, ("fill-pot", thing, place), new)
            elif kind == STOVE and water != EMPTY and not at.waters[water][0]:
                subject = water << 4 | pot
                if not runs(at, Kind.BOIL, subject, place):
                    new = started(at._replace(place=place), (Kind.BOIL, subject, place, 0))
                    yield self._move(steps, ("boil-water", thing, place), new)
            return
        if not self._wanted[thing]:
            return
        flags = at.items[thing]
        if kind == BOARD and world.cuttable[thing] and not flags & CUT:
            yield self._cut(steps, at._replace(place=place), place, thing)
        elif kind == STOVE and world.cookable[thing] and not flags & (COOKED | COOKING):
            if not runs(at, Kind.COOK, thing, place):
                new = started(at._replace(place=place), (Kind.COOK, thing, place, 0))
                yield self._move(steps, ("cook", thing, place), new)
        elif kind == FRYER and flags & FRYABLE and not flags & FRIED and not runs(at, Kind.FRY, thing, place):
            new = started(at._replace(place=place), (Kind.FRY, thing, place, 0))
            yield self._move(steps, ("fry", thing, place), new)

    def _cut(self, steps: tuple[Step, ...], at: State, place: int, item: int) -> Move:
        for _ in range(CUTS):
            if at.items[item] & CUT:
                break
            at = self._ticked(start_cut(self._world, at, item))
            steps = (*steps, ("cut", item, place))
        return Move(len(steps) * self._world.ticks, steps, at)

    def _vessel(
        self, steps: tuple[Step, ...], at: State, place: int, cell: tuple[int, ...]
    ) -> Iterator[Move]:
        """Return what is done with a container in the hands."""
        if not cell:
            yield self._move(steps, ("place-container", at.held, place), put(at, place, (at.held,), EMPTY))
            return
        pot, bowl = at.held - FIRST_CONTAINER, cell[0] - FIRST_CONTAINER
        if bowl < 0 or not self._world.pots[pot] or self._world.pots[bowl]:
            return
        water = at.meals[pot]
        if water != EMPTY and at.meals[bowl] == EMPTY:
            meals = list(at.meals)
            meals[pot], meals[bowl] = EMPTY, water
            new = at._replace(place=place, meals=tuple(meals))
            yield self._move(steps, ("fill-bowl", bowl + FIRST_CONTAINER, at.held), new)

    def _waits(self, steps: tuple[Step, ...], at: State, place: int) -> Iterator[Move]:
        """Return the wait, at a station where an effect runs, until one has ended."""
        if not any(effect[0] >= Kind.COOK and effect[2] == place for effect in at.effects):
            return
        now = at._replace(place=place)
        count = len(now.effects)
        for _ in range(5):
            new = self._ticked(now)
            if new.effects == now.effects:
                return
            now = new
            steps = (*steps, ("wait", 0, 0))
            if len(now.effects) < count:
                yield Move(len(steps) * self._world.ticks, steps, now)
                return
