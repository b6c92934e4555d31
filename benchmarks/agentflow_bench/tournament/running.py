"""Whole tournaments on the virtual clock: no round waits for its slowest match, and what a match costs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import numpy as np

from agentflow.runtime import Context, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.tournament import Match, Posterior, Tournament, TournamentReport
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.tournament.worlds import World, played, score

__all__ = ["ASYNCHRONY", "COST"]

_WORKERS = 16
_COUNT = 32


class _Judge:
    """Judges a world; a verdict takes a lognormal time (sigma 1, mean 1). Match `hangs` never ends."""

    def __init__(self, world: World, seed: int, hangs: int | None = None) -> None:
        self._world = world
        self._waits = np.random.default_rng([seed, 2])
        self._hangs = hangs
        self.busy = 0.0
        self.verdicts: Counter[int] = Counter()

    def wait(self) -> float:
        """Return how long a verdict takes."""
        return float(self._waits.lognormal(-0.5, 1.0))

    async def __call__(self, context: Context[object], match: Match[int]) -> str:
        """Judge a match."""
        if match.number == self._hangs:
            await asyncio.sleep(1e9)
        seconds = self.wait()
        await asyncio.sleep(seconds)
        self.busy += seconds
        self.verdicts[match.number] += 1
        return "first" if self._world.first_wins(match.first, match.second) else "second"


def _ran(
    judge: _Judge, items: Sequence[int], matches: int, **options: float | None
) -> tuple[TournamentReport[int], float, float]:
    """Return the report, and how long it took on the virtual clock and in CPU time."""

    async def run() -> tuple[TournamentReport[int], float, float]:
        tournament = Tournament(
            "simulated",
            judge=judge,
            items=items,
            concurrency=_WORKERS,
            max_matches=matches,
            stop_overlap=None,
            match_timeout=options.get("match_timeout"),
        )
        began = time.process_time()
        async with Runtime() as runtime:
            report = (await runtime.run(tournament)).output
        return report, asyncio.get_running_loop().time(), time.process_time() - began

    return run_in(lambda: new_loop("virtual"), run())


def _asynchrony(setting: Setting) -> Sequence[Figure]:
    runs = 4 if setting.quick else 60
    matches = 8 * _COUNT
    ours: list[float] = []
    busy: list[float] = []
    rounds: list[float] = []
    apart: list[float] = []
    one: list[float] = []
    for seed in range(runs):
        world = World.of(_COUNT, seed)
        judge = _Judge(world, seed)
        report, seconds, _ = _ran(judge, range(_COUNT), matches)
        ours.append(matches / seconds)
        busy.append(judge.busy / (_WORKERS * seconds))
        means = {each.item: each.quality for each in report.ranking}
        apart.append(score(world, [means[item] for item in range(_COUNT)]).top_k)
        one.append(played(World.of(_COUNT, seed), "ladder", [matches])[0].top_k)
        # A Swiss round is N/2 matches at once, and the next begins when the last of them has ended.
        waits = [max(judge.wait() for _ in range(_COUNT // 2)) for _ in range(matches // (_COUNT // 2))]
        rounds.append(matches / sum(waits))
    hung = _Judge(World.of(_COUNT, 1), 1, hangs=40)
    report, _, _ = _ran(hung, range(_COUNT), matches, match_timeout=30.0)
    twice = Counter(each.number for each in report.matches)
    bar = None if setting.quick else Bar("<=", 0.05)
    return [
        Figure("matches a mean latency", fmean(ours)),
        Figure("against Swiss rounds", fmean(ours) / fmean(rounds), "x", Bar(">=", 2.5)),
        Figure("workers that work", fmean(busy), bar=Bar(">=", 0.7)),
        Figure("top-5 lost against one after the other", fmean(one) - fmean(apart), bar=bar),
        Figure("a judge that hangs: timed out", report.timed_out, bar=Bar("==", 1)),
        Figure("a judge that hangs: verdicts in the end", report.judged, bar=Bar("==", matches)),
        Figure("matches that count twice", sum(n > 1 for n in twice.values()), bar=Bar("==", 0)),
    ]


def _cost(setting: Setting) -> Sequence[Figure]:
    matches = 500 if setting.quick else 5_000
    figures = []
    for count in (32, 200):
        judge = _Judge(World.of(count, 1), 1)
        report, _, cpu = _ran(judge, range(count), matches)
        bar = Bar("<=", 2) if count == 200 else None
        name = f"{count} items, {report.judged} matches: own CPU a match"
        figures.append(Figure(name, 1000 * cpu / matches, "ms", bar, "with the simulated judge"))
    posterior = Posterior(range(200))
    began = time.process_time()
    for number in range(1000):
        posterior.take(number % 200, (number * 7 + 1) % 200, first_won=True)
    figures.append(Figure("200 items: of it, taking in a verdict", time.process_time() - began, "ms"))
    return figures


ASYNCHRONY = Measure("asynchrony", "16 workers with lognormal latencies, against Swiss rounds.", _asynchrony)
COST = Measure("cost", "What a match costs in this process.", _cost)
