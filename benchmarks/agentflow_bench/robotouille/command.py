"""`agentflow bench robotouille`: agents that play; traces that are replayed; episodes to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow_bench.robotouille.agents import AGENTS, agent_of
from agentflow_bench.robotouille.episode import House
from agentflow_bench.robotouille.episodes import SEEDS, Playing, choose, chosen_from, episodes
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.oracle import oracle
from agentflow_bench.trials import run_trials
from agentflow_bench.trials.asked import AskedModel
from agentflow_bench.trials.run import Keeping

__all__ = ["TEMPERATURE", "Wish", "agents_text", "play", "read_seeds"]

TEMPERATURE = 0.7
"""The paper's."""

_SEEDS = 10_000  # the most at once
_DIGITS = 100  # of a seed


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be played: lists as the command's options say them."""

    suites: Sequence[str] = ("asynchronous",)
    tasks: Sequence[str] = ()
    seeds: str | None = None
    task_files: Path | None = None
    agents: Sequence[str] = ("planner",)
    models: Sequence[AskedModel] = ()
    prior: Path | None = None
    mishaps: bool = False
    concurrency: int = 200
    count: int | None = None


def play(wish: Wish, keeping: Keeping, *, as_data: bool = False) -> int:
    """Play every agent with every model in every suite, write and print what came of it.

    Each has a journal of its own and goes on where it was. Return the exit status. Raises `UserError`.
    """
    if wish.concurrency < 1:
        raise UserError(f"--concurrency must be 1 or more, not {wish.concurrency}")
    house = House(_text(wish.prior), wish.mishaps)
    trials = []
    for suite in wish.suites:
        instances = _instances(wish, suite)
        for name in wish.agents:
            player = agent_of(name)
            if not player.needs_model:
                trials.append(
                    episodes(Playing(name, house=house, concurrency=wish.concurrency), instances, None)
                )
                continue
            if not wish.models:
                raise UserError(f"agent {name} needs a model: --model openai:NAME, or oracle for a dry run")
            for model in wish.models:
                playing = Playing(
                    name,
                    model.name,
                    house,
                    model.other_than(TEMPERATURE),
                    1 if model.scripted else wish.concurrency,
                    virtual=model.free or model.name == "oracle",
                )
                trials.append(episodes(playing, instances, _endpoint(model, instances)))
    where = "the project's own tables" if wish.task_files is None else wish.task_files.name
    return run_trials(trials, keeping, as_data=as_data, where=f"tasks: {where}")


def _instances(wish: Wish, suite: str) -> list[Instance]:
    if wish.count is not None and wish.count < 1:
        raise UserError(f"--n must be 1 or more, not {wish.count}")
    seeds = list(SEEDS) if wish.seeds is None else read_seeds(wish.seeds)
    seeds = seeds[: wish.count]  # each task has all of them; so many episodes need no more
    if wish.task_files is not None:
        found = chosen_from(wish.task_files, suite, wish.tasks, seeds)
    else:
        found = choose(suite, wish.tasks, seeds)
    return found[: wish.count]


def _endpoint(model: AskedModel, instances: Sequence[Instance]) -> Endpoint:
    return oracle(instances) if model.name == "oracle" else model.endpoint()


def _text(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--prior {file}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None


def read_seeds(text: str) -> list[int | None]:
    """Return the seeds of a list such as `42,84`; `none` is the task as it is drawn, `1-50` a range.

    Raises `UserError`.
    """
    seeds: list[int | None] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        if part == "none":
            seeds.append(None)
        elif not _is_seed(first) or (dash and not (_is_seed(last) and int(first) <= int(last))):
            raise UserError(f"--seeds {part[:40]}: a number from 0, a range such as 1-50, or none")
        else:
            seeds += range(int(first), min(int(last or first), int(first) + _SEEDS) + 1)
        if len(seeds) > _SEEDS:
            raise UserError(f"--seeds {text[:40]}: more than {_SEEDS:,} seeds")
    if not seeds:
        raise UserError("--seeds is empty: 42,84, a range such as 1-50, or none for the tasks as drawn")
    return list(dict.fromkeys(seeds))


def _is_seed(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def agents_text() -> str:
    """Return the agents there are, a line each."""
    width = max(map(len, AGENTS))
    return "\n".join(f"{name:<{width}}  {what}" for name, (what, _) in AGENTS.items())
