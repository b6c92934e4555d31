"""Episodes as trials: which kitchens, who plays, and what is told of an episode."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.runtime import Context
from agentflow_bench.robotouille.agents import agent_of
from agentflow_bench.robotouille.chef import plan_actions
from agentflow_bench.robotouille.episode import Episode, House
from agentflow_bench.robotouille.instance import Instance, make_instance
from agentflow_bench.robotouille.original import read_tasks
from agentflow_bench.robotouille.published import published
from agentflow_bench.robotouille.task import SUITES, Task, all_tasks
from agentflow_bench.trials import Case, Score, Trials

__all__ = ["SEEDS", "Playing", "choose", "chosen_from", "episodes"]

SEEDS = tuple(range(42, 421, 42))
"""The seeds of the paper: 42, 84, …, 420."""

NOTE = (
    "`optimality` is steps by the listed length, of successes; `repeated` are moves that were made before in"
    " the same state, and `to go` what the rule-based planner would still need by the listed length, both of"
    " failures; `calls` are requests to the model. The listed length belongs to the kitchen as it is drawn,"
    " is used with every seed, and is not always the shortest."
)


@dataclass(frozen=True, slots=True)
class Playing:
    """Who plays, where, and how many episodes at once. `model` is a name for the report."""

    agent: str
    model: str = ""
    house: House = field(default_factory=House)
    settings: str = ""
    concurrency: int = 500
    virtual: bool = True


def choose(suite: str, tasks: Sequence[str], seeds: Sequence[int | None]) -> list[Instance]:
    """Return kitchens: of the tasks named, or the ten of the suite; a seed None is the task as drawn.

    Raises `UserError` for an unknown suite or task, and for a seed that gives no kitchen.
    """
    known = [task for task in all_tasks(suite) if "." not in task.name]
    chosen = [Task.builtin(suite, name) for name in tasks] if tasks else known
    return [make_instance(task, seed) for task in chosen for seed in seeds]


def chosen_from(path: Path, suite: str, tasks: Sequence[str], seeds: Sequence[int | None]) -> list[Instance]:
    """Return kitchens of the original's task files: one file, or those of a suite in a folder.

    Raises `UserError` as `choose` does, and for a file that is no task.
    """
    found = read_tasks(path)
    known = [task for task in found if task.suite == suite] or found
    for name in tasks:
        if name not in {one for task in known for one in (task.name, task.title)}:
            raise UserError(f"{path}: no task `{name}` (there are {', '.join(task.name for task in known)})")
    chosen = [task for task in known if not tasks or task.name in tasks or task.title in tasks]
    return [make_instance(task, seed) for task in chosen for seed in seeds]


def episodes(playing: Playing, instances: Sequence[Instance], endpoint: Endpoint | None) -> Trials[Instance]:
    """Return trials of the episodes. Without an `endpoint` the agent must need no model."""
    player = agent_of(playing.agent)
    model = endpoint

    async def play(context: Context[object], instance: Instance) -> Score:
        episode = Episode(instance, playing.house)
        episode.ending = await player.play(context, model, episode)  # type: ignore[arg-type]
        to_go = None if episode.done else await asyncio.to_thread(_to_go, episode)
        return _score(episode, context, to_go)

    suites = dict.fromkeys(instance.task.suite for instance in instances)
    about = {
        "suite": "+".join(suites),
        "agent": playing.agent,
        "model": playing.model,
        "house": "+".join(
            [*(["prior"] if playing.house.prior else []), *(["mishaps"] if playing.house.mishaps else [])]
        ),
        "settings": playing.settings,
    }
    return Trials(
        "robotouille",
        about,
        [_case(instance, playing.house.prior) for instance in instances],
        play,
        concurrency=playing.concurrency,
        clock="virtual" if playing.virtual else "wall",
        published=[one for suite in suites for one in published(suite)],
        note=NOTE,
    )


def _case(instance: Instance, prior: str) -> Case[Instance]:
    task = instance.task
    own = task not in all_tasks(task.suite) if task.suite in SUITES else True
    asked = "\n".join([*([repr(task)] if own else []), *([prior] if prior else [])])
    seed = "drawn" if instance.seed is None else str(instance.seed)
    return Case(
        f"{task.suite}/{task.name}/{seed}",
        instance,
        {"task": f"{task.suite} {task.name}", "seed": seed},
        asked,
    )


def _to_go(episode: Episode) -> int | None:
    """Return how many steps the chef would still need, None when it finds no way."""
    try:
        return len(plan_actions(episode.kitchen))
    except UserError:
        return None


def _score(episode: Episode, context: Context[object], to_go: int | None) -> Score:
    right = episode.done
    optimal = episode.optimal
    return Score(
        right,
        {
            "steps": episode.steps,
            "optimality": episode.steps / optimal if right and optimal else None,
            "repeated": None if right else episode.repeated,
            "to go": to_go / optimal if to_go is not None and optimal else None,
            "invalid": episode.invalid,
            "malformed": episode.malformed,
            "calls": context.budget.usage.requests,
        },
        None if right else episode.ending,
        {
            "ending": episode.ending,
            "optimal": optimal,
            "limit": episode.limit,
            "moves": list(episode.moves),
            "mishaps": [list(mishap) for mishap in episode.mishaps],
        },
    )
