"""Posterior: what matches say of the items' qualities, and how sure that is.

A Gaussian over the qualities of all items, the judge's bias towards what is shown first, and nothing
else. A match changes it by one rank-1 step whose mean and variance are those of the true posterior along
the difference of the two (moment matching of a probit judge; T. Minka, Expectation propagation for
approximate Bayesian inference, 2001). Kept is a square root of the covariance (J. Potter's form), so that
it stays one whatever is rounded, and a draw needs no decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from agentflow.errors import UserError

if TYPE_CHECKING:
    from types import ModuleType

    import numpy
    from numpy.typing import NDArray

__all__ = ["Posterior", "Quality", "Sharpness"]

Item = TypeVar("Item", bound=Hashable)

PRIOR = 4.0  # variance of a quality
_BIAS = 1.0  # variance of the order bias
_SCALE = 1.702  # a logistic judge's steepness by a probit one's
_INDEX = 64  # items for which there is room at first


@dataclass(frozen=True, slots=True)
class Quality:
    """What is known of an item: the mean of its quality, its deviation, and the matches it has played."""

    mean: float
    deviation: float
    matches: int

    def interval(self, level: float = 0.8) -> tuple[float, float]:
        """Return the credible interval of a level."""
        from statistics import NormalDist

        half = NormalDist().inv_cdf(0.5 + level / 2) * self.deviation
        return self.mean - half, self.mean + half


class Sharpness:
    """How sharp a kind of judging is: the steepness `s` of its verdicts over differences of quality.

    Learned from verdicts on a grid; what it means is only how kinds of judging compare, since the
    scale of qualities is free.
    """

    __slots__ = ("_weights", "matches")

    _STEPS = tuple(0.25 * 1.25**n for n in range(18))  # 0.25 to 11

    def __init__(self, usual: float = 1.0, spread: float = 0.7) -> None:
        logs = [-0.5 * (math.log(s / usual) / spread) ** 2 for s in self._STEPS]
        self._weights = [math.exp(value) for value in logs]
        self.matches = 0

    @property
    def mean(self) -> float:
        """The steepness, as far as it is known."""
        total = sum(self._weights)
        return math.exp(sum(w * math.log(s) for w, s in zip(self._weights, self._STEPS, strict=True)) / total)

    def pays(self, other: Sharpness, cost: float) -> float:
        """Return how likely it is that this kind of judging tells more than another for the same tokens.

        `cost` is what it costs by what the other costs. A verdict tells as much as the square of its
        sharpness (Fisher's information), so it pays where the square of the ratio is above the cost.
        """
        if not cost > 0:
            raise UserError(f"what a kind of judging costs by another is above 0, not {cost:g}")
        least = math.sqrt(cost)
        likely = sum(
            a * b
            for a, s in zip(self._weights, self._STEPS, strict=True)
            for b, t in zip(other._weights, self._STEPS, strict=True)
            if s / t > least
        )
        return likely / (sum(self._weights) * sum(other._weights))

    def learn(self, mean: float, variance: float) -> None:
        """Take in a verdict for the side whose advantage had this mean and variance."""
        self._weights = [
            weight * _normal(mean / math.sqrt(variance + (_SCALE / s) ** 2))
            for weight, s in zip(self._weights, self._STEPS, strict=True)
        ]
        top = max(self._weights)
        self._weights = [weight / top for weight in self._weights]
        self.matches += 1


class Posterior(Generic[Item]):
    """Qualities of items, by matches. Qualities are in units in which an unknown item's deviation is 2."""

    def __init__(self, items: Iterable[Item] = (), *, prior: float = PRIOR, bias: float = _BIAS) -> None:
        import numpy as np

        self._np = np
        self._prior = prior
        self._mean: NDArray[numpy.float64] = np.zeros(_INDEX + 1)
        self._root: NDArray[numpy.float64] = np.zeros((_INDEX + 1, _INDEX + 1))  # root @ root.T: covariance
        self._root[0, 0] = math.sqrt(bias)  # place 0 is the order bias
        self._places: dict[Item, int] = {}
        self._items: list[Item] = []
        self._matches: list[int] = []
        self._out: list[int] = []  # places of items that are withdrawn
        self.played = 0
        for item in items:
            self.add(item)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def items(self) -> Sequence[Item]:
        """The items, in the order in which they came."""
        return self._items

    def add(self, item: Item, mean: float = 0.0) -> None:
        """Take in an item of which nothing is known but what it is expected to be.

        Raises `UserError` for one that is there.
        """
        if item in self._places:
            raise UserError(f"the item {str(item)[:60]!r} is in the tournament already")
        place = len(self._items) + 1
        if place >= len(self._mean):
            np, size = self._np, 2 * len(self._mean)
            means, root = np.zeros(size), np.zeros((size, size))
            means[: len(self._mean)] = self._mean
            root[: len(self._mean), : len(self._mean)] = self._root
            self._mean, self._root = means, root
        self._places[item] = place
        self._items.append(item)
        self._matches.append(0)
        self._mean[place] = mean
        self._root[place, place] = math.sqrt(self._prior)

    def expected(self, made: Sequence[Item]) -> float:
        """Return what the next item by the maker of these is expected to be, the mean for `add`.

        It is the mean of its last eight that have played and, as much as two of them, the mean of all.
        """
        usual = [quality.mean for quality in self.qualities()]
        center = sum(usual) / len(usual) if usual else 0.0
        places = [self._places[item] for item in made if self._matches[self._places[item] - 1]][-8:]
        return (2 * center + sum(float(self._mean[place]) for place in places)) / (2 + len(places))

    @property
    def playing(self) -> int:
        """How many items are in it and not withdrawn."""
        return len(self._items) - len(self._out)

    def withdraw(self, item: Item) -> None:
        """Take an item out of ranking and draws. What its matches told of others stays."""
        place = self._places[item] - 1
        if place not in self._out:
            self._out.append(place)

    def loosen(self, variance: float) -> None:
        """Make all qualities less sure: what is judged has changed."""
        size = len(self._items) + 1
        cov = self.covariance()
        cov[range(1, size), range(1, size)] += variance
        self._root[:size, :size] = self._np.linalg.cholesky(cov)

    def take_tie(self, first: Item, second: Item, *, sharpness: float = 1.0) -> None:
        """Take in that two are equal: half a win each way, by its curvature at a draw."""
        a, b = self._places[first], self._places[second]
        mean, along = self._along(a, b)
        total = float(along @ along) + math.pi / 2 * (_SCALE / sharpness) ** 2
        self._move(along, -mean / total, 1 / total)
        self._count(a, b)

    def _count(self, a: int, b: int) -> None:
        self._matches[a - 1] += 1
        self._matches[b - 1] += 1
        self.played += 1

    def take(self, first: Item, second: Item, *, first_won: bool, sharpness: float = 1.0) -> None:
        """Take in a verdict: `first` was shown first."""
        a, b = self._places[first], self._places[second]
        self._update(a, b, 1.0 if first_won else -1.0, sharpness)
        self._count(a, b)

    def advantage(self, first: Item, second: Item) -> tuple[float, float]:
        """Return mean and variance of what `first` has over `second` when it is shown first."""
        mean, along = self._along(self._places[first], self._places[second])
        return mean, float(along @ along)

    def _along(self, a: int, b: int) -> tuple[float, NDArray[numpy.float64]]:
        """Return the mean of an advantage, and its row of the root."""
        size = len(self._items) + 1
        along: NDArray[numpy.float64] = self._root[a, :size] - self._root[b, :size] + self._root[0, :size]
        return float(self._mean[a] - self._mean[b] + self._mean[0]), along

    def _update(self, a: int, b: int, sign: float, sharpness: float) -> None:
        mean, along = self._along(a, b)
        total = float(along @ along) + (_SCALE / sharpness) ** 2
        root = math.sqrt(total)
        z = sign * mean / root
        ratio = _ratio(z)
        self._move(along, sign * ratio / root, ratio * (ratio + z) / total)

    def _move(self, along: NDArray[numpy.float64], step: float, less: float) -> None:
        """Move the means by `step`, and lessen the covariance by `less`, along what a match told of."""
        np, size = self._np, len(along)
        root = self._root[:size, :size]
        column = np.einsum("ij,j->i", root, along)  # einsum: at this size threads cost more than they bring
        variance = float(along @ along)
        self._mean[:size] += column * step
        root -= np.multiply.outer(column, along * ((1 - math.sqrt(1 - less * variance)) / variance))

    def lead(self, first: Item, second: Item) -> float:
        """Return the mean of what `first` has over `second` when it is shown first."""
        gap = self._mean[self._places[first]] - self._mean[self._places[second]]
        return float(gap + self._mean[0])

    def telling(self, above: Sequence[int], below: Sequence[int]) -> NDArray[numpy.float64]:
        """Return how much a match of each two is expected to tell, a row for each of `above`.

        Both are places in `items`. It is the share by which the variance of their difference is expected
        to shrink, up to a factor, with the judge's bias left out: the order in which they are shown is
        not known yet.
        """
        np, size = self._np, len(self._items) + 1
        one, other = np.asarray(above) + 1, np.asarray(below) + 1
        apart = self._root[one, None, :size] - self._root[None, other, :size]
        variance = (apart * apart).sum(axis=2)
        total = variance + _SCALE**2
        gap = self._mean[one, None] - self._mean[None, other]
        worth: NDArray[numpy.float64] = variance / total * np.exp(-gap * gap / (2 * total))
        return worth

    # What is known.

    def quality(self, item: Item) -> Quality:
        """Return what is known of an item."""
        place = self._places[item]
        return Quality(float(self._mean[place]), self._deviation(place), self._matches[place - 1])

    def qualities(self) -> list[Quality]:
        """Return what is known of each item that plays, in the order in which they came."""
        size = len(self._items) + 1
        root = self._root[1:size, :size]
        deviations = self._np.sqrt(self._np.einsum("ij,ij->i", root, root)).tolist()
        known = zip(self._mean[1:size].tolist(), deviations, self._matches, strict=True)
        out = set(self._out)
        return [Quality(*each) for place, each in enumerate(known) if place not in out]

    @property
    def playing_items(self) -> list[Item]:
        """The items that are not withdrawn, in the order in which they came."""
        out = set(self._out)
        return [item for place, item in enumerate(self._items) if place not in out]

    def _deviation(self, place: int) -> float:
        return math.sqrt(float(self._root[place] @ self._root[place]))

    @property
    def bias(self) -> Quality:
        """The judge's bias towards what is shown first, as an advantage in quality."""
        return Quality(float(self._mean[0]), self._deviation(0), self.played)

    def covariance(self) -> NDArray[numpy.float64]:
        """Return the covariance of the order bias (place 0) and all qualities, as in `items`."""
        size = len(self._items) + 1
        root = self._root[:size, :size]
        cov: NDArray[numpy.float64] = root @ root.T
        return cov

    def ranking(self) -> list[Item]:
        """Return the items that play, the best first, by the means of their qualities."""
        return [self._items[place] for place in self._order()[: self.playing]]

    def _order(self) -> NDArray[numpy.intp]:
        means = self._mean[1 : len(self._items) + 1].copy()
        means[self._out] = -math.inf
        order: NDArray[numpy.intp] = self._np.argsort(-means, kind="stable")
        return order

    def samples(self, count: int, rng: numpy.random.Generator) -> NDArray[numpy.float64]:
        """Return draws of all qualities, a row each, with columns as in `items`; withdrawn ones are -inf."""
        size = len(self._items) + 1
        plain = rng.standard_normal((count, size))
        drawn: NDArray[numpy.float64] = plain @ self._root[1:size, :size].T
        drawn += self._mean[1:size]
        drawn[:, self._out] = -math.inf
        return drawn

    def overlap(self, k: int, rng: numpy.random.Generator, count: int = 200) -> float:
        """Return which share of the best `k` is expected to be truly among them."""
        np = self._np
        k = min(k, self.playing)
        if k == 0:
            return 1.0
        best = self._order()[:k]
        draws = self.samples(count, rng)
        tops = np.argpartition(-draws, k - 1, axis=1)[:, :k]
        return float(np.isin(tops, best).mean())

    def concordance(self) -> float:
        """Return the Kendall's tau that the ranking is expected to have with the truth: 1 is all pairs right.

        It is exact for the posterior, and needs no draws.
        """
        np, count = self._np, self.playing
        if count < 2:
            return 1.0
        best = self._order()[:count] + 1
        cov = self.covariance()[np.ix_(best, best)]
        upper = np.triu_indices(count, 1)
        alone = np.diagonal(cov)
        variance = (alone[:, None] + alone - 2 * cov)[upper]
        gaps = (self._mean[best][:, None] - self._mean[best])[upper]
        right = _normals(np, gaps / np.sqrt(np.maximum(variance, 1e-12)))
        return float(2 * right.mean() - 1)

    def matches_of(self, item: Item) -> int:
        """Return how many matches an item has played."""
        return self._matches[self._places[item] - 1]


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _normals(np: ModuleType, z: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """Return the normal distribution at each z of 0 or more, to 1e-7.

    M. Abramowitz and I. Stegun, Handbook of mathematical functions, 26.2.17.
    """
    t = 1 / (1 + 0.2316419 * z)
    tail = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    found: NDArray[numpy.float64] = 1 - np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) * tail
    return found


def _ratio(z: float) -> float:
    """Return the normal density at z by its distribution, also far below."""
    if z < -25.0:
        return -z + 1.0 / -z
    return math.exp(-0.5 * z * z) / (math.sqrt(2 * math.pi) * _normal(z))
