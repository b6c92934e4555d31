"""Pairing: who plays whom next, one pair at a time, whatever else is under way.

`top_k` wants to know the best k and spends matches on them; `full_order` wants to know all places.
Measured against what others do: `agentflow bench tournament`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from agentflow.errors import UserError

if TYPE_CHECKING:
    import numpy

    from agentflow.tournament.posterior import Posterior

__all__ = ["Objective", "Pairs", "ladder", "swiss"]

Item = TypeVar("Item", bound=Hashable)
Objective: TypeAlias = Literal["top_k", "full_order"]

_LOOKS = (3, 9)  # draws looked at in one go for two that disagree: mostly the few do
_TRIES = 4
_FIRST, _LAST = 0.5, 0.25  # shares of the first rung and the last
_LEAN = 0.1  # the least share of an order in which two are shown
_APART = 0.2  # the share of one that is nothing like, where those that are alike play the more likely


class Pairs:
    """The pairs under way, so that no pair is played more often at once than it may be."""

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._under_way: Counter[frozenset[Hashable]] = Counter()

    def begin(self, first: Hashable, second: Hashable) -> None:
        """Say that two are being compared."""
        self._under_way[frozenset((first, second))] += 1

    def end(self, first: Hashable, second: Hashable) -> None:
        """Say that they are not any more."""
        pair = frozenset((first, second))
        self._under_way[pair] -= 1
        if self._under_way[pair] <= 0:
            del self._under_way[pair]

    def free(self, first: Hashable, second: Hashable) -> bool:
        """Return whether the two may be compared now."""
        return self._under_way[frozenset((first, second))] < self._most


def ladder(
    posterior: Posterior[Item],
    k: int,
    rng: numpy.random.Generator,
    pairs: Pairs,
    near: Callable[[Item, Item], float] | None = None,
) -> tuple[Item, Item] | None:
    """Return a pair that tells most of who is among the best: the Thompson ladder.

    A rung is drawn from 1 to `k`, the first and the last more often than those between, as they alone say
    who is best and who is in; then qualities, until two draws disagree on who stands above that rung. Of
    the pairs with one from each side of the disagreement, that plays whose verdict is expected to tell
    most. With `near`, which says from 0 to 1 how alike two are, those that are alike come before. Returns
    None when no pair is free.
    """
    count = posterior.playing
    if count < 2:
        return None
    if k < 1:
        raise UserError(f"the best k are looked for: k is 1 or more, not {k}")
    for _ in range(_TRIES):
        rung = _rung(min(k, count - 1), rng)
        for draws in _LOOKS:
            sides = _sides(posterior, rung, draws, rng)
            if sides is None:
                continue
            pair = _telling(posterior, *sides, pairs, near)
            if pair is not None:
                return _shown(posterior, pair, rng)
    return swiss(posterior, rng, pairs)


def _rung(k: int, rng: numpy.random.Generator) -> int:
    """Draw a rung from 1 to `k`: the first has a half, the last a quarter, all between share the rest."""
    at = float(rng.random())
    if k <= 2:
        return 1 if k == 1 or at < _FIRST / (_FIRST + _LAST) else 2
    if at < _FIRST:
        return 1
    if at < _FIRST + _LAST:
        return k
    return 2 + int((at - _FIRST - _LAST) / (1 - _FIRST - _LAST) * (k - 2))


def _sides(
    posterior: Posterior[Item], rung: int, count: int, rng: numpy.random.Generator
) -> tuple[list[int], list[int]] | None:
    """Return the places that one draw has above a rung and another below it, and the reverse.

    None when `count` draws agree.
    """
    import numpy as np

    draws = posterior.samples(count, rng)
    tops = np.argpartition(-draws, rung - 1, axis=1)[:, :rung].tolist()
    first = set(tops[0])
    for other in tops[1:]:
        if (second := set(other)) != first:
            return sorted(first - second), sorted(second - first)
    return None


def _telling(
    posterior: Posterior[Item],
    above: list[int],
    below: list[int],
    pairs: Pairs,
    near: Callable[[Item, Item], float] | None,
) -> tuple[Item, Item] | None:
    """Return the free pair whose verdict is expected to tell most, one of each side."""
    found: tuple[Item, Item] | None = None
    most = -1.0
    for a, row in zip(above, posterior.telling(above, below).tolist(), strict=True):
        for b, worth in zip(below, row, strict=True):
            pair = posterior.items[a], posterior.items[b]
            if near is not None:
                worth *= _APART + max(0.0, near(*pair))
            if worth > most and pairs.free(*pair):
                found, most = pair, worth
    return found


def swiss(posterior: Posterior[Item], rng: numpy.random.Generator, pairs: Pairs) -> tuple[Item, Item] | None:
    """Return the item with the fewest matches, and the nearest to it by quality.

    Returns None when no pair is free.
    """
    ranked = posterior.ranking()
    if len(ranked) < 2:
        return None
    noise = rng.random(len(ranked))
    order = sorted(range(len(ranked)), key=lambda place: (posterior.matches_of(ranked[place]), noise[place]))
    for place in order:
        near = sorted(
            (other for other in range(len(ranked)) if other != place),
            key=lambda other: (abs(other - place), noise[other]),
        )
        for other in near[:8]:
            if pairs.free(ranked[place], ranked[other]):
                return _shown(posterior, (ranked[place], ranked[other]), rng)
    return None


def _shown(
    posterior: Posterior[Item], pair: tuple[Item, Item], rng: numpy.random.Generator
) -> tuple[Item, Item]:
    """Return a pair in a random order, which leans to the one whose verdict is the more open.

    Where the judge likes what is shown first, a match tells more when that is the weaker of the two. An
    unbiased judge is shown both orders alike.
    """
    one, other = (
        1 / math.cosh(min(20.0, abs(posterior.lead(*each)) / 2)) ** 4 for each in (pair, pair[::-1])
    )
    share = min(1 - _LEAN, max(_LEAN, one / (one + other)))
    return pair if rng.random() < share else (pair[1], pair[0])
