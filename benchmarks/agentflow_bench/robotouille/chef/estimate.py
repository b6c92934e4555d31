"""How many steps are still to go: what a search is guided by.

The sum of the errands that are left, with the cheapest choice of items for the dishes and of tables for the
stacks; never less than the longest errand whose effects take time. It is nearly a lower bound: where it
is too high, the plan saved a walk by luck.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

from agentflow_bench.robotouille.chef.dishes import Menu
from agentflow_bench.robotouille.chef.errand import HELD, NEVER, Cost, Make, errand
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
from agentflow_bench.robotouille.chef.piles import CLEAR, Begun, Item, begun, missing
from agentflow_bench.robotouille.chef.soups import Soups

__all__ = ["Estimate", "Estimator"]

_Lack = dict[str, list[tuple[int, int, int]]]  # by kind: status, after, ahead
_Candidate = tuple[int, int, int, int, int]  # make, flags, where, ticks left, what is above


class Estimate(NamedTuple):
    """Steps to go, 0 at the goal, and waits that are ahead: fewer are better, where steps are equal."""

    steps: int
    waits: int


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
        free = [(s, kind) for s, kind in enumerate(world.station_kinds) if s not in world.blocked]
        self._of_kind = [[s for s, kind in free if kind == one] for one in range(OTHER + 1)]
        self._soups = Soups(world, menu)
        self._stacks: dict[tuple[int, tuple[tuple[int, int], ...]], Begun] = {}
        self._errands: dict[tuple[int, int, int, int, int], Cost] = {}
        self._choices: dict[
            tuple[tuple[tuple[int, int, int], ...], tuple[_Candidate, ...]], tuple[int, int, int, int]
        ] = {}

    def __call__(self, state: State) -> Estimate:
        """Return what is to go, or `NEVER` and more where the goal is out of reach."""
        wanted: _Lack = {}
        kept, fresh, steps = self._tables(state, wanted)
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
        for cost, delay in self._items(state, wanted, kept):
            steps += cost.steps
            stations |= cost.stations
            time = max(time, cost.time)
            waits += delay
        if steps >= NEVER:
            return Estimate(NEVER, 0)
        steps += self._standing(state, wanted, kept) + self._crowding(state, wanted, kept, stations, fresh)
        return Estimate(max(steps, time, 1), waits)

    # Stacks

    def _tables(self, state: State, wanted: _Lack) -> tuple[dict[int, int], int, int]:
        """Add what the stacks lack to `wanted`.

        Returns which items stay (bits) at which table, the number of tables needed, and steps to take
        off what is wrong.
        """
        stacks = self._menu.stacks
        found: list[tuple[int, int, int, Begun]] = []
        for table in self._of_kind[TABLE]:
            cell = state.cells[table]
            if cell and cell[0] < FIRST_CONTAINER:
                look = tuple([(self.makes[i], state.items[i]) for i in cell])
                for number in range(len(stacks)):
                    so_far = self._stacks.get((number, look))
                    if so_far is None:
                        pile = [Item(self._kinds[make].kind, flags) for make, flags in look]
                        so_far = self._stacks[number, look] = begun(stacks[number], pile)
                    if so_far.done:
                        found.append((so_far.loose - so_far.done * CLEAR, number, table, so_far))
        found.sort(key=lambda one: one[:3])
        kept: dict[int, int] = {}
        chosen: set[int] = set()
        steps = fresh = 0
        for _, number, table, so_far in found:
            if number in chosen or table in kept:
                continue
            chosen.add(number)
            kept[table] = so_far.kept
            steps += so_far.loose
            for one in so_far.missing:
                wanted.setdefault(one.kind, []).append(one[1:])
        for number, stack in enumerate(stacks):
            if number not in chosen:
                fresh += 1
                for one in missing(stack, stack.demands):
                    wanted.setdefault(one.kind, []).append(one[1:])
        return kept, fresh, steps

    # Items

    def _items(self, state: State, wanted: _Lack, kept: dict[int, int]) -> list[tuple[Cost, int]]:
        """Return the cheapest errands that bring every wanted item."""
        places = self._world.station_kinds
        kinds = self._world.item_kinds
        candidates: dict[str, list[_Candidate]] = {name: [] for name in wanted}
        running = {}
        for kind, subject, station, count in state.effects:
            if (kind == Kind.COOK or kind == Kind.FRY) and state.cells[station][:1] == (subject,):
                running[subject] = DELAY - count
        for s, cell in enumerate(state.cells):
            if not cell or cell[0] >= FIRST_CONTAINER:
                continue
            stays = kept.get(s, 0)
            above = 0
            for depth in range(len(cell) - 1, -1, -1):
                item = cell[depth]
                if stays >> depth & 1:
                    above += 2
                elif kinds[item] in candidates:
                    where = OTHER if depth else places[s]
                    if where in (TABLE, SINK):
                        where = OTHER
                    candidates[kinds[item]].append(
                        (self.makes[item], state.items[item], where, running.get(item, 0), above)
                    )
                else:
                    above += 1
        held = state.held
        if 0 <= held < FIRST_CONTAINER and kinds[held] in candidates:
            candidates[kinds[held]].append((self.makes[held], state.items[held], HELD, 0, 0))
        found = []
        for name, demands in wanted.items():
            few = candidates[name]
            few.sort()
            demands.sort()
            key = (tuple(demands), tuple(few))
            chosen = self._choices.get(key)
            if chosen is None:
                chosen = self._choices[key] = self._choose(*key)
            found.append((Cost(*chosen[:3]), chosen[3]))
        return found

    def _choose(
        self, demands: tuple[tuple[int, int, int], ...], candidates: tuple[_Candidate, ...]
    ) -> tuple[int, int, int, int]:
        """Return the least cost of items that meet the demands: steps, stations, time, and waits."""
        best = (NEVER, 0, NEVER, 0)
        if len(candidates) < len(demands):
            return best
        table = [
            [(self._errand(*one[:4], status), one[4] * CLEAR, after) for one in candidates]
            for status, after, _ in demands
        ]
        for picked in permutations(range(len(candidates)), len(demands)):
            steps = stations = time = waits = 0
            for row, column in zip(table, picked, strict=True):
                cost, clear, after = row[column]
                steps += cost.steps + clear
                stations |= cost.stations
                time = max(time, cost.time + after)
                waits += cost.time - cost.steps
            if (steps, time) < (best[0], best[2]):
                best = (steps, stations, time, waits)
        return best

    def _errand(self, make: int, flags: int, where: int, left: int, status: int) -> Cost:
        key = (make, flags, where, left, status)
        cost = self._errands.get(key)
        if cost is None:
            cost = self._errands[key] = errand(self._kinds[make], flags, where, left, status)
        return cost

    # What stands where

    def _standing(self, state: State, wanted: _Lack, kept: dict[int, int]) -> int:
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
        return -1 if kinds[top] in wanted and not kept.get(place, 0) >> (len(cell) - 1) & 1 else 0

    def _crowding(
        self,
        state: State,
        wanted: _Lack,
        kept: dict[int, int],
        stations: int,
        fresh: int,
    ) -> int:
        """Return the steps it takes to clear stations that must be used.

        What stands in the way of one may leave as soon as others were used; where that goes round in a
        circle, somewhere must be cleared.
        """
        steps = 0
        shut = stations & ~(1 << TABLE)
        ways = {
            kind: [self._shut_by(state, s, wanted) for s in self._of_kind[kind]]
            for kind in range(1, OTHER)
            if shut >> kind & 1
        }
        if not all(ways.values()):
            return NEVER
        while shut:
            opened = [kind for kind in ways if shut >> kind & 1 and any(not way & shut for way in ways[kind])]
            if not opened:
                costs = [(self._junk(state, kind, wanted), kind) for kind in ways if shut >> kind & 1]
                steps += CLEAR * min(costs)[0]
                opened = [min(costs)[1]]
            for kind in opened:
                shut &= ~(1 << kind)
        if fresh:
            tables = [s for s in self._of_kind[TABLE] if s not in kept]
            free = sum(not self._shut_by(state, s, wanted) & 1 << OTHER for s in tables)
            steps += CLEAR * max(0, fresh - free)
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
