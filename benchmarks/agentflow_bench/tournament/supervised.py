"""Supervisors: the best item that is found for the same tokens, by weights that learn and by fixed ones.

Agents are known to the bench alone: a generator's items are normal, an evolver's child is a parent of the
best three and a normal step. Qualities are told on a scale whose zero is the mean of what was given, in
deviations of what may be given. A fixed schedule doesn't know the agents: one after the other, with so many
matches for each item; all alike, matches too; or a tournament's own weights, 9 matches of 10. It is that
of these which does best over all worlds. For orientation, the best agent alone, in hindsight of each run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import fmean, stdev
from typing import TypeAlias

import numpy as np

from agentflow.tournament import (
    FixedWeights,
    Pairs,
    Posterior,
    Statistics,
    Supervisor,
    ThompsonWeights,
    Work,
    ladder,
)
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.tournament.worlds import World

__all__ = ["SUPERVISED", "Mock", "Rounds", "found", "worlds"]

_GIVEN = 8  # items there are at first
_TOKENS = 1_000  # of a match
_BUDGET = 400_000
_MOST = 300  # items
_RUNS = 48
_ALIKE_RUNS = 96  # where nothing is to be gained, little is to be lost
_FIRST = 50_000  # the first seed: of worlds on which nothing was tuned
_ROUNDS = (2, 3, 4, 6, 7)  # matches an item, of fixed schedules
_ALIKE = "all are alike"


@dataclass(frozen=True, slots=True)
class Mock:
    """An agent whose items are normal; an evolver's by what its parent is."""

    mean: float
    spread: float
    tokens: int
    evolves: bool = False

    def make(self, world: World, ranking: Sequence[int]) -> float:
        """Return the quality of a new item."""
        step = self.mean + self.spread * float(world.rng.standard_normal())
        if not self.evolves:
            return step
        return step + float(world.qualities[ranking[int(world.rng.integers(min(3, len(ranking))))]])


Mocks: TypeAlias = Mapping[str, Mock]


@dataclass(frozen=True, slots=True)
class Rounds:
    """A fixed schedule: so many matches, then the next agent in turn."""

    matches: int

    def weigh(self, seen: Statistics, chance: np.random.Generator) -> Mapping[str, float]:
        """Return the weight of who is next."""
        makers = [name for name, work in seen.work.items() if work.kind == "make"]
        made = sum(seen.work[name].calls + seen.work[name].under_way for name in makers)
        match = seen.work["match"]
        if not seen.room or match.calls + match.under_way < self.matches * (made + 1):
            return {"match": 1.0}
        return {makers[made % len(makers)]: 1.0}


def worlds() -> Mapping[str, Callable[[np.random.Generator], Mocks]]:
    """Return the worlds by name, each a function that draws its agents."""

    def one_good(rng: np.random.Generator) -> Mocks:
        means = rng.permutation([0.0, 0.0, 0.0, 0.0, 1.5])
        return {f"g{n}": Mock(float(mean), 1.0, 4_000) for n, mean in enumerate(means)}

    def wide(rng: np.random.Generator) -> Mocks:
        spreads = rng.permutation([0.3, 0.3, 0.3, 0.3, 1.5])
        return {f"g{n}": Mock(0.0, float(spread), 4_000) for n, spread in enumerate(spreads)}

    def cheap(rng: np.random.Generator) -> Mocks:
        tokens = rng.permutation([1_000, 20_000, 20_000, 20_000, 20_000])
        return {f"g{n}": Mock(0.0, 1.0, int(each)) for n, each in enumerate(tokens)}

    def evolution(rng: np.random.Generator) -> Mocks:
        steps = rng.permutation([-1.0, -0.6, 0.2])
        found = {f"e{n}": Mock(float(step), 0.4, 4_000, True) for n, step in enumerate(steps)}
        return found | {"g0": Mock(0.0, 1.0, 4_000), "g1": Mock(0.5, 0.7, 4_000)}

    def mixed(rng: np.random.Generator) -> Mocks:
        found: dict[str, Mock] = {}
        for n in range(5):
            tokens = int(4_000 * np.exp(0.8 * rng.standard_normal()))
            mean, spread = float(0.7 * rng.standard_normal()), float(np.exp(0.5 * rng.standard_normal()))
            found[f"g{n}"] = Mock(mean, spread, tokens)
        for n in range(2):
            tokens = int(4_000 * np.exp(0.8 * rng.standard_normal()))
            step, spread = float(-0.6 + 0.4 * rng.standard_normal()), float(0.3 + 0.4 * rng.random())
            found[f"e{n}"] = Mock(step, spread, tokens, True)
        return found

    def alike(rng: np.random.Generator) -> Mocks:
        return {f"g{n}": Mock(0.0, 1.0, 4_000) for n in range(5)}

    return {
        "one is good": one_good,
        "one is wide": wide,
        "one is cheap": cheap,
        "evolution": evolution,
        "mixed": mixed,
        _ALIKE: alike,
    }


