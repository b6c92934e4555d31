"""What the chef is worth: the tests it passes, and its steps over the best that are known."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agentflow.errors import UserError
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.robotouille.chef.plan import plan_actions
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.task import Task, all_tasks

__all__ = ["CHEF", "SEEDS", "SUITES", "Meal", "chef_figures", "cook_all", "judged", "read_best", "tested"]

SUITES: Final = ("synchronous", "asynchronous")
SEEDS: Final = tuple(range(42, 421, 42))
_MISSED: Final = 0.01  # of the tests may be missed


@dataclass(frozen=True, slots=True)
class Meal:
    """One test: the steps of the plan (None: no plan), the limit, and the processor seconds of planning."""

    suite: str
    task: str
    seed: int
    steps: int | None
    limit: int | None
    seconds: float

    @property
    def solved(self) -> bool:
        """Whether there is a plan within the limit."""
        return self.steps is not None and (self.limit is None or self.steps <= self.limit)


def chef_figures(setting: Setting) -> list[Figure]:
    """Return how many of the 200 tests are solved, and the steps over the best known ones in each suite.

    Needs the folder of the reference data for the second alone. With `quick` the first task of each suite.
    """
    tasks = [task for suite in SUITES for task in tested(suite)]
    if setting.quick:
        tasks = [task for task in tasks if task.name == "0"]
    return judged(list(cook_all(tasks)), None if setting.data is None else read_best(setting.data))


def tested(suite: str) -> list[Task]:
    """Return the ten tasks of a suite that tests are made from; a further one has a name with a dot."""
    return [task for task in all_tasks(suite) if task.name.isdigit()]


def cook_all(tasks: Sequence[Task]) -> Iterator[Meal]:
    """Plan each task's ten tests, each plan being tried out in the simulator."""
    for task in tasks:
        for seed in SEEDS:
            instance = make_instance(task, seed)
            kitchen = Kitchen(instance)
            began = time.process_time()
            try:
                steps = len(plan_actions(kitchen))
            except UserError:
                steps = None
            seconds = time.process_time() - began
            yield Meal(task.suite, task.id, seed, steps, instance.step_limit, seconds)


def judged(meals: Sequence[Meal], best: Mapping[tuple[str, int], int] | None) -> list[Figure]:
    """Return the figures of tests, against the best steps known by task and seed where there are some."""
    solved = sum(meal.solved for meal in meals)
    least = round(len(meals) * (1 - _MISSED))
    figures = [Figure("tests solved", solved, f"of {len(meals)}", Bar(">=", least))]
    for suite in SUITES:
        of_suite = [meal for meal in meals if meal.suite == suite and meal.steps is not None]
        if not of_suite:
            continue
        count = sum(meal.solved for meal in of_suite)
        figures.append(Figure(f"{suite}: solved", count, f"of {sum(m.suite == suite for m in meals)}"))
        known = [] if best is None else [meal for meal in of_suite if (meal.task, meal.seed) in best]
        if best is None or not known:
            why = "no best known steps: give --data FOLDER or set AGENTFLOW_ROBOTOUILLE"
            mean = sum(meal.steps or 0 for meal in of_suite) / len(of_suite)
            figures.append(Figure(f"{suite}: steps, mean", mean, note=why))
            continue
        ratios = [(meal.steps or 0) / best[meal.task, meal.seed] for meal in known]
        mean, note = sum(ratios) / len(ratios), f"worst {max(ratios):.3f}, {len(ratios)} tests"
        figures.append(Figure(f"{suite}: steps / best known, mean", mean, "x", Bar("<=", 1.2), note))
    seconds = [meal.seconds for meal in meals]
    figures.append(Figure("processor time of a plan, mean", sum(seconds) / len(seconds), "s"))
    figures.append(Figure("processor time of a plan, most", max(seconds), "s"))
    return figures


def read_best(folder: Path) -> dict[tuple[str, int], int]:
    """Return the best steps known by task and seed. Raises `UserError` for a file that is not the data's."""
    file = folder / "instances.jsonl.gz"
    best: dict[tuple[str, int], int] = {}
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["seed"] is not None and row["best_known_steps"] is not None:
                    best[row["task"], row["seed"]] = row["best_known_steps"]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: no instances of Robotouille ({error})") from error
    return best


CHEF = Measure("chef", "The rule-based planner on the 200 kitchens of the benchmark.", chef_figures)
