"""Populations on the virtual clock: what copying brings at equal steps, and what no generation costs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import numpy as np

from agentflow.runtime import Context, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.tournament.population import Member, Population, PopulationReport
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["POPULATION"]

_MEMBERS, _STEPS, _READY = 10, 60, 5
_TOP = 1.2  # the best score there is
_WORKERS, _EACH = 16, 40


@dataclass(frozen=True, slots=True)
class _Toy:
    """The toy problem of PBT (arXiv 1711.09846, section 3.2): theta climbs a surrogate that h weighs."""

    theta: tuple[float, float]
    h: tuple[float, float]


async def _climb(context: Context[object], toy: _Toy) -> _Toy:
    (a, b), (p, q) = toy.theta, toy.h
    await asyncio.sleep(1)
    return replace(toy, theta=(a - 0.02 * p * a, b - 0.02 * q * b))


async def _height(context: Context[object], toy: _Toy) -> float:
    return 1.2 - sum(each**2 for each in toy.theta)


def _jolted(chance: random.Random, toy: _Toy) -> _Toy:
    return replace(toy, h=(toy.h[0] + chance.gauss(0, 0.1), toy.h[1] + chance.gauss(0, 0.1)))


def _alone(chance: random.Random, member: Member[_Toy], others: Sequence[Member[_Toy]]) -> None:
    return None


def _toys(seed: str) -> list[_Toy]:
    chance = random.Random(seed)
    return [_Toy((0.9, 0.9), (chance.random(), chance.random())) for _ in range(_MEMBERS)]


def _trained(population: Population[_Toy]) -> tuple[PopulationReport[_Toy], float]:
    """Return the report, and how long it took on the virtual clock."""

    async def run() -> tuple[PopulationReport[_Toy], float]:
        async with Runtime() as runtime:
            report = (await runtime.run(population)).output
        return report, asyncio.get_running_loop().time()

    return run_in(lambda: new_loop("virtual"), run())


def _best(toys: Sequence[_Toy], seed: int, *, copies: bool) -> float:
    population = Population(
        toys,
        step=_climb,
        score=_height,
        ready=_READY,
        steps=_STEPS,
        explore=_jolted,
        exploit=None if copies else _alone,
        seed=seed,
    )
    return _trained(population)[0].best.score or 0.0


def _throughput(seed: int) -> tuple[float, float]:
    """Return steps a mean duration: without generations, and with ones that wait for their slowest."""
    waits = np.random.default_rng([seed, 3])

    async def step(context: Context[object], toy: _Toy) -> _Toy:
        await asyncio.sleep(float(waits.lognormal(-0.5, 1.0)))
        return toy

    total = _WORKERS * _EACH
    population = Population(
        [_Toy((0.9, 0.9), (1.0, 1.0))] * _WORKERS, step=step, score=_height, total_steps=total, steps=None
    )
    _, seconds = _trained(population)
    generations = waits.lognormal(-0.5, 1.0, (_EACH, _WORKERS)).max(axis=1).sum()
    return total / seconds, total / float(generations)


def _two(*, copies: bool) -> float:
    """Return the best score of the paper's two workers, each blind to one coordinate; thetas are copied."""
    population = Population(
        [_Toy((0.9, 0.9), (1.0, 0.0)), _Toy((0.9, 0.8), (0.0, 1.0))],
        step=_climb,
        score=_height,
        ready=_READY,
        steps=300,
        inherit=lambda own, other: replace(own, theta=other.theta),
        exploit=None if copies else _alone,
        share=0.5,
    )
    return _trained(population)[0].best.score or 0.0


def _population(setting: Setting) -> Sequence[Figure]:
    seeds = 2 if setting.quick else 12
    ours = [_best(_toys(f"{seed}"), seed, copies=True) for seed in range(seeds)]
    none = [_best(_toys(f"{seed}"), seed, copies=False) for seed in range(seeds)]
    search = [_best(_toys(f"search {seed}"), seed, copies=False) for seed in range(seeds)]
    gains = [a - b for a, b in zip(ours, search, strict=True)]
    rates = [_throughput(seed) for seed in range(1 if setting.quick else 6)]
    free, held = fmean(rate for rate, _ in rates), fmean(rate for _, rate in rates)
    began = time.process_time()
    _best(_toys("0"), 0, copies=True)
    cpu = time.process_time() - began
    bar = None if setting.quick else Bar("<=", 0.9)
    left = _TOP - fmean(ours)
    error = f"best scores {fmean(ours):.3f} and {fmean(search):.3f}, gain {fmean(gains):.3f}"
    return [
        Figure(
            "the paper's two workers: best score", _two(copies=True), bar=Bar(">=", 1.15), note="at most 1.2"
        ),
        Figure("the same two, who copy nobody", _two(copies=False)),
        Figure(
            "10 members, 60 steps each: what is left to the best, by random search's",
            left / (_TOP - fmean(search)),
            "x",
            bar,
            f"{error} (standard error {stdev(gains) / len(gains) ** 0.5:.3f})",
        ),
        Figure("by that of the same members, who copy nobody", left / (_TOP - fmean(none)), "x", bar),
        Figure("16 members, lognormal steps: steps a mean duration", free),
        Figure("against generations that wait", free / held, "x", Bar(">=", 2), "after each step"),
        Figure("own CPU a step, its score among it", 1000 * cpu / (_MEMBERS * _STEPS), "ms"),
    ]


POPULATION = Measure(
    "population",
    "The toy problem of population based training, and members with no generations.",
    _population,
)
