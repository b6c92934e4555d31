"""Robotouille replayed: walks recorded in the original, step by step, and files that are no such thing."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentflow.errors import UserError
from agentflow_bench.measure import Setting, Skipped
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.replay import observation_hash, replay, replay_command, valid_hash
from agentflow_bench.robotouille.speed import INSTANCES, REPLAYED, SPEED, original_speed, pace
from agentflow_bench.robotouille.task import Task

BESIDE = Path(__file__).parents[3] / "shared/data/robotouille"


@pytest.fixture(scope="module")
def data() -> Path:
    """The recordings."""
    path = Path(os.environ.get("AGENTFLOW_ROBOTOUILLE", BESIDE))
    if not path.exists():
        pytest.skip("no recordings of Robotouille: set AGENTFLOW_ROBOTOUILLE to their folder")
    return path


def recorded() -> dict[str, Any]:
    """Return a trace as the original's are, recorded here: bread is taken, then nothing is done."""
    kitchen = Kitchen(make_instance(Task.builtin("synchronous", "0")))
    steps = []
    for name, objects in (("pick-up-item", {"i1": "bread1", "p1": "robot1", "s1": "table1"}), ("wait", {})):
        choice, before = kitchen.choice(), kitchen.snapshot()
        kitchen.step(kitchen.action(name, **objects))
        added, removed = kitchen.changes(before)
        steps.append(
            {
                "player": "robot1",
                "action": [name, objects],
                "n_valid": len(choice.actions),
                "valid_hash": valid_hash(choice),
                "true_added": added,
                "true_removed": removed,
                "n_effects": 0,
                "done": False,
            }
        )
    steps[-1] |= {"true": kitchen.facts(), "obs_hash": observation_hash(kitchen.observe())}
    task, seed = "synchronous/0_cheese_sandwich", None
    return {"trace": f"{task}:None:own", "task": task, "seed": seed, "n_steps": 2, "steps": steps}


def written(folder: Path, *traces: object) -> Path:
    file = folder / "traces.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as opened:
        opened.writelines(f"{trace if isinstance(trace, str) else json.dumps(trace)}\n" for trace in traces)
    return file


def test_a_sample_of_the_walks_agrees(data: Path) -> None:
    found = replay(data / "traces.jsonl.gz", every=12)
    assert found.differences == []
    assert found.traces == 45


@pytest.mark.slow
def test_all_walks_agree(
    data: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    if "slow" not in request.config.getoption("markexpr"):
        pytest.skip("-m slow asks for all walks; so does the suite of make bench")
    assert replay_command(data / "traces.jsonl.gz", data) == 0
    assert capsys.readouterr().out == "533 traces, 39156 steps, 0 differences\n"


def test_a_file_that_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay_command(written(tmp_path, recorded(), recorded())) == 0
    assert capsys.readouterr().out == "2 traces, 4 steps, 0 differences\n"


def changed(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda trace: trace["steps"][1].update(changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (changed(player="robot2"), "step 1, player: expected robot2, found robot1"),
        (changed(n_valid=9), "step 1, n_valid: expected 9, found 5"),
        (changed(valid_hash="0" * 16), "step 1, valid_hash: expected 0000000000000000, found "),
        (changed(true_added=[["vacant", "table1"]]), "true_added: expected [['vacant', 'table1']], found []"),
        (changed(true_removed=[["nothing", "robot1"]]), "true_removed: expected [['nothing', 'robot1']]"),
        (changed(n_effects=1), "step 1, n_effects: expected 1, found 0"),
        (changed(done=True), "step 1, done: expected True, found False"),
        (changed(obs_hash="f" * 16), "step 1, obs_hash: expected ffffffffffffffff, found "),
        (
            changed(action=["mov", {}]),
            "action: expected a valid one, found no action `mov` (did you mean `move`?)",
        ),
        (
            changed(action=["place-item", {"p1": "robot1", "i1": "bread1", "s1": "table2"}]),
            "action: expected a valid one, found `Place bread1 on table2 using robot1` is not valid now",
        ),
        (
            lambda trace: trace["steps"][1]["true"].pop(),
            "step 1, true: expected [], found [['vacant', 'table4']]",
        ),
        (lambda trace: trace.update(n_steps=3), "step 0, n_steps: expected 3, found 2"),
    ],
)
def test_what_differs_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None], told: str
) -> None:
    trace = json.loads(json.dumps(recorded()))
    change(trace)
    assert replay_command(written(tmp_path, trace)) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("synchronous/0_cheese_sandwich:None:own, step ")
    assert told in first
    assert last == "1 traces, 2 steps, 1 differences"


def test_of_many_differences_some_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = recorded() | {"n_steps": 3}
    assert replay_command(written(tmp_path, *[trace] * 12)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12
    assert lines[-2:] == ["… and 2 more", "12 traces, 24 steps, 12 differences"]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ([], "there is no trace in it"),
        (["{"], ":1: invalid JSON"),
        ([recorded, "[]"], ":2: input should be an object"),
        ([recorded, ""], None),
        ([lambda: recorded() | {"steps": [{}]}], ":1: steps.0.player: field required"),
        ([lambda: recorded() | {"task": "synchronous/10"}], ":1: no task `10` in synchronous"),
        ([lambda: recorded() | {"task": "sync/1"}], ":1: no suite `sync`"),
        ([lambda: recorded() | {"seed": "x"}], ":1: seed: input should be a valid integer"),
    ],
)
def test_a_file_that_is_no_trace_file(tmp_path: Path, lines: list[Any], fault: str | None) -> None:
    file = written(tmp_path, *(line() if callable(line) else line for line in lines))
    if fault is None:
        assert replay(file).traces == 1
        return
    with pytest.raises(UserError) as caught:
        replay(file)
    assert str(caught.value).startswith(f"{file}:")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or directory"):
        replay(tmp_path / "traces.jsonl.gz")
    with pytest.raises(UserError, match="is a directory"):
        replay(tmp_path)
    plain = tmp_path / "plain.jsonl"
    plain.write_text(json.dumps(recorded()))
    assert replay(plain).traces == 1
    (tmp_path / "plain.jsonl.gz").write_bytes(plain.read_bytes())
    with pytest.raises(UserError, match="this is no gzip file"):
        replay(tmp_path / "plain.jsonl.gz")
    whole = written(tmp_path, *[recorded()] * 50)
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(UserError, match="the file ends too early, after line"):
        replay(whole)
    with pytest.raises(UserError, match=r"domain\.json: no such file"):
        replay(plain, tmp_path / "nowhere")


def test_the_measures_are_skipped_without_recordings() -> None:
    for measure in (REPLAYED, INSTANCES):
        with pytest.raises(Skipped, match="AGENTFLOW_ROBOTOUILLE"):
            measure.run(Setting())


def test_what_the_original_is_reckoned_at_is_no_slower_than_it_was_measured() -> None:
    """Where nothing was measured its speed is taken from a curve, which rather calls it too fast."""
    small, large = (make_instance(Task.builtin("asynchronous", name), 84) for name in ("0", "9"))
    assert original_speed(make_instance(Task.builtin("synchronous", "0"), 42)) == (115, True)
    fast, measured = original_speed(small)
    assert not measured
    assert fast > original_speed(large)[0] > 11


def test_the_pace_of_a_kitchen() -> None:
    found = pace(make_instance(Task.builtin("asynchronous", "5"), 42), 50, repeats=1)
    assert min(found.text, found.demand, found.short) > 0
    assert SPEED.name == "speed"
