"""`agentflow bench overcooked --agent …`: games played in several ways, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.errors import UserError
from agentflow_bench.overcooked.games import Game, games, scenarios
from agentflow_bench.overcooked.kitchen import LAYOUTS, floor_of
from agentflow_bench.overcooked.mind import Mind, Rules
from agentflow_bench.overcooked.model import Asking
from agentflow_bench.overcooked.modes import MODES, Mode, Playing, mode_of
from agentflow_bench.overcooked.partner import PARTNERS
from agentflow_bench.trials import Trials, run_trials
from agentflow_bench.trials.asked import AskedModel
from agentflow_bench.trials.run import Keeping

__all__ = ["TURNS", "Wish", "play", "trials_of"]

TURNS = 3
"""How many of its last answers `react` and `reflexion` tell a model."""

_LONGEST = 120.0  # seconds of one answer on the wall clock


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be played, by whom, and how time goes."""

    agents: Sequence[str] = ("dual",)
    models: Sequence[AskedModel] = ()
    layouts: Sequence[str] = LAYOUTS[:3]
    partners: Sequence[str] = PARTNERS
    seeds: int = 10
    latency: float | None = None
    per_tick: float | None = None
    every: int = 20
    rules: bool = False


def play(wish: Wish, keeping: Keeping, *, as_data: bool = False) -> int:
    """Play, write and print what came of it, and return the exit status. Raises `UserError`.

    The state machine alone is always among those who play: nothing is worth much that it beats.
    """
    return run_trials(trials_of(wish), keeping, as_data=as_data, where="layouts: the package overcooked")


def trials_of(wish: Wish) -> list[Trials[Game]]:
    """Return the trials of a wish. Raises `UserError`."""
    if wish.seeds < 1 or wish.every < 1:
        raise UserError("--seeds and --every must be 1 or more")
    if wish.latency is not None and not 0 <= wish.latency < float("inf"):
        raise UserError(f"--latency is ticks, 0 or more, not {wish.latency:g}")
    if wish.per_tick is not None and not 0 < wish.per_tick < float("inf"):
        raise UserError(f"--tokens-per-tick must be above 0, not {wish.per_tick:g}")
    if wish.latency is not None and wish.per_tick is not None:
        raise UserError("--latency and --tokens-per-tick both say how long an answer takes: give one")
    if wish.rules and not wish.models:
        raise UserError("--rules needs a model that writes them: --model openai:NAME")
    for layout in wish.layouts:
        floor_of(layout)
    chosen = scenarios(wish.layouts, wish.partners, range(wish.seeds))
    names = list(MODES) if "all" in wish.agents else list(dict.fromkeys(["fsm", *wish.agents]))
    found: list[Trials[Game]] = []
    for mode in (mode_of(name) for name in names):
        if not mode.thinks:
            found.append(games(Playing(mode), chosen, {"agent": mode.name, "model": "", "time": ""}))
        elif wish.models:
            found += [_asked(wish, mode, model, chosen) for model in wish.models]
        else:
            latency = 12 if wish.latency is None else wish.latency
            if wish.per_tick is not None:
                raise UserError("--tokens-per-tick needs a model that writes tokens: --model openai:NAME")
            mind = Rules(latency, tom=mode.tom)
            found.append(_trials(wish, mode, mind, chosen, f"{latency:g} ticks", wall=False))
    return found


def _asked(wish: Wish, mode: Mode, model: AskedModel, chosen: Sequence[Game]) -> Trials[Game]:
    """Return the trials of a model: on the virtual clock where its time is told in ticks."""
    latency = 12.0 if wish.latency is None and wish.per_tick is None and model.free else wish.latency
    turns = TURNS if mode.name in ("react", "reflexion") else 0
    mind = Asking(
        model.endpoint(),
        mode.tom,
        wish.rules,
        latency,
        wish.per_tick,
        turns=turns,
    )
    told = (
        f"{wish.per_tick:g} tokens a tick"
        if wish.per_tick
        else ""
        if latency is None
        else f"{latency:g} ticks"
    )
    wall = latency is None and wish.per_tick is None
    return _trials(wish, mode, mind, chosen, told or "wall clock", wall=wall, one=model.scripted)


def _trials(
    wish: Wish, mode: Mode, mind: Mind, chosen: Sequence[Game], time: str, *, wall: bool, one: bool = False
) -> Trials[Game]:
    others = [f"every {wish.every}"] if wish.every != 20 else []
    about = {"agent": mode.name, "model": mind.name, "time": " ".join([time, *others])}
    if wish.rules:
        about["form"] = "rules"
    playing = Playing(mode, mind, ask=wish.every, rules=wish.rules, timeout=_LONGEST if wall else None)
    return games(playing, chosen, about, wall=wall, concurrency=1 if one else 8)
