"""Worlds: items with true qualities, a judge who errs, and ways to pair and rate them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentflow.tournament import Pairs, Posterior, ladder, swiss

__all__ = ["Elo", "Rule", "Score", "World", "means_of", "played", "score", "tau"]

Floats: TypeAlias = NDArray[np.float64]
Rule: TypeAlias = Literal["ladder", "swiss", "random"]


@dataclass(slots=True)
class World:
    """Qualities are drawn from N(0, 1); a better by `gap` wins with sigmoid(`sharpness` · gap).

    `bias` is what being shown first adds to that, `noise` the share of verdicts that are a coin's.
    """

    qualities: Floats
    rng: np.random.Generator
    sharpness: float = 1.5
    noise: float = 0.0
    bias: float = 0.0

    @classmethod
    def of(
        cls, count: int, seed: int, *, sharpness: float = 1.5, noise: float = 0.0, bias: float = 0.0
    ) -> World:
        """Return a world of a seed."""
        rng = np.random.default_rng(seed)
        return cls(rng.standard_normal(count), rng, sharpness, noise, bias)

    def first_wins(self, first: int, second: int) -> bool:
        """Judge a match."""
        if self.noise and self.rng.random() < self.noise:
            return bool(self.rng.random() < 0.5)
        gap = float(self.qualities[first] - self.qualities[second])
        return bool(self.rng.random() < 1 / (1 + math.exp(-self.sharpness * gap - self.bias)))


class Elo:
    """Plain Elo with K 32 from 1200: what others use, to compare with."""

    def __init__(self, count: int) -> None:
        self.ratings = [1200.0] * count

    def take(self, first: int, second: int, first_won: bool) -> None:
        """Take in a verdict."""
        expected = 1 / (1 + 10 ** ((self.ratings[second] - self.ratings[first]) / 400))
        change = 32 * (first_won - expected)
        self.ratings[first] += change
        self.ratings[second] -= change


@dataclass(slots=True)
class Score:
    """How good a ranking is: the best found, the share of the true best `k` found, Kendall's tau."""

    top1: float
    top_k: float
    tau: float


def score(world: World, means: Sequence[float] | Floats, k: int = 5) -> Score:
    """Compare estimated with true qualities."""
    truth = np.argsort(-world.qualities)
    found = np.argsort(-np.asarray(means), kind="stable")
    return Score(
        float(truth[0] == found[0]),
        len(set(truth[:k].tolist()) & set(found[:k].tolist())) / k,
        tau(world.qualities, np.asarray(means)),
    )


def tau(one: Floats, other: Floats) -> float:
    """Return Kendall's tau of two orders."""
    upper = np.triu_indices(len(one), 1)
    a = np.sign(one[:, None] - one)[upper]
    b = np.sign(other[:, None] - other)[upper]
    return float((a * b).mean())


def played(
    world: World,
    rule: Rule,
    marks: Sequence[int],
    look: Callable[[Posterior[int], int], bool] = lambda posterior, number: False,
    *,
    posterior: Posterior[int] | None = None,
    began: int = 0,
    k: int = 5,
) -> list[Score]:
    """Play matches one after the other by a rule; return a score at each mark (numbers of matches).

    `look` is told after each match, and ends it by True. `random` is rated by Elo.
    """
    count = len(world.qualities)
    elo = Elo(count)
    posterior = Posterior(range(count)) if posterior is None else posterior
    free = Pairs()
    scores: list[Score] = []
    for number in range(began + 1, marks[-1] + 1):
        if rule == "random":
            a, b = (int(each) for each in world.rng.choice(count, 2, replace=False))
            elo.take(a, b, world.first_wins(a, b))
        else:
            pair = (
                ladder(posterior, k, world.rng, free)
                if rule == "ladder"
                else swiss(posterior, world.rng, free)
            )
            if pair is None:
                raise RuntimeError("no pair")
            posterior.take(*pair, first_won=world.first_wins(*pair))
        if number in marks:
            means = elo.ratings if rule == "random" else means_of(posterior)
            scores.append(score(world, means, k))
        if look(posterior, number):
            break
    return scores


def means_of(posterior: Posterior[int]) -> list[float]:
    """Return the means of all qualities, by item."""
    known = {item: posterior.quality(item).mean for item in posterior.items}
    return [known.get(item, -math.inf) for item in range(max(known) + 1)]
