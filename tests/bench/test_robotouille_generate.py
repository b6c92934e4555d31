"""Robotouille's kitchens: the same ones as the original's, for every task and seed that was recorded."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.errors import UserError
from agentflow_bench.robotouille.generate import TRIES, generate
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.speed import instance_faults
from agentflow_bench.robotouille.task import Placed, Scene, Task, all_tasks

BESIDE = Path(__file__).parents[3] / "shared/data/robotouille"
SINGLE = [*all_tasks("synchronous"), *all_tasks("asynchronous")]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The recorded kitchens."""
    file = Path(os.environ.get("AGENTFLOW_ROBOTOUILLE", BESIDE)) / "instances.jsonl.gz"
    if not file.exists():
        pytest.skip("no recordings of Robotouille: set AGENTFLOW_ROBOTOUILLE to their folder")
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        return list(opened)


def test_all_recorded_kitchens_come_out(lines: list[str]) -> None:
    """Objects, facts, the seed that was used, the goal and the whole first text."""
    assert len(lines) == 253
    assert [fault for fault in map(instance_faults, lines) if fault] == []


def test_a_seed_gives_the_same_kitchen_each_time() -> None:
    task = Task.builtin("asynchronous", "4")
    assert make_instance(task, 42) == make_instance(task, 42)
    assert make_instance(task, 42).facts != make_instance(task, 84).facts


def test_a_kitchen_without_a_seed_is_the_task_as_it_is_drawn() -> None:
    instance = make_instance(Task.builtin("multi_agent", "2"))
    assert instance.seed_used is None
    assert instance.scene == instance.task.scene
    assert [name for name, type_ in instance.objects if type_ == "player"] == ["robot1", "robot2"]


def test_a_seed_leaves_one_player() -> None:
    instance = make_instance(Task.builtin("multi_agent", "2"), 0)
    assert [name for name, type_ in instance.objects if type_ == "player"] == ["robot1"]


@given(st.sampled_from(SINGLE), st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_every_kitchen_holds_what_its_task_needs(task: Task, seed: int) -> None:
    instance = make_instance(task, seed)
    assert instance.seed_used is not None
    assert instance.seed_used >= seed
    assert Kitchen(instance).valid_actions()
    cells = [(each.x, each.y) for each in instance.scene.stations]
    assert len({*cells}) == len(cells)
    forced = sorted(each.kind for _, each in instance.scene.objects() if each.forced)
    assert forced == sorted(each.kind for _, each in task.scene.objects())
    for name, (ids, objects) in instance.goal.groups.items():
        assert len(objects) >= len(ids), name


def test_the_step_limit_is_one_and_a_half_times_the_listed_length() -> None:
    limits = {task.name: make_instance(task).step_limit for task in all_tasks("asynchronous")}
    assert limits == {
        "0": 32,
        "1": 41,
        "2": 56,
        "3": 63,
        "3.1": None,
        "4": 69,
        "5": 29,
        "6": 63,
        "7": 69,
        "8": 102,
        "9": 123,
    }


def test_a_seed_that_cannot_be_placed_ends_with_an_error() -> None:
    tables = tuple(Placed("table", 0, 0) for _ in range(9))
    scene = Scene(2, 2, tables, (), (Placed("robot", 0, 0, direction=(0, 1)),))
    with pytest.raises(
        UserError, match=f"seed 7 cannot be placed, nor the {TRIES - 1} after it: 2 x 2 cells"
    ):
        generate(scene, 7)
    task = replace(Task.builtin("synchronous", "0"), scene=scene)
    with pytest.raises(UserError, match="9 stations"):
        make_instance(task, 7)


def test_a_kitchen_begins_anew_with_another_seed() -> None:
    kitchen = Kitchen(make_instance(Task.builtin("synchronous", "0")))
    text = kitchen.reset(42)
    assert text == Kitchen(make_instance(Task.builtin("synchronous", "0"), 42)).observe()
    assert kitchen.reset() == text
