"""What it takes to bring one item to its dish: steps, stations, and time that passes anyway."""

from __future__ import annotations

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

__all__ = ["HELD", "NEVER", "USED", "Cost", "Make", "errand"]

HELD: Final = -1  # in the robot's hands, where a kind of station may stand
NEVER: Final = 10_000  # more steps than any plan has

USED: Final = {CUT: BOARD, COOKED: STOVE, FRIED: FRYER}  # where a status is come by


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
            steps += fetch - 1 + 1
            waits += DELAY - 2
            fetch = 2
    steps += fetch + 2
    return Cost(steps, stations, steps + waits)
