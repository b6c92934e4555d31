"""Exactness and speed of the simulator, against recordings and figures of the original."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median

from agentflow.errors import UserError
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_bench.robotouille.instance import Instance, make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.replay import replay
from agentflow_bench.robotouille.task import SUITES, Task, all_tasks

__all__ = ["INSTANCES", "REPLAYED", "SPEED", "Pace", "instance_faults", "original_speed", "pace"]

_SEED = 42
# Steps a second of the original with its whole text, as it was measured: by task and seed.
_MEASURED = {
    ("synchronous/0", None): 455.0,
    ("synchronous/0", _SEED): 115.0,
    ("asynchronous/4", None): 139.0,
    ("asynchronous/4", _SEED): 75.0,
    ("asynchronous/9", None): 11.0,
    ("asynchronous/9", _SEED): 8.8,
}
# For the others: seconds a step by objects, a curve that lies a little below each of these where the time of
# the goal is taken off. That time, up to seconds a step, is left out: the original is called too fast.
_SECONDS, _OBJECTS, _POWER = 0.0017, 8, 2.25


@dataclass(frozen=True, slots=True)
class Pace:
    """Steps a second in a new kitchen that remembers nothing: with the whole text, and without.

    `short` is with the text as well, for 100 steps and the making of the kitchen.
    """

    text: float
    demand: float
    short: float


def original_speed(instance: Instance) -> tuple[float, bool]:
    """Return the original's steps a second with text, and whether that was measured or is reckoned."""
    measured = _MEASURED.get((f"{instance.task.suite}/{instance.task.name}", instance.seed))
    if measured is not None:
        return measured, True
    return 1 / (_SECONDS * (len(instance.objects) / _OBJECTS) ** _POWER), False


def pace(instance: Instance, steps: int, repeats: int = 3) -> Pace:
    """Return how fast a kitchen is along a random walk of so many steps: medians of `repeats`."""
    walk = _walk(instance, steps)

    def rate(some: Sequence[tuple[str, dict[str, str]]], text: bool, making: bool) -> float:
        return median(len(some) / _seconds(instance, some, text, making) for _ in range(repeats))

    return Pace(rate(walk, True, False), rate(walk, False, False), rate(walk[:100], True, True))


def _walk(instance: Instance, steps: int) -> list[tuple[str, dict[str, str]]]:
    kitchen, draw = Kitchen(instance), random.Random(1)
    walk: list[tuple[str, dict[str, str]]] = []
    for _ in range(steps):
        if kitchen.done:
            kitchen.reset()
        action = draw.choice(kitchen.valid_actions())
        walk.append((action.name, dict(action.arguments)))
        kitchen.step(action)
    return walk


def _seconds(
    instance: Instance, walk: Sequence[tuple[str, dict[str, str]]], text: bool, making: bool
) -> float:
    """Return what a walk takes, without looking up the next action by the names of its objects."""
    began = time.perf_counter()
    kitchen = Kitchen(instance)
    seconds = time.perf_counter() - began if making else 0.0
    for name, objects in walk:
        if kitchen.done:
            kitchen.reset()
        action = kitchen.action(name, **objects)
        began = time.perf_counter()
        kitchen.step(action)
        if text:
            kitchen.observe()
        else:
            kitchen.valid_actions()
        seconds += time.perf_counter() - began
    return seconds


