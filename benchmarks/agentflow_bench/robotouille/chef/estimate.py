"""How many steps are still to go: what a search is guided by.

The sum of the errands that are left, with the cheapest choice of items for the dishes and of tables for the
stacks; never less than the longest errand whose effects take time. It is nearly a lower bound: where it
is too high, the plan saved a walk by luck.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from agentflow_bench.robotouille.chef.dishes import Menu
from agentflow_bench.robotouille.chef.errand import CLEAR, HELD, NEVER, Candidate, Choice, Errands, Make
from agentflow_bench.robotouille.chef.model import (
    DELAY,
    EMPTY,
    FIRST_CONTAINER,
    OTHER,
    SINK,
    TABLE,
    Kind,
    State,
    World,
)
from agentflow_bench.robotouille.chef.piles import Begun, Item, begun, missing
from agentflow_bench.robotouille.chef.soups import Soups

__all__ = ["Estimate", "Estimator", "Seen"]

_Lack = dict[str, list[tuple[int, int, int]]]  # by kind: status, after, ahead
_RUNS: Final = 1 << 20  # in `Seen`, from here up: an effect is about it


class Estimate(NamedTuple):
    """Steps to go, 0 at the goal, and waits that are ahead: fewer are better, where steps are equal."""

    steps: int
    waits: int


class Seen(NamedTuple):
    """A state as a search sees it: by item and by cell, what it is like. Containers are negative."""

    items: list[int]
    cells: list[tuple[int, ...]]


class Estimator:
    """Judges the states of one kitchen by one menu. Keeps what it found out, since states are much alike."""

    def __init__(self, world: World, menu: Menu) -> None:
        self._world, self._menu = world, menu
        makes = [
            Make(*of)
            for of in zip(world.item_kinds, world.cuttable, world.cookable, world.fryable_if_cut, strict=True)
        ]
        self._kinds = list(dict.fromkeys(makes))
        self.makes = tuple(self._kinds.index(make) for make in makes)
        self._shifted = tuple(make << 8 for make in self.makes)
        kinds = list(enumerate(world.station_kinds))
        self._of_kind = [[s for s, kind in kinds if kind == one] for one in range(OTHER + 1)]
        self._soups = Soups(world, menu)
        self._where = [OTHER if kind in (TABLE, SINK) else kind for kind in world.station_kinds]
        self._errands = Errands(self._kinds)
        self._piles: dict[tuple[int, ...], tuple[tuple[int, int, Begun], ...]] = {}
        self._singles: dict[tuple[int, int], tuple[str, Candidate]] = {}

    def see(self, state: State) -> Seen:
        """Return what things are like: numbers that are the same for items that are as good as each other."""
        like = [make | flags for make, flags in zip(self._shifted, state.items, strict=True)]
        for number, (kind, subject, _, _) in enumerate(state.effects, 1):
            if kind != Kind.IDLE and kind < Kind.FILL:
                like[subject] |= number * _RUNS
        cells = [
            tuple([like[i] if i < FIRST_CONTAINER else -i for i in cell]) if cell else cell
            for cell in state.cells
        ]
        return Seen(like, cells)

    def __call__(self, state: State, seen: Seen | None = None) -> Estimate:
        """Return what is to go, or `NEVER` and more where the goal is out of reach."""
        seen = seen or self.see(state)
        wanted: _Lack = {}
        kept, fresh, steps = self._tables(seen, wanted)
        waits = time = stations = 0
        for cost, delay, lacks in self._soups(state):
            steps += cost.steps
            stations |= cost.stations
            time = max(time, cost.time)
            waits += delay
            fresh += cost.stations >> TABLE & 1
            for one in lacks:
                wanted.setdefault(one.kind, []).append(one[1:])
        if not (wanted or steps):
            return Estimate(0, 0)
        for choice in self._items(state, seen, wanted, kept):
            steps += choice.steps
            stations |= choice.stations
            time = max(time, choice.time)
            waits += choice.waits
        if steps >= NEVER:
            return Estimate(NEVER, 0)
        steps += self._standing(state, wanted, kept) + self._crowding(state, wanted, kept, stations, fresh)
        return Estimate(max(steps, time, 1), waits)

    # Stacks

    def _tables(self, seen: Seen, wanted: _Lack) -> tuple[dict[int, Begun], int, int]:
        """Add what the stacks lack to `wanted`.

        Returns what has begun at which table, the number of tables needed, and steps to take off what
        is wrong.
        """
        stacks = self._menu.stacks
        found: list[tuple[int, int, int, Begun]] = []
        for table in self._of_kind[TABLE]:
            look = seen.cells[table]
            if look and look[0] >= 0:
                piles = self._piles.get(look)
                if piles is None:
                    piles = self._piles[look] = self._begun(look)
                for worth, number, so_far in piles:
                    found.append((worth, number, table, so_far))
        if len(found) > 1:
            found.sort(key=lambda one: one[:3])
        kept: dict[int, Begun] = {}
        chosen: set[int] = set()
        steps = fresh = 0
        for _, number, table, so_far in found:
            if number in chosen or table in kept:
                continue
            chosen.add(number)
            kept[table] = so_far
            steps += so_far.loose
            for one in so_far.missing:
                wanted.setdefault(one.kind, []).append(one[1:])
        if len(chosen) < len(stacks):
            for number, stack in enumerate(stacks):
                if number not in chosen:
                    fresh += 1
                    for one in missing(stack, stack.demands):
                        wanted.setdefault(one.kind, []).append(one[1:])
        return kept, fresh, steps

    def _begun(self, look: tuple[int, ...]) -> tuple[tuple[int, int, Begun], ...]:
        """Return the stacks that a pile may become, each with how much is against it, and its number."""
        pile = [Item(self._kinds[one >> 8 & 0xFFF].kind, one & 0xFF) for one in look]
        found = [(number, begun(stack, pile)) for number, stack in enumerate(self._menu.stacks)]
        return tuple((one.loose - one.done * CLEAR, number, one) for number, one in found if one.done)

    # Items

    def _items(self, state: State, seen: Seen, wanted: _Lack, kept: dict[int, Begun]) -> Iterator[Choice]:
        """Return the cheapest errands that bring every wanted item, kind by kind."""
        candidates: dict[str, list[Candidate]] = {name: [] for name in wanted}
        for s, look in enumerate(seen.cells):
            if not look or look[0] < 0:
                continue
            if len(look) == 1 and look[0] < _RUNS:
                if s not in kept:
                    where = self._where[s]
                    one = self._singles.get((look[0], where))
                    if one is None:
                        one = self._singles[look[0], where] = self._single(look[0], where)
                    if one[0] in candidates:
                        candidates[one[0]].append(one[1])
            else:
                self._pile(state, s, kept.get(s), wanted, candidates)
        held = state.held
        if 0 <= held < FIRST_CONTAINER:
            name, candidate = self._single(seen.items[held], HELD)
            if name in candidates:
                candidates[name].append(candidate)
        for name, demands in wanted.items():
            yield self._errands(demands, candidates[name])

    def _single(self, like: int, where: int) -> tuple[str, Candidate]:
        make = like >> 8 & 0xFFF
        return self._kinds[make].kind, (make, like & 0xFF, where, 0, 0)

    def _pile(
        self,
        state: State,
        place: int,
        dish: Begun | None,
        wanted: _Lack,
        candidates: dict[str, list[Candidate]],
    ) -> None:
        """Add the items of a pile that may be used elsewhere, each with what must be taken off it.

        What comes last on this very dish and is here too early must be taken away and brought again.
        """
        cell = state.cells[place]
        stays = dish.kept if dish else 0
        last = dish.missing[-1].kind if dish and len(dish.missing) > 1 else None
        above = 0
        for depth in range(len(cell) - 1, -1, -1):
            item = cell[depth]
            name = self._world.item_kinds[item]
            if stays >> depth & 1:
                above += 2
            elif name in candidates:
                where, left = OTHER, 0
                if not depth:
                    where = self._where[place]
                    for kind, subject, station, count in state.effects:
                        if subject == item and station == place and (kind == Kind.COOK or kind == Kind.FRY):
                            left = DELAY - count
                again = name == last and len(wanted[name]) == 1
                candidates[name].append((self.makes[item], state.items[item], where, left, above + again))
            else:
                above += 1

    # What stands where

    def _standing(self, state: State, wanted: _Lack, kept: dict[int, Begun]) -> int:
        """Return the steps saved or lost by where the robot is, and by what it holds."""
        held, place = state.held, state.place
        kinds = self._world.item_kinds
        if held >= FIRST_CONTAINER:
            container = held - FIRST_CONTAINER
            used = self._world.pots[container] and state.meals[container] != EMPTY
            return 0 if used or not wanted else 1
        if held != EMPTY:
            return 0 if kinds[held] in wanted else 1
        cell = state.cells[place]
        if not cell:
            return 0
        top = cell[-1]
        if top >= FIRST_CONTAINER:
            return -1 if self._menu.soups else 0
        dish = kept.get(place)
        stays = dish is not None and dish.kept >> (len(cell) - 1) & 1
        return -1 if kinds[top] in wanted and not stays else 0

    def _crowding(
        self,
        state: State,
        wanted: _Lack,
        kept: dict[int, Begun],
        stations: int,
        fresh: int,
    ) -> int:
        """Return the steps it takes to clear stations that must be used.

        What stands in the way of one may leave as soon as others were used; where that goes round in a
        circle, somewhere must be cleared.
        """
        steps = shut = 0
        cells = state.cells
        ways: dict[int, list[int]] = {}
        for kind in range(1, OTHER):
            if stations >> kind & 1 and all(cells[s] for s in self._of_kind[kind]):
                ways[kind] = [self._shut_by(state, s, wanted) for s in self._of_kind[kind]]
                if not ways[kind]:
                    return NEVER
                shut |= 1 << kind
        while shut:
            opened = [kind for kind in ways if shut >> kind & 1 and any(not way & shut for way in ways[kind])]
            if not opened:
                costs = [(self._junk(state, kind, wanted), kind) for kind in ways if shut >> kind & 1]
                steps += CLEAR * min(costs)[0]
                opened = [min(costs)[1]]
            for kind in opened:
                shut &= ~(1 << kind)
        if fresh:
            for s in self._of_kind[TABLE]:
                if s not in kept and (not cells[s] or self._shut_by(state, s, wanted) >= 0):
                    fresh -= 1
                    if not fresh:
                        break
            steps += CLEAR * fresh
        return steps

    def _shut_by(self, state: State, place: int, wanted: _Lack) -> int:
        """Return what must be used before a station gets free by itself, as bits; all of them: it won't."""
        cell = state.cells[place]
        if not cell:
            return 0
        if cell[0] >= FIRST_CONTAINER:
            return 0 if self._world.pots[cell[0] - FIRST_CONTAINER] and self._menu.soups else -1
        ahead = 0
        for item in cell:
            demands = wanted.get(self._world.item_kinds[item])
            if not demands:
                return -1
            ahead |= min((one[2] for one in demands), key=int.bit_count)
        return ahead

    def _junk(self, state: State, kind: int, wanted: _Lack) -> int:
        """Return how many things must be taken off the station of a kind that is cleared most easily."""
        kinds = self._world.item_kinds
        return min(
            max(1, sum(thing >= FIRST_CONTAINER or kinds[thing] not in wanted for thing in state.cells[s]))
            for s in self._of_kind[kind]
        )
