"""Games as trials: which kitchens and partners, who plays, and what is told of a game."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentflow import Context
from agentflow.dual import DualReport, GuardedPolicy, MontySandbox
from agentflow_bench.overcooked.fast import allowed
from agentflow_bench.overcooked.kitchen import LAYOUTS, Kitchen
from agentflow_bench.overcooked.modes import Playing
from agentflow_bench.overcooked.partner import PARTNERS, Partner, partner_of
from agentflow_bench.trials import Case, Score, Trials

__all__ = ["LETTERS", "SEEDS", "Game", "games", "scenarios"]

SEEDS = tuple(range(10))
LETTERS = {"up": "u", "down": "d", "left": "l", "right": "r", "stay": ".", "interact": "x"}
"""How a row writes what our cook did."""


_NOTE = (
    "`score` is 20 a soup in 400 ticks of a quarter of a second; `calls` are questions to what thinks,"
    " `applied` answers that were used. Right is a game in which a soup was served at all."
)


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
    playing: Playing,
    chosen: Sequence[Game],
    about: dict[str, str],
    *,
    wall: bool = False,
    concurrency: int = 8,
) -> Trials[Game]:
    """Return trials of games played in one way. `about` says who plays, for the report."""

    async def play(context: Context[object], game: Game) -> Score:
        kitchen = Kitchen(game.layout, game.partner, ticks=playing.ticks)
        async with _policy(playing) as policy:
            report = (await context.run(playing.dual(kitchen, policy), game.seed, key="game")).output
        return _score(report, kitchen)

    return Trials(
        "overcooked",
        about,
        [_case(game) for game in chosen],
        play,
        concurrency=concurrency,
        clock="wall" if wall else "virtual",
        units={"decision p99": "ms"},
        note=_NOTE,
    )


@asynccontextmanager
async def _policy(playing: Playing) -> AsyncIterator[GuardedPolicy | None]:
    """Give a guarded policy in a sandbox of its own, or None where nobody writes rules."""
    if not playing.rules:
        yield None
        return
    async with MontySandbox(max_processes=3) as sandbox:
        async with GuardedPolicy(sandbox, allowed=allowed) as policy:
            yield policy


def _case(game: Game) -> Case[Game]:
    name = f"{game.layout}/{game.partner.name}/{game.seed}"
    by: dict[str, str | int] = {"scenario": f"{game.layout} {game.partner.name}"}
    return Case(name, game, by)


def _score(report: DualReport, kitchen: Kitchen) -> Score:
    score = kitchen.observe().score
    calls = sum(slow.calls for slow in report.slow.values())
    applied = sum(slow.applied for slow in report.slow.values())
    return Score(
        right=score > 0,
        figures={
            "score": score,
            "calls": calls,
            "applied": applied,
            "missed": report.missed,
            "late": report.late,
            "decision p99": report.decision_ms.get("p99"),
        },
        fault=None if score else "no soup",
        detail={"moves": "".join(LETTERS[move] for move in kitchen.moves)},
    )
