"""What others pair and rate by: Elo, Glicko and TrueSkill, and the rule of the AI co-scientist.

Elo with K 32 from 1200; Glicko with each match a rating period (M. Glickman, 1999); TrueSkill for two who
can't draw (R. Herbrich, T. Minka, T. Graepel, 2007). Plain, one match at a time; the tests hold them
against published figures and the libraries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentflow.tournament import Pairs, Posterior, ladder, swiss
from agentflow_bench.measure import Figure, Measure, Setting
from agentflow_bench.tournament.worlds import Elo, Score, World, score

__all__ = ["RIVALS", "Glicko", "Rater", "TrueSkill", "glicko"]

Floats: TypeAlias = NDArray[np.float64]

_Q = math.log(10) / 400
_MARKS = (2, 4, 8, 15, 30)  # matches for each item
_RUNS = 24


class Rater(Protocol):
    """Rates items by matches."""

    def take(self, first: int, second: int, first_won: bool) -> None:
        """Take in a verdict."""

    def means(self) -> Floats:
        """Return the ratings."""

    def doubts(self) -> Floats:
        """Return how unsure each rating is."""


class _Elo(Elo):
    def means(self) -> Floats:
        """Return the ratings."""
        return np.array(self.ratings)

    def doubts(self) -> Floats:
        """Return zeros: Elo knows of no doubt."""
        return np.zeros(len(self.ratings))


def glicko(
    rating: float, deviation: float, games: Sequence[tuple[float, float, float]]
) -> tuple[float, float]:
    """Return rating and deviation after a period of games: opponents' rating, deviation, and the score."""
    information = gained = 0.0
    for other, doubt, won in games:
        g = 1 / math.sqrt(1 + 3 * (_Q * doubt / math.pi) ** 2)
        expected = 1 / (1 + 10 ** (-g * (rating - other) / 400))
        information += (_Q * g) ** 2 * expected * (1 - expected)
        gained += g * (won - expected)
    variance = 1 / (1 / deviation**2 + information)
    return rating + _Q * variance * gained, math.sqrt(variance)


class Glicko:
    """Glicko from 1500 with a deviation of 350; it has no time to forget in."""

    def __init__(self, count: int) -> None:
        self._means = np.full(count, 1500.0)
        self._doubts = np.full(count, 350.0)

    def take(self, first: int, second: int, first_won: bool) -> None:
        """Take in a verdict."""
        a = float(self._means[first]), float(self._doubts[first])
        b = float(self._means[second]), float(self._doubts[second])
        won = float(first_won)
        self._means[first], self._doubts[first] = glicko(*a, [(*b, won)])
        self._means[second], self._doubts[second] = glicko(*b, [(*a, 1 - won)])

    def means(self) -> Floats:
        """Return the ratings."""
        return self._means

    def doubts(self) -> Floats:
        """Return the deviations."""
        return self._doubts


class TrueSkill:
    """TrueSkill for two, without draws and without drift: 25, 25/3, and a beta of 25/6."""

    BETA = 25 / 6

    def __init__(self, count: int) -> None:
        self._means = np.full(count, 25.0)
        self._variances = np.full(count, (25 / 3) ** 2)

    def take(self, first: int, second: int, first_won: bool) -> None:
        """Take in a verdict."""
        winner, loser = (first, second) if first_won else (second, first)
        total = float(2 * self.BETA**2 + self._variances[winner] + self._variances[loser])
        z = float(self._means[winner] - self._means[loser]) / math.sqrt(total)
        ratio = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) / (0.5 * math.erfc(-z / math.sqrt(2)))
        for item, sign in ((winner, 1.0), (loser, -1.0)):
            variance = self._variances[item]
            self._means[item] += sign * variance / math.sqrt(total) * ratio
            self._variances[item] = variance * (1 - variance / total * ratio * (ratio + z))

    def quality(self, item: int) -> Floats:
        """Return how likely a draw with each other would be, by that of two equals who are known."""
        total = 2 * self.BETA**2 + self._variances + self._variances[item]
        gap = self._means - self._means[item]
        found: Floats = np.sqrt(2 * self.BETA**2 / total) * np.exp(-gap * gap / (2 * total))
        return found

    def means(self) -> Floats:
        """Return the ratings."""
        return self._means

    def doubts(self) -> Floats:
        """Return the deviations."""
        deviations: Floats = np.sqrt(self._variances)
        return deviations


class _Ours:
    """The posterior, as a rater."""

    def __init__(self, count: int) -> None:
        self.posterior = Posterior(range(count))

    def take(self, first: int, second: int, first_won: bool) -> None:
        """Take in a verdict."""
        self.posterior.take(first, second, first_won=first_won)

    def means(self) -> Floats:
        """Return the ratings."""
        return np.array([quality.mean for quality in self.posterior.qualities()])

    def doubts(self) -> Floats:
        """Return the deviations."""
        return np.array([quality.deviation for quality in self.posterior.qualities()])


