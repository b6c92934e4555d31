"""What it takes to bring one item to its dish: steps, stations, and time that passes anyway."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Final, NamedTuple

from agentflow_bench.robotouille.chef.model import (
    BOARD,
    COOKED,
    CUT,
    CUTS,
    DELAY,
    FRIED,
    FRYABLE,
    FRYER,
    STOVE,
)

__all__ = ["CLEAR", "HELD", "NEVER", "USED", "Candidate", "Choice", "Cost", "Errands", "Make", "errand"]

HELD: Final = -1  # in the robot's hands, where a kind of station may stand
NEVER: Final = 10_000  # more steps than any plan has
CLEAR: Final = 4  # steps to take something away: walk, take, walk, put
USED: Final = {CUT: BOARD, COOKED: STOVE, FRIED: FRYER}  # where a status is come by

Candidate = tuple[int, int, int, int, int]
"""An item that may be used: make, flags, where it is, ticks left of its effect, how much lies on it."""


class Make(NamedTuple):
    """What an item is and always will be."""

    kind: str
    cuttable: bool
    cookable: bool
    fryable_if_cut: bool


class Cost(NamedTuple):
    """`steps` of the robot, kinds of stations that must be free (as bits), and the shortest `time`."""

    steps: int
    stations: int
    time: int


class Choice(NamedTuple):
    """The errands of some items of a kind together, and the waits among them."""

    steps: int
    stations: int
    time: int
    waits: int


_NEVER = Choice(NEVER, 0, NEVER, 0)


class Errands:
    """Chooses the items that meet demands for least. Keeps what it found."""

    def __init__(self, makes: Sequence[Make]) -> None:
        self._makes = makes
        self._costs: dict[tuple[int, int, int, int, int], Cost] = {}
        self._choices: dict[tuple[tuple[tuple[int, int, int], ...], tuple[Candidate, ...]], Choice] = {}

    def __call__(self, demands: list[tuple[int, int, int]], candidates: list[Candidate]) -> Choice:
        """Return the least cost for demands of one kind: status, steps after it, and what is ahead of it."""
        if len(demands) > 1:
            demands.sort()
        if len(candidates) > 1:
            candidates.sort()
        key = (tuple(demands), tuple(candidates))
        choice = self._choices.get(key)
        if choice is None:
            choice = self._choices[key] = self._choose(*key)
        return choice

    def _choose(self, demands: Sequence[tuple[int, int, int]], candidates: Sequence[Candidate]) -> Choice:
        count = len(demands)
        if len(candidates) < count:
            return _NEVER
        rows = [[self._cost(one, status) for one in candidates] for status, _, _ in demands]
        cheap: set[int] = set()  # the best for one of the demands; the others are never chosen
        for row in rows:
            cheap |= set(sorted(range(len(row)), key=lambda i: (row[i].steps, row[i].time, i))[:count])
        best = _NEVER
        for picked in permutations(sorted(cheap), count):
            costs = [row[column] for row, column in zip(rows, picked, strict=True)]
            steps = sum(cost.steps for cost in costs)
            if steps > best.steps:
                continue
            time = max(cost.time + after for cost, (_, after, _) in zip(costs, demands, strict=True))
            if (steps, time) < (best.steps, best.time):
                stations = 0
                for cost in costs:
                    stations |= cost.stations
                best = Choice(steps, stations, time, sum(cost.time - cost.steps for cost in costs))
        return best

    def _cost(self, candidate: Candidate, status: int) -> Cost:
        """Return the cost of an item, with what it takes to get at it."""
        make, flags, where, left, above = candidate
        key = (make, flags, where, left, status)
        cost = self._costs.get(key)
        if cost is None:
            cost = self._costs[key] = errand(self._makes[make], flags, where, left, status)
        return Cost(cost.steps + above * CLEAR, cost.stations, cost.time + above * CLEAR) if above else cost


def errand(make: Make, flags: int, where: int, left: int, status: int) -> Cost:
    """Return the cost of an item that lies at a station of kind `where`, until it is in its dish.

    `left` is the number of ticks an effect that runs for it still takes, 0 without. Each carry is four steps:
    walk to it, take it, walk, put it down. Who cuts stays beside the food; who cooks walks away.
    """
    need = status & ~flags
    if need & FRIED and not flags & FRYABLE:
        if not make.fryable_if_cut:
            return Cost(NEVER, 0, NEVER)
        need |= CUT & ~flags
    if (need & CUT and not make.cuttable) or (need & COOKED and not make.cookable):
        return Cost(NEVER, 0, NEVER)
    steps, stations, waits = 0, 0, 0
    fetch = 0 if where == HELD else 2  # walk and take; 1 when the robot stands there
    for bit, station in USED.items():
        if not need & bit:
            continue
        if where != station:
            steps += fetch + 2
            stations |= 1 << station
            where, fetch = station, 1
        elif left and bit != CUT:
            waits, left = left - 1, 0
            continue
        if bit == CUT:
            steps += fetch - 1 + CUTS
            fetch = 1
        else:
            steps += fetch
            waits += DELAY - 2
            fetch = 2
    steps += fetch + 2
    return Cost(steps, stations, steps + waits)