def found(mocks: Mocks, supervisor: Supervisor, seed: int, budget: int = _BUDGET) -> float:
    """Return the true quality of the item that is told as the best, once the tokens are spent."""
    world = World.of(_GIVEN, seed)
    posterior = Posterior(range(_GIVEN))
    pairs = Pairs()
    calls = dict.fromkeys(("match", *mocks), 0)
    made: dict[str, list[int]] = {name: [] for name in mocks}
    spent = 0
    zero = float(world.qualities.mean())
    while spent < budget:
        weights = supervisor.weigh(_seen(posterior, mocks, calls, made), world.rng)
        name = _drawn(weights, world.rng)
        calls[name] += 1
        if name == "match":
            spent += _TOKENS
            pair = ladder(posterior, 5, world.rng, pairs)
            if pair is None:
                raise RuntimeError("no pair")
            posterior.take(*pair, first_won=world.first_wins(*pair))
            continue
        spent += mocks[name].tokens
        item = len(world.qualities)
        quality = mocks[name].make(world, posterior.ranking())
        world.qualities = np.append(world.qualities, quality)
        posterior.add(item, posterior.expected(made[name]))
        made[name].append(item)
    return float(world.qualities[posterior.ranking()[0]]) - zero


def _seen(
    posterior: Posterior[int], mocks: Mocks, calls: Mapping[str, int], made: Mapping[str, list[int]]
) -> Statistics:
    known = posterior.qualities()
    work = {"match": Work("match", calls["match"], calls["match"] * _TOKENS, 0, 1)}
    for name, mock in mocks.items():
        items = made[name]
        mine = [known[item] for item in items]
        work[name] = Work("make", calls[name], calls[name] * mock.tokens, 0, 1, mine, items)
    best = posterior.quality(posterior.ranking()[0])
    room = _MOST - len(known)
    return Statistics(work, len(known), calls["match"], 5, 0.0, best, room, known)


def _drawn(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    at = float(rng.random()) * sum(weights.values())
    for name, weight in weights.items():
        at -= weight
        if at < 0:
            return name
    return "match"


def _fixed(mocks: Mocks) -> Mapping[str, Supervisor]:
    """Return the fixed schedules by name."""
    return {
        **{f"agents in turn, {matches} matches an item": Rounds(matches) for matches in _ROUNDS},
        "a tournament's own weights": FixedWeights({"match": 0.9, **dict.fromkeys(mocks, 0.1 / len(mocks))}),
        "all alike": FixedWeights(dict.fromkeys(("match", *mocks), 1.0)),
    }


def _all(jobs: Sequence[tuple[Mocks, Supervisor, int, int]], setting: Setting) -> list[float]:
    """Return what each finds, by all cores."""
    if setting.quick:
        return [found(*job) for job in jobs]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(found, *zip(*jobs, strict=True), chunksize=8))


def _alone(mocks: Mocks, seed: int, budget: int) -> float:
    """Return what the best agent finds alone, in hindsight."""
    return max(found({name: mock}, Rounds(3), seed, budget) for name, mock in mocks.items())


def _measure(setting: Setting) -> Sequence[Figure]:
    runs, alike, budget = (1, 1, 60_000) if setting.quick else (_RUNS, _ALIKE_RUNS, _BUDGET)
    jobs: list[tuple[str, str, Mocks, Supervisor, int]] = []
    for world, draw in worlds().items():
        for seed in range(_FIRST, _FIRST + (alike if world == _ALIKE else runs)):
            mocks = draw(np.random.default_rng([seed, 7]))
            jobs.append(("", world, mocks, ThompsonWeights(), seed))
            jobs += [(name, world, mocks, schedule, seed) for name, schedule in _fixed(mocks).items()]
    qualities = _all([(mocks, schedule, seed, budget) for _, _, mocks, schedule, seed in jobs], setting)
    fixed: dict[str, dict[str, list[float]]] = {}
    for (name, world, *_), quality in zip(jobs, qualities, strict=True):
        fixed.setdefault(name, {}).setdefault(world, []).append(quality)
    ours = fixed.pop("")
    alone = {
        world: fmean(
            _alone(draw(np.random.default_rng([seed, 7])), seed, budget)
            for seed in range(_FIRST, _FIRST + min(runs, 8))
        )
        for world, draw in worlds().items()
    }
    best = max(fixed, key=lambda name: sum(fmean(each) for each in fixed[name].values()))
    figures = [
        Figure(f"fixed: {name}", fmean(fmean(each) for each in of.values()), note="mean of all worlds")
        for name, of in fixed.items()
    ]
    ratios: dict[str, float] = {}
    for world, values in ours.items():
        others = fixed[best][world]
        ratios[world] = fmean(values) / fmean(others)
        apart = [mine - ratios[world] * other for mine, other in zip(values, others, strict=True)]
        error = (stdev(apart) if len(apart) > 1 else 0.0) / len(apart) ** 0.5 / fmean(others)
        note = f"SE {error:.2f}; {fmean(values):.2f}, the best agent alone, in hindsight, {alone[world]:.2f}"
        bar = Bar(">=", 0.97) if world == _ALIKE and not setting.quick else None
        figures.append(Figure(f"{world}: best found, of the best fixed", ratios[world], "x", bar, note))
    differ = fmean(ratio for world, ratio in ratios.items() if world != _ALIKE)
    bar = None if setting.quick else Bar(">=", 1.2)
    figures.append(Figure("mean of the worlds where agents differ", differ, "x", bar))
    return figures


SUPERVISED = Measure(
    "supervised",
    f"The best item for {_BUDGET:,} tokens, by weights that learn, {_RUNS} runs a world.",
    _measure,
)
