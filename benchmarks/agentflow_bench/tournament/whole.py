"""Whole tournaments with mock agents on the virtual clock: a supervisor against a fixed schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from statistics import fmean

import numpy as np

from agentflow.runtime import Context, Limits, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.tournament import Board, Make, Match, Supervisor, ThompsonWeights, Tournament
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.tournament.supervised import Mock, Mocks, Rounds, worlds
from agentflow_bench.tournament.worlds import World
from agentflow_protocols.chat.messages import Usage

__all__ = ["WHOLE"]

_TOKENS = 1_000  # of a match
_RUNS = 10
_FIRST = 50_000  # the first seed: of worlds on which nothing was tuned
_ROUNDS = (3, 6)  # matches an item, of agents in turn; what does better is compared with
_WORLDS = ("evolution", "mixed")


def _maker(mock: Mock, seed: int) -> Callable[[Context[object], Board[float]], Awaitable[Sequence[float]]]:
    async def make(context: Context[object], board: Board[float]) -> Sequence[float]:
        chance = np.random.default_rng([seed, board.number])
        await asyncio.sleep(float(4 * chance.lognormal(-0.5, 1.0)))
        context.budget.charge(Usage(mock.tokens, requests=1), None)
        step = mock.mean + mock.spread * float(chance.standard_normal())
        if not mock.evolves:
            return [step]
        return [step + board.ranking[int(chance.integers(min(3, len(board.ranking))))].item]

    return make


def _best(mocks: Mocks, supervisor: Supervisor, seed: int, budget: int) -> float:
    """Return the quality of the item that is told as the best, above the mean of those given."""
    given = World.of(8, seed).qualities

    async def judge(context: Context[object], match: Match[float]) -> str:
        chance = np.random.default_rng([seed, 1, match.number])
        await asyncio.sleep(float(chance.lognormal(-0.5, 1.0)))
        context.budget.charge(Usage(_TOKENS, requests=1), None)
        return (
            "first" if chance.random() < 1 / (1 + np.exp(-1.5 * (match.first - match.second))) else "second"
        )

    async def run() -> float:
        tournament = Tournament(
            "simulated",
            judge=judge,
            items=given.tolist(),
            agents={name: Make(_maker(mock, seed), needs=2, at_once=4) for name, mock in mocks.items()},
            supervisor=supervisor,
            max_matches=100_000,
            most_items=300,
            concurrency=4,
            stop_overlap=None,
            seed=seed,
        )
        async with Runtime() as runtime:
            report = (await runtime.run(tournament, limits=Limits(tokens=budget))).output
        return float(report.best.item)

    return run_in(lambda: new_loop("virtual"), run()) - float(given.mean())


def _measure(setting: Setting) -> Sequence[Figure]:
    runs, budget = (1, 40_000) if setting.quick else (_RUNS, 400_000)
    figures: list[Figure] = []
    for name in _WORLDS:
        ours: list[float] = []
        rounds: dict[int, list[float]] = {matches: [] for matches in _ROUNDS}
        for seed in range(_FIRST, _FIRST + runs):
            mocks = worlds()[name](np.random.default_rng([seed, 7]))
            ours.append(_best(mocks, ThompsonWeights(), seed, budget))
            for matches, found in rounds.items():
                found.append(_best(mocks, Rounds(matches), seed, budget))
        fixed = max(rounds.values(), key=fmean)
        ratio = fmean(ours) / fmean(fixed)
        error = float(np.std(np.subtract(ours, np.multiply(ratio, fixed)))) / runs**0.5 / fmean(fixed)
        note = f"SE {error:.2f}; {fmean(ours):.2f} against {fmean(fixed):.2f}"
        bar = None if setting.quick else Bar(">=", 1.2)
        figures.append(Figure(f"{name}: best found, of agents in turn", ratio, "x", bar, note))
    return figures


WHOLE = Measure("whole", f"The same by whole tournaments, 4 at work, {_RUNS} runs a world.", _measure)
