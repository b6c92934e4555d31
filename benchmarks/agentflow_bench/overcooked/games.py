"""Games as trials: which kitchens and partners, who plays, and what is told of a game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow import Context
from agentflow.dual import DualReport
from agentflow_bench.overcooked.kitchen import LAYOUTS
from agentflow_bench.overcooked.modes import Playing
from agentflow_bench.overcooked.partner import PARTNERS, Partner, partner_of
from agentflow_bench.trials import Case, Score, Trials

__all__ = ["SEEDS", "Game", "games", "scenarios"]

SEEDS = tuple(range(10))


@dataclass(frozen=True, slots=True)
class Game:
    """One game: a layout, a partner, a seed."""

    layout: str
    partner: Partner
    seed: int


def scenarios(
    layouts: Sequence[str] = LAYOUTS[:3], partners: Sequence[str] = PARTNERS, seeds: Sequence[int] = SEEDS
) -> list[Game]:
    """Return the games of layouts, partners and seeds. Raises `UserError` for an unknown partner."""
    found = [partner_of(name) for name in partners]
    return [Game(layout, partner, seed) for layout in layouts for partner in found for seed in seeds]


def games(
    playing: Playing, chosen: Sequence[Game], about: dict[str, str], *, wall: bool = False
) -> Trials[Game]:
    """Return trials of games played in one way. `about` says who plays, for the report."""

    async def play(context: Context[object], game: Game) -> Score:
        dual = playing.dual(game.layout, game.partner)
        report = (await context.run(dual, game.seed, key="game")).output
        return _score(report, dual.environment.observe().score)

    return Trials(
        "overcooked",
        about,
        [_case(game) for game in chosen],
        play,
        concurrency=8,
        clock="wall" if wall else "virtual",
    )


def _case(game: Game) -> Case[Game]:
    name = f"{game.layout}/{game.partner.name}/{game.seed}"
    by: dict[str, str | int] = {"scenario": f"{game.layout} {game.partner.name}"}
    return Case(name, game, by)


def _score(report: DualReport, score: int) -> Score:
    calls = sum(slow.calls for slow in report.slow.values())
    applied = sum(slow.applied for slow in report.slow.values())
    return Score(
        right=score > 0,
        figures={"score": score, "calls": calls, "applied": applied, "missed": report.missed},
        fault=None if score else "no soup",
    )
