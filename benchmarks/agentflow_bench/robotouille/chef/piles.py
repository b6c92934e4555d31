"""How far a pile of items on a table is the stack that a goal asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from agentflow_bench.robotouille.chef.dishes import Demand, Stack
from agentflow_bench.robotouille.chef.errand import USED

__all__ = ["CLEAR", "Begun", "Item", "Wanted", "begun", "meets", "missing", "unmet"]

CLEAR: Final = 4  # steps to take something away: walk, take, walk, put


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
    """A stack so far: how many items of it are done, how many of the pile stay, what is missing.

    `loose` are steps to take off what is wrong and used nowhere.
    """

    done: int
    kept: int
    missing: tuple[Wanted, ...]
    loose: int


def begun(stack: Stack, pile: Sequence[Item], kinds: frozenset[str]) -> Begun:
    """Return how far `pile`, bottom first, is `stack`. `kinds` are those that the goal uses.

    Between items that need no order others may lie, as long as they are of no use anywhere.
    """
    if not stack.ordered and _complete(stack, pile):
        return Begun(len(stack.demands), len(pile), (), 0)
    kept, left = (_in_order if stack.ordered else _in_any_order)(stack, pile, kinds)
    done = len(stack.demands) - len(left)
    if not done:
        return Begun(0, 0, (), 0)
    open_top = stack.top is None and not left
    wanted = {demand.kind for demand in left}
    junk = 0 if open_top else sum(one.kind not in wanted for one in pile[kept:])
    return Begun(done, kept, missing(stack, left), junk * CLEAR)


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


def _complete(stack: Stack, pile: Sequence[Item]) -> bool:
    """Return whether a stack without an order is there, whatever else lies in it."""
    inner = list(pile)
    if stack.base is not None and not meets(inner.pop(0), stack.base):
        return False
    if stack.top is not None and (not inner or not meets(inner.pop(), stack.top)):
        return False
    return not unmet(stack.middle, inner)


def _in_order(stack: Stack, pile: Sequence[Item], kinds: frozenset[str]) -> tuple[int, list[Demand]]:
    """Return how many items of the pile are right, and the demands above."""
    demands = list(stack.demands)
    kept = 0
    while kept < min(len(pile), len(demands)) and meets(pile[kept], demands[kept]):
        kept += 1
    return kept, demands[kept:]


def _in_any_order(stack: Stack, pile: Sequence[Item], kinds: frozenset[str]) -> tuple[int, list[Demand]]:
    """Return how many items of the pile may stay, and the demands that they leave."""
    left = list(stack.middle)
    top = [] if stack.top is None else [stack.top]
    kept = 0
    if stack.base is not None:
        if not meets(pile[0], stack.base):
            return 0, list(stack.demands)
        kept = 1
    for one in pile[kept:]:
        fits = next((demand for demand in left if meets(one, demand)), None)
        if fits is not None:
            left.remove(fits)
        elif not left and top and meets(one, top[0]):
            return kept + 1, []
        elif one.kind in kinds:
            break
        kept += 1
    return kept, left + top
