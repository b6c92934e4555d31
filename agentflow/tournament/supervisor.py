"""Supervisor: which agent works next, drawn by weights that follow from what has come of their work.

The paper samples agents by weights, and sets these by statistics of what was made, what waits and how the
tournament goes, but gives no formula (AI co-scientist, arXiv 2502.18864, section 3.2). Here what an agent
and a match are worth is measured in one unit: by how much the best found is expected to become better,
for each token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from agentflow.tournament.posterior import PRIOR, Quality

if TYPE_CHECKING:
    import numpy

__all__ = ["FixedWeights", "Statistics", "Supervisor", "ThompsonWeights", "Work", "WorkKind"]

WorkKind: TypeAlias = Literal["match", "make", "look", "study"]

_SPREADS = (0.15, 0.3, 0.6, 1.2, 2.4)  # deviations that a maker's items may have
_FROM_ZERO = (0.0, 4.0)  # what their mean may be: mean and variance
_FROM_BEST = (-1.0, 2.0)  # the same, where it is told from the best before
_DRAWS = 64
_FREE = 0.02  # what a call without tokens costs, by others' calls


@dataclass(frozen=True, slots=True)
class Work:
    """What an agent has done: calls that have ended, and their tokens; how many are under way; what waits.

    `made` is what is known of each item that it made, in the order in which they came, and `after` how
    many of all that play came before each. `waiting` is how many items or studies are due for it.
    """

    kind: WorkKind
    calls: int = 0
    tokens: int = 0
    under_way: int = 0
    waiting: int = 0
    made: Sequence[Quality] = ()
    after: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """How a tournament goes. `work` has each agent by its name, and `match`.

    `settled` is the share of the best `k` that is expected to be truly among them; `best` is what is
    known of the first of the ranking, None while nothing plays; `room` how many items may still be made;
    `known` what is known of all that play, in the order in which they came.
    """

    work: Mapping[str, Work]
    playing: int
    judged: int
    k: int
    settled: float
    best: Quality | None
    room: int
    known: Sequence[Quality] = ()


class Supervisor(Protocol):
    """Weighs agents, `match` among them. Who has no weight, or 0, is not asked; who is drawn has work."""

    def weigh(self, seen: Statistics, chance: numpy.random.Generator) -> Mapping[str, float]:
        """Return weights of 0 or more; `chance` is the only chance to be used, so that a run can go on."""


@dataclass(frozen=True, slots=True)
class FixedWeights:
    """Weights that never change."""

    weights: Mapping[str, float]

    def weigh(self, seen: Statistics, chance: numpy.random.Generator) -> Mapping[str, float]:
        """Return them."""
        return self.weights


@dataclass(frozen=True, slots=True)
class ThompsonWeights:
    """Weighs makers and matches by what a token is expected to add to the best item that is found.

    For each maker the qualities of its items are a normal distribution, from zero or from the best item
    before them, whichever explains them better; its mean and deviation are drawn from what is known of
    them (W. Thompson, 1933), and the maker whose `draws` promise the greatest gain over the present best,
    for its tokens, is weighed against a match. A match is worth what not knowing the best is expected to
    lose, shared by the matches that it takes to find out: `settle` for each item that may be the best. A
    new item costs its maker's tokens and those of `entry` matches; until an item has had them it is hardly
    known, and with `backlog` such items the worth of making more is down to a third. Weights are these
    worths to the power of `sharpen`.

    A look weighs by the share of items that wait for it, a study as much as all makers and matches
    together. Where no call has tokens, calls are the unit. Deterministic, given `chance`.
    """

    settle: float = 12.0
    entry: float = 2.0
    sharpen: float = 4.0
    backlog: float = 3.0
    draws: int = 3

    def weigh(self, seen: Statistics, chance: numpy.random.Generator) -> Mapping[str, float]:
        """Return the weights of `match`, the maker that is drawn, and looks and studies that wait."""
        costs, tops = _costs(seen.work), _tops(seen)
        drawn = {
            name: _drawn(work, tops, self.draws, chance)
            for name, work in seen.work.items()
            if work.kind == "make"
        }
        known = _known(seen, {name: maker[0] for name, maker in drawn.items()}, tops)
        best = max((mean for mean, _ in known), default=0.0)
        fresh = sum(max(0.0, 1 - each.matches / self.entry) for each in seen.known)
        worth: dict[str, float] = {}
        for name, maker in drawn.items():
            work = seen.work[name]
            if not work.waiting or seen.room <= 0:
                continue
            rate = (len(work.made) + 1) / (work.calls + 1)
            if not work.made:
                rate *= rate  # who has made nothing yet is trusted less with each call
            cost = costs[name] + rate * self.entry * costs.get("match", 0.0)
            gain = sum(each.gain(best) for each in maker) / len(maker) * math.exp(-fresh / self.backlog)
            gain *= rate / cost / (1 + work.under_way)
            if gain > max(worth.values(), default=-1.0):
                worth = {name: gain}
        if "match" in seen.work:
            worth["match"] = self._match(known, seen.work["match"], chance) / costs["match"]
        most = max(worth.values(), default=0.0)
        weights = {
            name: (value / most) ** self.sharpen if most > 0 else float(name == "match")
            for name, value in worth.items()
        }
        return weights | _others(seen, sum(weights.values()) or 1.0)

    def _match(
        self, known: Sequence[tuple[float, float]], match: Work, chance: numpy.random.Generator
    ) -> float:
        """Return what a match is expected to gain, by what is lost while the best is not known."""
        import numpy as np

        if len(known) < 2:
            return 0.0
        means = np.array([mean for mean, _ in known])
        draws = means + np.array([dev for _, dev in known]) * chance.standard_normal((_DRAWS, len(known)))
        lost = float((draws.max(axis=1) - draws[:, means.argmax()]).mean())
        shares = np.bincount(draws.argmax(axis=1), minlength=len(known)) / _DRAWS
        needed = self.settle / float((shares * shares).sum())
        return lost / needed * math.exp(-match.under_way / needed)


def _costs(work: Mapping[str, Work]) -> dict[str, float]:
    """Return what a call of each costs: in tokens as far as they are known, by others' where not."""
    known = {name: each.tokens / each.calls for name, each in work.items() if each.calls and each.tokens}
    if not known:
        return dict.fromkeys(work, 1.0)
    kinds: dict[str, list[float]] = {}
    for name, cost in known.items():
        kinds.setdefault(work[name].kind, []).append(cost)
    usual = sum(known.values()) / len(known)
    costs: dict[str, float] = {}
    for name, each in work.items():
        alike = kinds.get(each.kind, [usual])
        costs[name] = known.get(name, _FREE * usual if each.calls else sum(alike) / len(alike))
    return costs


