"""Pairing: who plays whom next, one pair at a time, whatever else is under way.

`top_k` wants to know the best k and spends matches on them; `full_order` wants to know all places.
Measured against what others do: `agentflow bench tournament`.
"""

from __future__ import annotations

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

_DRAWS = 12  # looked at in one go for two that disagree
_TRIES = 4
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

    A rung is drawn from 1 to `k`; then qualities, until two draws disagree on who stands above that
    rung; one item from each side of the disagreement plays. With `near`, which says from 0 to 1 how alike
    two are, the more alike play the more likely, of those that disagree. Returns None when no pair is free.
    """
    import numpy as np

    count = posterior.playing
    if count < 2:
        return None
    if k < 1:
        raise UserError(f"the best k are looked for: k is 1 or more, not {k}")
    for _ in range(_TRIES):
        rung = int(rng.integers(1, min(k, count - 1) + 1))
        draws = posterior.samples(_DRAWS, rng)
        tops = np.argpartition(-draws, rung - 1, axis=1)[:, :rung]
        first = set(tops[0].tolist())
        for other in tops[1:]:
            second = set(other.tolist())
            if second == first:
                continue
            a = _any(sorted(first - second), rng)
            b = _other(posterior, a, sorted(second - first), rng, near)
            pair = posterior.items[a], posterior.items[b]
            if pairs.free(*pair):
                return _shown(pair, rng)
    return swiss(posterior, rng, pairs)


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
                return _shown((ranked[place], ranked[other]), rng)
    return None


def _any(places: list[int], rng: numpy.random.Generator) -> int:
    return places[int(rng.integers(len(places)))]


def _other(
    posterior: Posterior[Item],
    place: int,
    others: list[int],
    rng: numpy.random.Generator,
    near: Callable[[Item, Item], float] | None,
) -> int:
    if near is None or len(others) == 1:
        return _any(others, rng)
    item = posterior.items[place]
    shares = [_APART + max(0.0, near(item, posterior.items[other])) for other in others]
    at = float(rng.random()) * sum(shares)
    for other, share in zip(others, shares, strict=True):
        at -= share
        if at < 0:
            return other
    return others[-1]


def _shown(pair: tuple[Item, Item], rng: numpy.random.Generator) -> tuple[Item, Item]:
    """Return a pair in a random order, so that no item is shown first more often."""
    return pair if rng.random() < 0.5 else (pair[1], pair[0])
