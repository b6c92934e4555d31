"""What is proved without a model: the ways to play side by side, by a mind that goes by rules.

All but the wall-clock measure run on the virtual clock and find the same figures each time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agentflow import Runtime
from agentflow.errors import UserError
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_bench.overcooked.foresight import foreseen
from agentflow_bench.overcooked.games import SEEDS, Game, games, scenarios
from agentflow_bench.overcooked.imagine import best_role
from agentflow_bench.overcooked.kitchen import LAYOUTS, TICKS, Kitchen
from agentflow_bench.overcooked.macro import Macro, action_of
from agentflow_bench.overcooked.mind import Rules
from agentflow_bench.overcooked.modes import Playing, mode_of
from agentflow_bench.overcooked.partner import PARTNERS, Partner
from agentflow_bench.overcooked.roles import ROLES, next_macro
from agentflow_bench.trials import Row, try_all

__all__ = [
    "FORESIGHT",
    "GUARD",
    "INTERVALS",
    "MODES_COMPARED",
    "SPEED",
    "WALL",
    "WAYS",
    "means",
    "played",
    "playing_of",
]

WAYS = (
    "fsm",
    "block@4",
    "block@12",
    "periodic-block@12",
    "react@12",
    "reflexion@12",
    "dpt-no-tom@12",
    "dpt@12",
    "dpt-no-fsm@12",
    "dual@4",
    "dual@12",
    "dual@40",
)
"""Ways to play, each with the ticks that an answer takes."""

_TWELVE = LAYOUTS[:3]
_SWITCHES = ("dish-onion@200", "onion-dish@200", "idle-dish@200", "dish-idle@200")
_EVERY = (1, 3, 5, 10, 20, 50)


def playing_of(way: str, *, guard: bool = True) -> Playing:
    """Return who plays in a way such as `dual@12`: a mode, and a mind by rule that takes so many ticks."""
    name, _, latency = way.partition("@")
    mode = mode_of(name)
    mind = Rules(float(latency or 12), tom=mode.tom, guard=guard) if mode.thinks else None
    return Playing(mode, mind)


def played(playing: Playing, chosen: Sequence[Game], *, wall: bool = False) -> list[Row]:
    """Return the rows of games, played on the virtual clock or on the wall's. Raises what failed."""
    trials = games(playing, chosen, {"agent": playing.mode.name})

    async def work() -> list[Row]:
        async with Runtime() as runtime:
            return await try_all(trials, runtime)

    rows = run_in(lambda: new_loop("wall" if wall else "virtual"), work())
    for row in rows:
        if row.error is not None:
            raise RuntimeError(f"{row.id}: {row.error}")
    return rows