Picker: TypeAlias = Callable[[Rater, Floats, np.random.Generator], tuple[int, int]]


def _any(rater: Rater, matches: Floats, rng: np.random.Generator) -> tuple[int, int]:
    a = int(rng.integers(len(matches)))
    b = int(rng.integers(len(matches) - 1))
    return a, b + (b >= a)


def _fewest(rater: Rater, matches: Floats, rng: np.random.Generator) -> tuple[int, int]:
    """Pick the item with the fewest matches, and who is nearest to it."""
    return _beside(rater, int(np.argmin(matches + 0.5 * rng.random(len(matches)))), 1, rng)


def _unsure(rater: Rater, matches: Floats, rng: np.random.Generator) -> tuple[int, int]:
    """Pick the item that is least known, and who is nearest to it."""
    return _beside(rater, int(np.argmax(rater.doubts() + 1e-6 * rng.random(len(matches)))), 1, rng)


def _even(rater: Rater, matches: Floats, rng: np.random.Generator) -> tuple[int, int]:
    """Pick the item that is least known, and with whom its match is of the best quality."""
    a = int(np.argmax(rater.doubts() + 1e-6 * rng.random(len(matches))))
    if not isinstance(rater, TrueSkill):
        raise TypeError("match quality is TrueSkill's")
    quality = rater.quality(a) + 1e-9 * rng.random(len(matches))
    quality[a] = -1.0
    return a, int(np.argmax(quality))


def _scientist(rater: Rater, matches: Floats, rng: np.random.Generator) -> tuple[int, int]:
    """Pick by softmax of standard scores, with 2 more for who has had under 3 matches; one of 3 beside."""
    means = rater.means()
    share = np.exp((means - means.mean()) / (means.std() + 1e-9) + 2.0 * (matches < 3))
    at = float(rng.random()) * float(share.sum())
    return _beside(rater, min(int(np.searchsorted(np.cumsum(share), at)), len(means) - 1), 3, rng)


def _beside(rater: Rater, item: int, count: int, rng: np.random.Generator) -> tuple[int, int]:
    gaps = np.abs(rater.means() - rater.means()[item]) + 1e-9 * rng.random(len(rater.means()))
    gaps[item] = math.inf
    near = np.argpartition(gaps, count - 1)[:count]
    return item, int(near[int(rng.integers(count))])


def _ladder(rater: Rater, matches: Floats, rng: np.random.Generator) -> tuple[int, int]:
    return _own(rater, "ladder", rng)


def _swiss(rater: Rater, matches: Floats, rng: np.random.Generator) -> tuple[int, int]:
    return _own(rater, "swiss", rng)


def _own(rater: Rater, rule: str, rng: np.random.Generator) -> tuple[int, int]:
    if not isinstance(rater, _Ours):
        raise TypeError("the posterior's pairing needs the posterior")
    known, free = rater.posterior, Pairs()
    pair = ladder(known, 5, rng, free) if rule == "ladder" else swiss(known, rng, free)
    if pair is None:
        raise RuntimeError("no pair")
    return pair


_RIVALS: Mapping[str, tuple[Picker, Callable[[int], Rater]]] = {
    "random + Elo": (_any, _Elo),
    "Swiss + Elo": (_fewest, _Elo),
    "co-scientist's rule + Elo": (_scientist, _Elo),
    "Glicko, least known first": (_unsure, Glicko),
    "TrueSkill, best match quality": (_even, TrueSkill),
    "co-scientist's rule + ours": (_scientist, _Ours),
    "ours, top_k": (_ladder, _Ours),
    "ours, full_order": (_swiss, _Ours),
}


def _played(world: World, pick: Picker, rater: Rater, marks: Sequence[int]) -> list[Score]:
    count = len(world.qualities)
    matches = np.zeros(count)
    scores: list[Score] = []
    for number in range(1, marks[-1] * count + 1):
        pair = pick(rater, matches, world.rng)
        first, second = pair if world.rng.random() < 0.5 else pair[::-1]
        rater.take(first, second, world.first_wins(first, second))
        matches[[first, second]] += 1
        if number % count == 0 and number // count in marks:
            scores.append(score(world, rater.means()))
    return scores


def _measure(setting: Setting) -> Sequence[Figure]:
    count, runs = 32, 2 if setting.quick else _RUNS
    marks = _MARKS[:3] if setting.quick else _MARKS
    figures: list[Figure] = []
    for name, (pick, rate) in _RIVALS.items():
        every = [_played(World.of(count, seed), pick, rate(count), marks) for seed in range(runs)]
        for mark, at in zip(marks, zip(*every, strict=True), strict=True):
            note = f"top-5 {fmean(s.top_k for s in at):.2f}, tau {fmean(s.tau for s in at):.2f}"
            figures.append(Figure(f"{name}: top-1 at {mark}N", fmean(s.top1 for s in at), note=note))
    return figures


RIVALS = Measure("rivals", f"How others pair and rate, 32 items, s 1.5, {_RUNS} worlds.", _measure)