def _speed(setting: Setting) -> Sequence[Figure]:
    steps = 200 if setting.quick else 1000
    figures: list[Figure] = []
    with_text: list[float] = []
    on_demand: list[float] = []
    short: list[float] = []
    for suite in ("synchronous", "asynchronous"):
        for task in all_tasks(suite):
            if task.optimal_steps is None:
                continue
            for seed in (None, _SEED) if (f"{suite}/{task.name}", None) in _MEASURED else (_SEED,):
                instance = make_instance(task, seed)
                found, (theirs, measured) = pace(instance, steps), original_speed(instance)
                on_demand.append(found.demand / theirs)
                if seed is not None:
                    with_text.append(found.text / theirs)
                    short.append(found.short / theirs)
                note = (
                    f"{found.text / theirs:,.0f} x the original's {theirs:,.3g} "
                    f"({'measured' if measured else 'reckoned'}); text on demand {found.demand:,.0f}"
                )
                name = f"{suite} {task.name}, {'no seed' if seed is None else f'seed {seed}'}"
                figures.append(Figure(name, round(found.text), "steps/s", note=note))
    mean = round(geometric_mean(with_text))
    last = round(with_text[-1])
    return [
        Figure("with text, mean of 20 tasks", mean, "x", Bar(">=", 50), "geometric, seed 42"),
        Figure("with text, asynchronous 9", last, "x", Bar(">=", 300), "seed 42; measured on both sides"),
        Figure("text on demand, least", round(min(on_demand)), "x", Bar(">=", 100), "of all rows below"),
        Figure(
            "with text, 100 steps",
            round(geometric_mean(short)),
            "x",
            note="geometric mean, making the kitchen included",
        ),
        *figures,
    ]


def _replayed(setting: Setting) -> Sequence[Figure]:
    data = _data(setting, "traces.jsonl.gz")
    began = time.perf_counter()
    found = replay(data / "traces.jsonl.gz", data, every=10 if setting.quick else 1)
    seconds = time.perf_counter() - began
    first = str(found.differences[0]) if found.differences else ""
    return [
        Figure("traces", found.traces),
        Figure("steps", found.steps),
        Figure("steps that differ", len(found.differences), bar=Bar("==", 0), note=first),
        Figure("seconds", round(seconds, 1), "s"),
    ]


def _instances(setting: Setting) -> Sequence[Figure]:
    data = _data(setting, "instances.jsonl.gz")
    with gzip.open(data / "instances.jsonl.gz", "rt", encoding="utf-8") as file:
        faults = [instance_faults(line) for line in file]
    wrong = [fault for fault in faults if fault]
    return [
        Figure("instances", len(faults)),
        Figure("instances that differ", len(wrong), bar=Bar("==", 0), note=wrong[0] if wrong else ""),
    ]


def instance_faults(line: str) -> str:
    """Return in what a recorded instance differs from the one that is made here; nothing when it is equal.

    Compared are seed, objects, facts, goal, step limit and the whole first text.
    """
    record = json.loads(line)
    suite, _, title = record["task"].partition("/")
    instance = make_instance(Task.builtin(suite, title), record["seed"])
    objects: dict[str, list[str]] = {}
    for name, type_ in instance.objects:
        objects.setdefault(type_, []).append(name)
    literals = [
        [predicate, *(term if isinstance(term, str) else f"${term[0]}:{term[1]}" for term in terms)]
        for predicate, terms in instance.goal.literals
    ]
    groups = {
        kind: {"ids": [*ids], "objects": [*candidates]}
        for kind, (ids, candidates) in instance.goal.groups.items()
    }
    found = {
        "seed_used": instance.seed_used,
        "objects": objects,
        "initial_true": sorted([*fact] for fact in instance.facts),
        "goal_description": instance.task.goal_text,
        "observation": Kitchen(instance).observe(),
    }
    if record["seed"] is None:
        found |= {"optimal_steps": instance.task.optimal_steps, "step_limit": instance.step_limit}
    wrong = [name for name, value in found.items() if value != record[name]]
    goal = {"literals": literals, "groups": groups, "n_conjunctions": instance.goal.choices}
    wrong += [f"goal.{name}" for name, value in goal.items() if value != record["goal"][name]]
    return f"{instance.name}: {', '.join(wrong)}" if wrong else ""


def _data(setting: Setting, file: str) -> Path:
    if setting.data is None:
        raise Skipped("no recordings: --data FOLDER or AGENTFLOW_ROBOTOUILLE names their folder")
    if not (setting.data / file).is_file():
        raise UserError(f"{setting.data}: no {file} there")
    return setting.data


REPLAYED = Measure("replayed", "Walks recorded in the original, step by step.", _replayed)
INSTANCES = Measure("instances", "Kitchens of all tasks and seeds, with their first text.", _instances)
SPEED = Measure(
    "speed", f"Steps a second over random walks, beside the original ({', '.join(SUITES[:2])}).", _speed
)
