"""How many steps are still to go: what a search is guided by.

The sum of the errands that are left, with the cheapest choice of items for the dishes and of tables for the
stacks; never less than the longest errand whose effects take time. It is nearly a lower bound: where it
is too high, the plan saved a walk by luck.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

from agentflow_bench.robotouille.chef.dishes import Demand, Menu, Soup, Stack
from agentflow_bench.robotouille.chef.errand import HELD, NEVER, USED, Cost, Make, errand
from agentflow_bench.robotouille.chef.model import (
    DELAY,
    EMPTY,
    FIRST_CONTAINER,
    OTHER,
    SINK,
    STOVE,
    TABLE,
    Kind,
    State,
    World,
)

__all__ = ["Estimate", "Estimator"]

_CLEAR = 4  # steps to take something away that is in the way: walk, take, walk, put


class Estimate(NamedTuple):
    """Steps to go, 0 at the goal, and waits that are ahead: fewer are better, where steps are equal."""

    steps: int
    waits: int


class _Wanted(NamedTuple):
    """An item that is missing: what must be true of it, the steps that must follow, and what must be before.

    `ahead` are the kinds of stations, as bits, that are used before it can go to its dish.
    """

    kind: str
    status: int
    after: int
    ahead: int


_Lack = dict[str, list[tuple[int, int, int]]]  # status, after, ahead by kind


class _Begun(NamedTuple):
    """A stack so far: how much of it is done, how many items stay, what is missing, steps to clear it."""

    done: int
    kept: int
    missing: tuple[_Wanted, ...]
    loose: int


_Candidate = tuple[int, int, int, int, int]  # make, flags, where, ticks left, junk above


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
        self._free = [s not in world.blocked for s in range(len(world.stations))]
        self._of_kind = [
            [s for s, kind in enumerate(world.station_kinds) if kind == one and self._free[s]]
            for one in range(OTHER + 1)
        ]
        self._pots = [c for c, pot in enumerate(world.pots) if pot]
        self._bowls = [c for c, pot in enumerate(world.pots) if not pot]
        self._stacks: dict[tuple[int, tuple[tuple[int, int], ...]], _Begun] = {}
        self._errands: dict[tuple[int, int, int, int, int], Cost] = {}
        self._choices: dict[
            tuple[tuple[tuple[int, int, int], ...], tuple[_Candidate, ...]], tuple[int, int, int, int]
        ] = {}

    def __call__(self, state: State) -> Estimate:
        """Return what is to go, or `NEVER` and more where the goal is out of reach."""
        wanted: _Lack = {}
        kept, fresh, steps = self._tables(state, wanted)
        waits = time = stations = 0
        for cost, delay in self._soups(state, wanted):
            steps += cost.steps
            stations |= cost.stations
            time = max(time, cost.time)
            waits += delay
            fresh += cost.stations >> TABLE & 1
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

        Returns how many items stay at which table, the number of tables that are needed, and steps to take
        off what is wrong.
        """
        stacks = self._menu.stacks
        found: list[tuple[int, int, int, _Begun]] = []
        for table in self._of_kind[TABLE]:
            cell = state.cells[table]
            if cell and cell[0] < FIRST_CONTAINER:
                look = tuple([(self.makes[i], state.items[i]) for i in cell])
                for number in range(len(stacks)):
                    begun = self._stacks.get((number, look))
                    if begun is None:
                        begun = self._stacks[number, look] = self._begun(stacks[number], look)
                    if begun.kept:
                        found.append((begun.loose - begun.done * 4, number, table, begun))
        found.sort(key=lambda one: one[:3])
        kept: dict[int, int] = {}
        chosen: set[int] = set()
        steps = fresh = 0
        for _, number, table, begun in found:
            if number in chosen or table in kept:
                continue
            chosen.add(number)
            kept[table] = begun.kept
            steps += begun.loose
            for one in begun.missing:
                wanted.setdefault(one.kind, []).append(one[1:])
        for number, stack in enumerate(stacks):
            if number not in chosen:
                fresh += 1
                for one in _missing(stack, stack.demands):
                    wanted.setdefault(one.kind, []).append(one[1:])
        return kept, fresh, steps

    def _begun(self, stack: Stack, look: tuple[tuple[int, int], ...]) -> _Begun:
        """Return how far a pile of items is this stack."""
        named = [(self._kinds[make].kind, flags) for make, flags in look]
        left = list(stack.demands)
        kept = 0
        if stack.ordered:
            while kept < len(named) and left and _meets(named[kept], left[0]):
                kept += 1
                del left[0]
            loose = (len(named) - kept) if left or stack.top is not None else 0
        else:
            kinds = self._menu.kinds
            middle = list(stack.middle)
            done_top = stack.top is None
            if stack.base is not None:
                if not _meets(named[0], stack.base):
                    return _Begun(0, 0, (), 0)
                kept = 1
            for one in named[kept:]:
                fits = next((i for i, demand in enumerate(middle) if _meets(one, demand)), -1)
                if fits >= 0:
                    del middle[fits]
                elif not middle and not done_top and stack.top is not None and _meets(one, stack.top):
                    kept += 1
                    done_top = True
                    break
                elif one[0] in kinds:
                    break
                kept += 1
            left = middle + ([stack.top] if not done_top and stack.top is not None else [])
            loose = len(named) - kept if left or stack.top is not None else 0
        done = len(stack.demands) - len(left)
        above = named[len(named) - loose :] if loose else []
        junk = sum(one[0] not in {demand.kind for demand in left} for one in above)
        return _Begun(done, kept if done else 0, tuple(_missing(stack, tuple(left))), junk * _CLEAR)

    # Soups

    def _soups(self, state: State, wanted: _Lack) -> list[tuple[Cost, int]]:
        """Add what the soups lack to `wanted`, and return their own costs."""
        found = []
        pots, bowls = list(self._pots), list(self._bowls)
        for soup in self._menu.soups:
            best: tuple[int, int, int, Cost, int, list[Demand]] | None = None
            for pot in pots or [EMPTY]:
                for bowl in bowls:
                    cost, delay, lacks = self._soup(state, soup, pot, bowl)
                    if best is None or (cost.steps + 7 * len(lacks)) < best[0]:
                        best = (cost.steps + 7 * len(lacks), pot, bowl, cost, delay, lacks)
            if best is None:
                found.append((Cost(NEVER, 0, NEVER), 0))
                continue
            _, pot, bowl, cost, delay, lacks = best
            dry = pot == EMPTY or state.meals[pot] == EMPTY
            if state.meals[bowl] == EMPTY:
                pots.remove(pot)
            bowls.remove(bowl)
            for demand in lacks:
                ahead = dry << SINK
                wanted.setdefault(demand.kind, []).append((demand.status, 3, ahead))
            found.append((cost, delay))
        return found

    def _soup(self, state: State, soup: Soup, pot: int, bowl: int) -> tuple[Cost, int, list[Demand]]:
        """Return the cost of a soup that is made in this pot and goes into this bowl, and what it lacks."""
        kinds = self._world.station_kinds
        bowl_at = self._where(state, bowl)
        stations = steps = 0
        if bowl_at == HELD:
            steps = 2
        elif kinds[bowl_at] != TABLE:
            steps = 4
        stations = (steps > 0) << TABLE
        water = state.meals[bowl]
        if water != EMPTY:
            boils, inside = state.waters[water]
            lacks = self._lacks(state, soup, inside)
            if lacks or (soup.boiling and not boils):
                return Cost(NEVER, 0, NEVER), 0, []
            return Cost(steps, stations, steps), 0, []
        if pot == EMPTY:
            return Cost(NEVER, 0, NEVER), 0, []
        at = self._where(state, pot)
        kind = HELD if at == HELD else kinds[at]
        water = state.meals[pot]
        boils, inside = state.waters[water] if water != EMPTY else (False, ())
        lacks = self._lacks(state, soup, inside)
        saved = len(lacks)  # walks to the pot that bring something for it
        fetch = 0 if kind == HELD else 1  # take it, where the robot is
        walk = kind != HELD  # whether the robot must come first
        time = wait = delay = 0
        if water == EMPTY:
            left = self._left(state, Kind.FILL, pot, at)
            if left:
                wait = left
            elif kind == SINK:
                steps, time, delay = steps + 2, time + 2, 3
            else:
                steps, time, delay = steps + walk + fetch + 3, time + walk + fetch + 3, 3
                stations |= 1 << SINK
            kind, fetch, walk = SINK, 1, True
            time += 3 if delay else wait
        if soup.boiling and not boils:
            left = self._left(state, Kind.BOIL, water << 4 | pot, at) if water != EMPTY else 0
            if left:
                time, delay = left, delay + 0
            else:
                came = walk and not saved
                saved -= walk and saved > 0
                if kind == STOVE:
                    steps, time = steps + came + 1, time + 1
                else:
                    steps, time = steps + came + fetch + 3, time + fetch + 3
                    stations |= 1 << STOVE
                time, delay = time + DELAY - 1, delay + DELAY - 1
            fetch, walk = 1, True
        came = walk and saved <= 0
        steps += came + fetch + 2
        return Cost(steps, stations, time + fetch + 2), delay, lacks

    def _where(self, state: State, container: int) -> int:
        """Return the station of a container, or `HELD`."""
        thing = FIRST_CONTAINER + container
        return HELD if state.held == thing else state.cells.index((thing,))

    def _left(self, state: State, kind: int, subject: int, place: int) -> int:
        """Return the ticks that an effect for what lies at `place` still takes, 0 if none runs."""
        for effect in state.effects:
            if effect[0] == kind and effect[1] == subject and effect[2] == place:
                return DELAY - effect[3]
        return 0

    def _lacks(self, state: State, soup: Soup, inside: tuple[int, ...]) -> list[Demand]:
        lacks = sorted(soup.inside, key=lambda demand: -demand.status.bit_count())
        for item in inside:
            one = (self._world.item_kinds[item], state.items[item])
            fits = next((i for i, demand in enumerate(lacks) if _meets(one, demand)), -1)
            if fits >= 0:
                del lacks[fits]
        return lacks

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
            first = kept.get(s, 0)
            junk = 0
            for depth in range(len(cell) - 1, first - 1, -1):
                item = cell[depth]
                if kinds[item] in candidates:
                    where = OTHER if depth else places[s]
                    if where in (TABLE, SINK):
                        where = OTHER
                    candidates[kinds[item]].append(
                        (self.makes[item], state.items[item], where, running.get(item, 0), junk)
                    )
                else:
                    junk += 1
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
            [(self._errand(*one[:4], status), one[4] * _CLEAR, after) for one in candidates]
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
        return -1 if len(cell) > kept.get(place, 0) and kinds[top] in wanted else 0

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
                steps += _CLEAR * min(costs)[0]
                opened = [min(costs)[1]]
            for kind in opened:
                shut &= ~(1 << kind)
        if fresh:
            tables = [s for s in self._of_kind[TABLE] if s not in kept]
            free = sum(not self._shut_by(state, s, wanted) & 1 << OTHER for s in tables)
            steps += _CLEAR * max(0, fresh - free)
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


def _meets(item: tuple[str, int], demand: Demand) -> bool:
    return item[0] == demand.kind and not demand.status & ~item[1]


def _missing(stack: Stack, left: tuple[Demand, ...]) -> list[_Wanted]:
    """Return what is missing, bottom first."""
    found = []
    ahead = 0
    last = len(left) - 1
    for i, (kind, status) in enumerate(left):
        after = 4 * (last - i) if stack.ordered else 4 * (stack.top is not None and i < last)
        loose = not stack.ordered and (i < last or stack.top is None)
        found.append(_Wanted(kind, status, after, 0 if loose else ahead))
        ahead |= sum(1 << station for bit, station in USED.items() if status & bit)
    return found