def means(rows: Sequence[Row]) -> dict[str, float]:
    """Return the mean score of each scenario."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(str(row.by["scenario"]), []).append(float(row.figures["score"] or 0))
    return {name: sum(scores) / len(scores) for name, scores in found.items()}


def _kitchens() -> None:
    """Raise `Skipped` where the package is missing."""
    try:
        Kitchen(LAYOUTS[0], Partner("idle"))
    except UserError as error:
        raise Skipped(str(error)) from None


def _mean(scores: Mapping[str, float], layouts: Sequence[str] = _TWELVE) -> float:
    found = [score for name, score in scores.items() if name.partition(" ")[0] in layouts]
    return sum(found) / len(found)


def _seeds(setting: Setting) -> Sequence[int]:
    return SEEDS[:2] if setting.quick else SEEDS


def _modes(setting: Setting) -> Sequence[Figure]:
    _kitchens()
    chosen = scenarios(LAYOUTS, PARTNERS, _seeds(setting))
    found = {way: means(played(playing_of(way), chosen)) for way in WAYS}
    fsm, dual, dual40 = (found[way] for way in ("fsm", "dual@12", "dual@40"))
    partner = _partner_alone(_seeds(setting))
    gains = (_mean(dual) - partner) / (_mean(found["block@12"]) - partner)
    figures = [
        Figure(
            f"{way}: score", _mean(scores), "", note=f"with the counter circuit {_mean(scores, LAYOUTS):.1f}"
        )
        for way, scores in found.items()
    ]
    figures += [
        Figure(
            "dual@12 / periodic-block@12",
            _mean(dual) / _mean(found["periodic-block@12"]),
            "x",
            Bar(">=", 1.4),
        ),
        Figure(
            "dual@12 / block@12",
            _mean(dual) / _mean(found["block@12"]),
            "x",
            Bar(">=", 3),
            f"the partner alone brings {partner:.1f}; of what ours adds to it, {gains:.2f} x",
        ),
        Figure("dual@12 / fsm", _mean(dual) / _mean(fsm), "x", Bar(">=", 1.15), _bound(setting, fsm)),
        Figure("dual@40 / fsm", _mean(dual40) / _mean(fsm), "x", Bar(">=", 1.0)),
    ]
    for name, score in fsm.items():
        notes = ", ".join(f"{way} {scores[name]:.0f}" for way, scores in found.items())
        figures.append(Figure(f"{name}: dual@12 / fsm", dual[name] / score, "x", Bar(">=", 0.9), notes))
    return figures


def _bound(setting: Setting, fsm: Mapping[str, float]) -> str:
    """Return what the best role of each scenario and side would bring, were it known before the game."""
    best: dict[str, float] = {}
    for game in scenarios(_TWELVE, PARTNERS, _seeds(setting)):
        name = f"{game.layout} {game.partner.name}"
        best[name] = best.get(name, 0.0) + max(_alone(game, role) for role in ROLES)
    bound = sum(best.values()) / len(_seeds(setting)) / len(best)
    return f"the best role of each game, known before it begins, would bring {bound / _mean(fsm):.3f}"


def _partner_alone(seeds: Sequence[int]) -> float:
    """Return the mean score where our cook stands out of the way and does nothing."""
    scores: list[int] = []
    for game in scenarios(_TWELVE, PARTNERS, seeds):
        kitchen = Kitchen(game.layout, game.partner)
        seen = kitchen.reset(game.seed)
        while not kitchen.done:
            seen = kitchen.act(action_of(Macro("wait"), seen, kitchen.floor))
        scores.append(seen.score)
    return sum(scores) / len(scores)


def _alone(game: Game, role: str, ticks: int = TICKS) -> int:
    kitchen = Kitchen(game.layout, game.partner, ticks=ticks)
    seen = kitchen.reset(game.seed)
    while not kitchen.done:
        seen = kitchen.act(action_of(next_macro(seen, kitchen.floor, role), seen, kitchen.floor))
    return seen.score


def _foresight(setting: Setting) -> Sequence[Figure]:
    _kitchens()
    chosen = scenarios(_TWELVE, PARTNERS, SEEDS[:1])
    ticks = TICKS
    if setting.quick:
        chosen, ticks = [Game("asymmetric_advantages", Partner("dish"), 0)], 60
    plain = [_alone(game, "all", ticks) for game in chosen]
    searched = [foreseen(game, ticks) for game in chosen]
    better = sum(max(pair) for pair in zip(plain, searched, strict=True))
    return [
        Figure("search / fsm", sum(searched) / sum(plain), "x", note=f"{len(chosen)} games"),
        Figure("the better of both in each game / fsm", better / sum(plain), "x"),
    ]


def _intervals(setting: Setting) -> Sequence[Figure]:
    _kitchens()
    chosen = scenarios(_TWELVE, PARTNERS, _seeds(setting)[:4])
    figures: list[Figure] = []
    for ticks in _EVERY:
        rows = played(replace(playing_of("dual@4"), ask=ticks), chosen)
        calls = sum(float(row.figures["calls"] or 0) for row in rows) / len(rows)
        figures.append(
            Figure(f"every({ticks}): score", _mean(means(rows)), "", note=f"{calls:.1f} calls a game")
        )
    return figures


def _guard(setting: Setting) -> Sequence[Figure]:
    _kitchens()
    chosen = [game for game in scenarios(LAYOUTS, _SWITCHES, _seeds(setting)) if _fitted(game)]
    figures: list[Figure] = []
    for way, bar in (("dual@12", None), ("dual@40", Bar(">=", 1.1))):
        on = means(played(playing_of(way), chosen))
        off = means(played(playing_of(way, guard=False), chosen))
        note = ", ".join(f"{name} {on[name]:.0f}/{off[name]:.0f}" for name in on)
        figures.append(
            Figure(f"{way}: guard on / off", _mean(on, LAYOUTS) / _mean(off, LAYOUTS), "x", bar, note)
        )
    return figures


def _fitted(game: Game) -> bool:
    """Return whether a role other than the state machine's own fits the partner before it changes."""
    seen = Kitchen(game.layout, game.partner).reset(game.seed)
    return best_role(seen, game.partner.role) != "all"


def _wall(setting: Setting) -> Sequence[Figure]:
    """Play a game on the wall clock: a tick of 25 ms, with all other times scaled by ten."""
    _kitchens()
    tick = 0.025
    mind = Rules(20, heavy=True, tick=tick)
    playing = Playing(mode_of("dual"), mind, tick=tick, ticks=200 if setting.quick else 800)
    chosen = [Game("coordination_ring", Partner("all"), 1)]
    played(replace(playing, ticks=20), chosen, wall=True)  # what is imagined once is imagined now
    row = played(playing, chosen, wall=True)[0]
    return [
        Figure("missed ticks", float(row.figures["missed"] or 0), "", Bar("==", 0), f"of {playing.ticks}"),
        Figure("late decisions", float(row.figures["late"] or 0), "", Bar("==", 0)),
        Figure("decision, p99", float(row.figures["decision p99"] or 0), "ms", Bar("<=", 10)),
        Figure(
            "answers applied", float(row.figures["applied"] or 0), "", note="1 to 40 s each at 250 ms a tick"
        ),
    ]


def _speed(setting: Setting) -> Sequence[Figure]:
    _kitchens()
    began, ticks = time.perf_counter(), 0
    for game in scenarios(_TWELVE, PARTNERS, SEEDS[:2]):
        _alone(game, "all")
        ticks += 400
    return [Figure("kitchen, both cooks", ticks / (time.perf_counter() - began), "ticks/s")]


MODES_COMPARED = Measure(
    "modes",
    "Each way to play beside four partners in each kitchen: the mean score. The bars are on cramped_room,"
    " asymmetric_advantages and coordination_ring; `@12` is an answer that takes 12 ticks.",
    _modes,
)
FORESIGHT = Measure(
    "foresight",
    "What is left to be won beside the state machine: a search that knows the partner, thinks in no time, and"
    " plays each role and macro on in the kitchen itself.",
    _foresight,
)
INTERVALS = Measure("intervals", "dual@4, asked every n ticks.", _intervals)
GUARD = Measure(
    "stale guard",
    "A partner changes its role at tick 200, in all games in which another role than the"
    " state machine's fitted it till then: scores with and without the guard of what it rests on.",
    _guard,
)
WALL = Measure("wall", "A game on the wall clock, in 25 ms ticks: no tick waits for a thought.", _wall)
SPEED = Measure("kitchen", "The kitchen with both cooks by rule, without a runtime.", _speed)
