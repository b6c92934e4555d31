"""How many matches are needed, what a biased judge and newcomers do, and whether stopping is honest."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

import numpy as np

from agentflow.tournament import Pairs, Posterior, ladder
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.tournament.worlds import Rule, Score, World, means_of, played, score

__all__ = ["ARRIVALS", "BIAS", "MATCHES", "ORDER", "STOP"]

_SETTINGS = (  # name, items, sharpness, noise, runs, bars of top-1 and top-5
    ("32 items, s 1.5", 32, 1.5, 0.0, 200, 0.25, 0.40),
    ("32 items, s 0.8", 32, 0.8, 0.0, 200, 0.40, 0.55),
    ("64 items, s 1.5", 64, 1.5, 0.0, 100, 0.20, 0.30),
    ("32 items, s 1.5, 15% of verdicts by chance", 32, 1.5, 0.15, 200, 0.25, 0.50),
)
_ELO = 20  # matches for each item, after which random pairing with Elo is looked at


def _runs(full: int, setting: Setting) -> int:
    return max(6, full // 20) if setting.quick else full


def _bar(setting: Setting, sense: str, limit: float) -> Bar | None:
    """Return a bar, or none where a few runs say too little."""
    if setting.quick:
        return None
    return Bar(">=", limit) if sense == ">=" else Bar("<=", limit)


def _curve(
    rule: Rule, marks: Sequence[int], count: int, sharpness: float, noise: float, runs: int
) -> list[Score]:
    every = [
        played(World.of(count, seed, sharpness=sharpness, noise=noise), rule, marks) for seed in range(runs)
    ]
    return [
        Score(fmean(s.top1 for s in at), fmean(s.top_k for s in at), fmean(s.tau for s in at))
        for at in zip(*every, strict=True)
    ]


def _needed(marks: Sequence[int], values: Sequence[float], wanted: float) -> float:
    """Return how many matches it takes to reach a value: the first mark from which it is kept, in between
    by a straight line; infinity when it is not reached.
    """
    smooth = [fmean(values[max(0, i - 1) : i + 2]) for i in range(len(values))]
    for i, value in enumerate(smooth):
        if value >= wanted:
            if i == 0:
                return float(marks[0])
            share = (wanted - smooth[i - 1]) / max(1e-9, value - smooth[i - 1])
            return marks[i - 1] + share * (marks[i] - marks[i - 1])
    return float("inf")


def _matches(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    for name, count, sharpness, noise, full, bar1, bar5 in _SETTINGS[:1] if setting.quick else _SETTINGS:
        runs = _runs(full, setting)
        end = _ELO * count
        elo = _curve("random", [end], count, sharpness, noise, 2 * runs)[0]
        marks = list(range(count, 14 * count + 1, count // 2))
        curve = _curve("ladder", marks, count, sharpness, noise, runs)
        figures += [
            Figure(f"{name}: Elo at random after 20N, top-1", elo.top1),
            Figure(f"{name}: Elo at random after 20N, top-5", elo.top_k),
            Figure(
                f"{name}: matches for the same top-1, of Elo's",
                _needed(marks, [at.top1 for at in curve], elo.top1) / end,
                "x",
                _bar(setting, "<=", bar1),
            ),
            Figure(
                f"{name}: matches for the same top-5, of Elo's",
                _needed(marks, [at.top_k for at in curve], elo.top_k) / end,
                "x",
                _bar(setting, "<=", bar5),
            ),
        ]
        if name == _SETTINGS[0][0]:
            eight = curve[marks.index(8 * count)]
            figures += [
                Figure("top-1 at 8N", eight.top1, bar=_bar(setting, ">=", 0.75)),
                Figure("top-5 at 8N", eight.top_k, bar=_bar(setting, ">=", 0.78)),
            ]
            order = _curve("swiss", marks, count, sharpness, noise, runs)
            figures += [
                Figure(
                    "full order: tau at 8N", order[marks.index(8 * count)].tau, bar=_bar(setting, ">=", 0.76)
                ),
                Figure("full order: tau of Elo at random after 20N", elo.tau),
                Figure(
                    "full order: matches for the same tau, of Elo's",
                    _needed(marks, [at.tau for at in order], elo.tau) / end,
                    "x",
                    _bar(setting, "<=", 0.65),
                ),
            ]
    return figures


def _biased(setting: Setting) -> Sequence[Figure]:
    figures = []
    for bias, full in ((1.5, 400), (0.0, 100)):
        runs = _runs(full, setting)
        found = [played(World.of(32, seed, bias=bias), "ladder", [15 * 32])[0].top1 for seed in range(runs)]
        bar = _bar(setting, ">=", 0.84) if bias else None
        figures.append(Figure(f"order bias {bias:g}: top-1 at 15N", fmean(found), bar=bar))
    return figures


def _arrivals(setting: Setting) -> Sequence[Figure]:
    old, new, runs = 24, 8, _runs(100, setting)
    count = old + new
    shares: list[float] = []
    ends: list[Score] = []
    for seed in range(runs):
        world = World.of(count, seed)
        posterior = Posterior(range(old))
        free = Pairs()
        seen = 0
        for number in range(1, 8 * count + 1):
            if number == 4 * count + 1:
                for item in range(old, count):
                    posterior.add(item)
            pair = ladder(posterior, 5, world.rng, free)
            if pair is None:
                raise RuntimeError("no pair")
            posterior.take(*pair, first_won=world.first_wins(*pair))
            if 4 * count < number <= 4 * count + count // 2:
                seen += max(pair) >= old
        shares.append(seen / (count // 2))
        ends.append(score(world, means_of(posterior)))
    return [
        Figure("next N/2 picks with a newcomer", fmean(shares), bar=_bar(setting, ">=", 0.60)),
        Figure("top-5 at 8N", fmean(end.top_k for end in ends), bar=_bar(setting, ">=", 0.76)),
        Figure("top-1 at 8N", fmean(end.top1 for end in ends)),
    ]


def _stop(setting: Setting) -> Sequence[Figure]:
    count, runs = 32, _runs(100, setting)
    stopped: list[int] = []
    recalls: list[float] = []
    covered: list[float] = []
    best: list[float] = []
    for seed in range(runs):
        world = World.of(count, seed)
        posterior = Posterior(range(count))
        end: list[int] = []

        def look(known: Posterior[int], number: int, end: list[int] = end) -> bool:
            if number % (count // 8) or known.overlap(5, np.random.default_rng(number)) < 0.85:
                return False
            end.append(number)
            return True

        played(world, "ladder", [15 * count], look, posterior=posterior)
        if end:
            stopped.append(end[0])
            recalls.append(score(world, means_of(posterior)).top_k)
        # Qualities are free in their zero and, but for the judge's steepness, in their unit.
        truth = world.qualities * world.sharpness
        truth = truth - truth.mean()
        middle = fmean(means_of(posterior))
        top = set(np.argsort(-truth)[:5].tolist())
        for item in range(count):
            low, high = posterior.quality(item).interval(0.8)
            inside = float(low - middle <= truth[item] <= high - middle)
            covered.append(inside)
            if item in top:
                best.append(inside)
    return [
        Figure("runs that stop within 15N", len(stopped) / runs),
        Figure("matches at the stop, median, by N", median(stopped or [15 * count]) / count),
        Figure("top-5 at the stop", fmean(recalls or [0.0]), bar=_bar(setting, ">=", 0.83)),
        Figure("80% intervals that cover, least", fmean(covered), bar=_bar(setting, ">=", 0.72)),
        Figure("80% intervals that cover, most", fmean(covered), bar=_bar(setting, "<=", 0.92)),
        Figure("80% intervals that cover, of the true best 5", fmean(best)),
    ]


def _order(setting: Setting) -> Sequence[Figure]:
    count, runs = 32, _runs(60, setting)
    figures: list[Figure] = []
    for sharpness in (1.5, 0.8, 3.0):
        told: list[float] = []
        true: list[float] = []

        def look(known: Posterior[int], number: int, told: list[float] = told) -> bool:
            if number % (4 * count) == 0:
                told.append(known.concordance())
            return False

        for seed in range(runs):
            world = World.of(count, seed, sharpness=sharpness)
            true += [at.tau for at in played(world, "swiss", [4 * count, 8 * count, 12 * count], look)]
        bar = _bar(setting, "<=", 0.05) if sharpness == 1.5 else None
        note = f"told {fmean(told):.2f}, true {fmean(true):.2f}, after 4N, 8N and 12N"
        off = abs(fmean(told) - fmean(true))
        figures.append(Figure(f"s {sharpness:g}: tau told and true, apart", off, bar=bar, note=note))
    return figures


MATCHES = Measure("matches", "Matches needed, against Elo with random pairs.", _matches)
BIAS = Measure("bias", "A judge who prefers what is shown first.", _biased)
ARRIVALS = Measure("arrivals", "24 items, and 8 more after 4N matches.", _arrivals)
ORDER = Measure("order", "How sure the whole order is told to be, and is.", _order)
STOP = Measure("stop", "Stopping when the best 5 are 85% sure, and what intervals cover.", _stop)
