"""Robotouille's tables beside the original's files, and what is said of a file with a fault."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agentflow.errors import UserError
from agentflow_bench.robotouille.domain import Domain
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.original import read_tasks
from agentflow_bench.robotouille.task import SUITES, Task, all_tasks

EVERY = [task for suite in SUITES for task in all_tasks(suite)]
BESIDE = Path(__file__).parents[3] / "shared/data/robotouille"


@pytest.fixture(scope="module")
def data() -> Path:
    """The original's files."""
    path = Path(os.environ.get("AGENTFLOW_ROBOTOUILLE", BESIDE))
    if not path.exists():
        pytest.skip("no recordings of Robotouille: set AGENTFLOW_ROBOTOUILLE to their folder")
    return path


def test_the_tables_say_what_the_original_says(data: Path) -> None:
    assert Domain.load(data / "domain.json") == Domain.builtin()


def test_the_tasks_are_those_of_the_original(data: Path) -> None:
    tasks = {task.id: task for task in read_tasks(data / "tasks")}
    assert tasks == {task.id: task for task in EVERY}
    assert [len(all_tasks(suite)) for suite in SUITES] == [10, 11, 11]


TASK = {
    "width": 3,
    "height": 3,
    "stations": [{"name": "table", "x": 0, "y": 1}, {"name": "stove", "x": 2, "y": 1}],
    "items": [{"name": "patty", "x": 0, "y": 1, "stack-level": 0, "predicates": ["iscookable"]}],
    "players": [{"name": "robot", "x": 0, "y": 0, "direction": [0, 1]}],
    "goal_description": "Cook the patty",
    "goal": [{"predicate": "iscooked", "args": ["patty"], "ids": [1]}],
}


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(TASK))
    kitchen = Kitchen(make_instance(Task.load(tmp_path / "mine.json")))
    for text in (
        "Pick up patty1 from table1 using robot1",
        "Move robot1 from table1 to stove1",
        "Place patty1 on stove1 using robot1",
        "Cook patty1 on stove1 using robot1",
        *["Do nothing"] * 3,
    ):
        kitchen.act(*kitchen.by_text(text))
    assert kitchen.done
    assert kitchen.instance.step_limit is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"width": 0}, "width: input should be greater than or equal to 1"),
        ({"goal": []}, "goal: list should have at least 1 item"),
        ({"players": [{"name": "robot", "x": 0, "y": 0}]}, "players[0]: `direction` is missing"),
        ({"items": [{"name": "patty", "x": 9, "y": 1}]}, "items[0]: the cell 9,1 is outside of 3 x 3 cells"),
        ({"items": [{"name": "paty", "x": 0, "y": 1}]}, "no item `paty` (did you mean `patty`?)"),
        ({"items": [{"name": "patty", "x": "0", "y": 1}]}, "items[0].x: input should be a valid integer"),
        ({"items": [{"x": 0, "y": 1}]}, "items[0].name: it is missing"),
        (
            {"items": [{"name": "patty", "x": 0, "y": 1, "predicates": ["iscookabel"]}]},
            "no predicate `iscookabel` (did you mean `iscookable`?)",
        ),
        ({"goal": [{"predicate": "iscooked", "args": ["patty"], "ids": []}]}, "goal[0]: 1 args and 0 ids"),
        ({"goal": [{"predicate": "iscooked", "args": ["patty"], "ids": ["a"]}]}, "the goal names `a`"),
        ({"goal": [{"predicate": "atop", "args": ["patty"], "ids": [1]}]}, "`atop` in the goal is about 2"),
    ],
)
def test_a_task_file_with_a_fault(tmp_path: Path, change: dict[str, object], fault: str) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**TASK, **change}))
    with pytest.raises(UserError) as caught:
        Task.load(file)
    assert str(caught.value).startswith(str(file))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", ":1:2: "),
        ("[]", "the file: "),
        ("\xff", "no JSON in UTF-8"),
        ("[" * 100_000, "no JSON in UTF-8"),
    ],
)
def test_a_file_that_is_no_task(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        Task.load(file)
    assert fault in str(caught.value)


def test_a_folder_without_tasks_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.json file there"):
        read_tasks(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_tasks(tmp_path / "mine.json")


LITERAL = {"predicate": "ison", "params": ["s1"], "is_true": True}
ACTION = {
    "name": "switch-on",
    "language_description": "Switch on {s1}",
    "precons": [{**LITERAL, "is_true": False}],
    "immediate_fx": [LITERAL],
    "sfx": [],
}
DOMAIN = {
    "object_types": ["station"],
    "predicate_defs": [
        {"name": "ison", "param_types": ["station"], "language_descriptors": {"0": "{0} is on"}}
    ],
    "action_defs": [ACTION],
}


def test_a_domain_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "domain.json"
    file.write_text(json.dumps(DOMAIN))
    domain = Domain.load(file)
    assert [rule.name for rule in domain.actions] == ["switch-on"]
    assert domain.actions[0].parameters == (("s1", "station"),)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"precons": [{**LITERAL, "predicate": "isom"}]}, "switch-on: no predicate `isom`"),
        ({"precons": [{**LITERAL, "params": []}]}, "switch-on: `ison` is about 1 objects"),
        ({"language_description": "Switch on {s2}"}, "the text `Switch on {s2}` cannot be filled: 's2'"),
        (
            {"sfx": [{"type": "delayed", "param": "i1", "fx": [], "sfx": []}]},
            "an effect speaks of `i1`, which is no parameter",
        ),
        (
            {"sfx": [{"type": "late", "param": "s1", "fx": [], "sfx": []}]},
            "action_defs[0].sfx[0].type: input should be 'delayed', 'repetitive'",
        ),
    ],
)
def test_a_domain_with_a_fault(tmp_path: Path, change: dict[str, object], fault: str) -> None:
    file = tmp_path / "domain.json"
    file.write_text(json.dumps({**DOMAIN, "action_defs": [{**ACTION, **change}]}))
    with pytest.raises(UserError) as caught:
        Domain.load(file)
    assert fault in str(caught.value)