def _told(quality: Quality) -> tuple[float, float] | None:
    """Return what matches alone say of an item, mean and variance: without what is taken for granted."""
    variance = quality.deviation**2
    if not quality.matches or variance > 0.98 * PRIOR:
        return None
    told = 1 / (1 / variance - 1 / PRIOR)
    return quality.mean * told / variance, told


@dataclass(frozen=True, slots=True)
class _Maker:
    """A draw of what a maker makes: a normal distribution, from zero or from the best item so far."""

    mean: float
    deviation: float
    relative: bool

    def gain(self, best: float) -> float:
        """Return by how much one item is expected to be better than the best so far, 0 where it is not."""
        ahead = self.mean - (0.0 if self.relative else best)
        z = ahead / self.deviation
        density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        return self.deviation * density + ahead * 0.5 * math.erfc(-z / math.sqrt(2))


def _tops(seen: Statistics) -> list[float]:
    """Return the quality of the best of the first of all that play, of the first two, and so on."""
    return list(accumulate((quality.mean for quality in seen.known), max)) or [0.0]


def _bars(work: Work, tops: Sequence[float]) -> list[float]:
    """Return the quality of the best item before each that a maker made, as it is known now."""
    last = len(tops)
    return [tops[min(place, last) - 1] if place else 0.0 for place in work.after] or [0.0] * len(work.made)


def _known(seen: Statistics, drawn: Mapping[str, _Maker], tops: Sequence[float]) -> list[tuple[float, float]]:
    """Return mean and deviation of each item that plays, by its matches and by who made it."""
    # What all have in common, matches can't tell, and it is no doubt about who is best.
    common = PRIOR / max(1, len(seen.known))
    if not seen.known and seen.best is not None:
        rest = [each for work in seen.work.values() for each in work.made]
        return [(each.mean, each.deviation) for each in (seen.best, *rest)]
    known = [(each.mean, math.sqrt(max(0.01, each.deviation**2 - common))) for each in seen.known]
    for name, maker in drawn.items():
        work = seen.work[name]
        for quality, place, bar in zip(work.made, work.after, _bars(work, tops), strict=False):
            mean, variance = maker.mean + (bar if maker.relative else 0.0), maker.deviation**2
            if (told := _told(quality)) is not None:
                share = variance / (variance + told[1])
                mean, variance = mean + share * (told[0] - mean), variance * (1 - share)
            if place < len(known):
                known[place] = mean, math.sqrt(variance)
    return known


def _drawn(work: Work, tops: Sequence[float], count: int, chance: numpy.random.Generator) -> list[_Maker]:
    """Draw, so often, what a maker makes, by what is known of its items."""
    import numpy as np

    told = [(*of, bar) for each, bar in zip(work.made, _bars(work, tops), strict=True) if (of := _told(each))]
    every = np.array(told).reshape(-1, 3)
    ways = 2 if work.after else 1
    # Axes: told from zero or from the best before, deviation, item.
    ys = (every[:, 0] - np.array([[0.0], [1.0]])[:ways] * every[:, 2])[:, None, :]
    vs = (every[:, 1] + np.square(_SPREADS)[:, None])[None]
    center, loose = np.array([_FROM_ZERO, _FROM_BEST])[:ways].T[:, :, None]
    sure = 1 / loose + (1 / vs).sum(axis=2)
    mean = (center / loose + (ys / vs).sum(axis=2)) / sure
    misfit = (np.log(vs) + ys * ys / vs).sum(axis=2) + center * center / loose - sure * mean * mean
    evidence = (-0.5 * (misfit + np.log(sure * loose))).ravel()
    shares = np.cumsum(np.exp(evidence - evidence.max()))
    places = np.searchsorted(shares, chance.random(count) * shares[-1]).clip(max=len(shares) - 1)
    means = mean.ravel()[places] + chance.standard_normal(count) / np.sqrt(sure.ravel()[places])
    return [
        _Maker(drawn, _SPREADS[place % len(_SPREADS)], place >= len(_SPREADS))
        for drawn, place in zip(means.tolist(), places.tolist(), strict=True)
    ]


def _others(seen: Statistics, total: float) -> dict[str, float]:
    """Return weights of looks and studies: all that is due is done soon, and not before all else."""
    weights: dict[str, float] = {}
    for name, work in seen.work.items():
        if work.kind == "look":
            weights[name] = total * min(2.0, 4.0 * work.waiting / max(1, seen.playing))
        elif work.kind == "study":
            weights[name] = total * float(work.waiting > 0)
    return weights
