"""How far a pile of items on a table is the stack that a goal asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agentflow_bench.robotouille.chef.dishes import Demand, Stack
from agentflow_bench.robotouille.chef.errand import CLEAR, USED

__all__ = ["Begun", "Item", "Wanted", "begun", "meets", "missing", "unmet"]


class Item(NamedTuple):
    """What a dish sees of an item: its kind, and its bits."""

    kind: str
    flags: int


class Wanted(NamedTuple):
    """An item that is missing: what must be true of it, the steps that must follow, and what must be before.

    `ahead` are the kinds of stations, as bits, that are used before it can go to its dish.
    """

    kind: str
    status: int
    after: int
    ahead: int


class Begun(NamedTuple):
    """A stack so far: how many items of it are done, which of the pile they are (bits), what is missing.

    `loose` are steps to take off what is wrong and used nowhere.
    """

    done: int
    kept: int
    missing: tuple[Wanted, ...]
    loose: int


def begun(stack: Stack, pile: Sequence[Item]) -> Begun:
    """Return how far `pile`, bottom first, is `stack`. Between items that need no order anything may lie."""
    kept, left = (_in_order if stack.ordered else _in_any_order)(stack, pile)
    done = len(stack.demands) - len(left)
    if not done:
        return Begun(0, 0, (), 0)
    loose = 0
    if (stack.ordered and left) or (stack.top is not None and not left):
        wanted = {demand.kind for demand in left}
        loose = sum(one.kind not in wanted for one in pile[kept.bit_length() :])
    return Begun(done, kept, missing(stack, left), loose * CLEAR)


def missing(stack: Stack, left: Sequence[Demand]) -> tuple[Wanted, ...]:
    """Return what is missing of a stack, bottom first, when `left` is."""
    found = []
    ahead = 0
    last = len(left) - 1
    for i, (kind, status) in enumerate(left):
        after = 4 * (last - i) if stack.ordered else 4 * (stack.top is not None and i < last)
        free = not stack.ordered and (i < last or stack.top is None)
        found.append(Wanted(kind, status, after, 0 if free else ahead))
        ahead |= sum(1 << station for bit, station in USED.items() if status & bit)
    return tuple(found)


def meets(item: Item, demand: Demand) -> bool:
    """Return whether an item is what is demanded; more may be true of it."""
    return item.kind == demand.kind and not demand.status & ~item.flags


def unmet(demands: Sequence[Demand], items: Sequence[Item]) -> list[Demand]:
    """Return the demands that no item is there for; those that ask for most choose first."""
    left = sorted(demands, key=lambda demand: -demand.status.bit_count())
    for item in sorted(items, key=lambda one: one.flags):
        fits = next((demand for demand in left if meets(item, demand)), None)
        if fits is not None:
            left.remove(fits)
    return left


def _in_order(stack: Stack, pile: Sequence[Item]) -> tuple[int, list[Demand]]:
    """Return which items of the pile are right, as bits, and the demands above."""
    demands = list(stack.demands)
    right = 0
    while right < min(len(pile), len(demands)) and meets(pile[right], demands[right]):
        right += 1
    return (1 << right) - 1, demands[right:]


def _in_any_order(stack: Stack, pile: Sequence[Item]) -> tuple[int, list[Demand]]:
    """Return which items of the pile are of use, as bits, and the demands that they leave."""
    left = sorted(stack.middle, key=lambda demand: -demand.status.bit_count())
    top = [] if stack.top is None else [stack.top]
    kept = 0
    if stack.base is not None:
        if not meets(pile[0], stack.base):
            return 0, list(stack.demands)
        kept = 1
    for depth in range(kept, len(pile)):
        one = pile[depth]
        fits = next((demand for demand in left if meets(one, demand)), None)
        if fits is not None:
            left.remove(fits)
            kept |= 1 << depth
        elif not left and top and meets(one, top[0]) and not _again(pile[depth + 1 :], top[0]):
            return kept | 1 << depth, []
    return kept, left + top


def _again(above: Sequence[Item], top: Demand) -> bool:
    """Return whether the top of a pile is a better top."""
    return bool(above) and meets(above[-1], top)
