"""The bench: figures, bars, reports, the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentflow.errors import UserError
from agentflow.plan.prompts import question_text
from agentflow_bench import Bar, Figure, Measure, Setting, Skipped, Suite, interleave, run_suite
from agentflow_bench.asynchow.questions import read_questions
from agentflow_bench.command import SUITES, app, load_suite
from agentflow_bench.report import as_json, as_markdown, as_table, compare, write_results
from agentflow_bench.timing import process_seconds


def fine(setting: Setting) -> Sequence[Figure]:
    return [Figure("ratio", 2.0, "x", Bar("<=", 3)), Figure("count", 7)]


async def missed(setting: Setting) -> Sequence[Figure]:
    await asyncio.sleep(0)
    return [Figure("speed", 1.0, "/s", Bar(">=", 5), note="slow | today")]


def lacks(setting: Setting) -> Sequence[Figure]:
    raise Skipped("no data here")


def breaks(setting: Setting) -> Sequence[Figure]:
    raise ValueError("two\nlines")


SUITE = Suite(
    "trial",
    "A trial.",
    [
        Measure("fine", "Goes well.", fine),
        Measure("missed", "Misses its bar.", missed),
        Measure("lacks", "Has no data.", lacks),
        Measure("breaks", "Raises.", breaks),
    ],
)


def test_bars() -> None:
    assert Bar("<=", 3).met_by(3)
    assert not Bar(">=", 3).met_by(2.9)
    assert Bar("==", 24).met_by(24)
    assert Figure("f", 1).met
    assert str(Bar("<=", 0.5)) == "<= 0.5"


def test_a_suite_runs_to_its_end_and_reports_everything(tmp_path: Path) -> None:
    said: list[str] = []
    outcomes = run_suite(SUITE, Setting(), said=said.append)
    assert said[0] == "fine: Goes well."
    assert [outcome.ok for outcome in outcomes] == [True, False, True, False]
    assert outcomes[2].skipped == "no data here"
    assert outcomes[3].error == "ValueError: two lines"
    table = as_table(outcomes)
    assert "fine     ratio   2 x    <= 3  kept" in table
    assert "MISSED, slow | today" in table
    result = as_json(SUITE, outcomes, "agentflow bench trial")
    assert result["ok"] is False
    markdown = as_markdown(result, outcomes)
    assert "| missed | speed | 1 /s | >= 5 | MISSED, slow \\| today |" in markdown
    paths = write_results(tmp_path / "results", result, outcomes)
    assert [path.name for path in paths] == ["trial.md", "trial.json"]
    data = json.loads(paths[1].read_text())
    assert data["environment"]["cores"] >= 1
    assert data["measures"][0]["figures"][0] == {
        "name": "ratio",
        "value": 2.0,
        "unit": "x",
        "bar": {"sense": "<=", "limit": 3},
        "met": True,
        "note": "",
    }
    assert "+0.0 %" in compare(paths[1], paths[1])
    told = json.loads(compare(paths[1], paths[1], as_data=True))
    assert told[0] == {"measure": "fine", "figure": "ratio", "before": 2.0, "after": 2.0}


def test_only_some_measures() -> None:
    assert [o.measure.name for o in run_suite(SUITE, Setting(), only=["fine"])] == ["fine"]


@pytest.mark.parametrize("text", ["", "{}", '{"measures": [{}]}', "[]"])
def test_comparing_what_is_no_result(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"no result of `agentflow bench`"):
        compare(file, file)
    with pytest.raises(UserError, match="No such file"):
        compare(tmp_path / "none.json", file)
    file.write_text('{"bench": "sums", "n": 1}')
    with pytest.raises(UserError, match=r"by their rows, in a\.jsonl"):
        compare(file, file)
    with pytest.raises(UserError, match=r"two \.jsonl files"):
        compare(tmp_path / "a.jsonl", file)


def test_interleaved_turns_give_a_ratio_of_neighbours() -> None:
    turns: list[str] = []

    def side(name: str, seconds: float):
        def run() -> float:
            turns.append(name)
            return seconds

        return run

    contest = interleave(side("ours", 3.0), side("theirs", 2.0), 4)
    assert (contest.ours, contest.theirs, contest.ratio) == (3.0, 2.0, 1.5)
    assert turns.count("ours") == turns.count("theirs") == 5


def test_a_failing_process_says_why() -> None:
    with pytest.raises(RuntimeError, match="exit code 1: ValueError: no"):
        process_seconds("raise ValueError('no')")


def test_every_suite_loads_and_names_its_measures() -> None:
    for name in SUITES:
        suite = load_suite(name)
        assert suite.name == name
        assert len({measure.name for measure in suite.measures}) == len(suite.measures)
    with pytest.raises(UserError, match=r"no suite `fundation` \(did you mean `foundation`\?\)"):
        load_suite("fundation")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTFLOW_ASYNCHOW", raising=False)
    runner = CliRunner()
    listed = runner.invoke(app, ["list"])
    assert "  asynchow: " in listed.stdout
    done = runner.invoke(
        app, ["foundation", "--only", "asynchow", "--quick", "--json", "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["measures"][0]["figures"]
    assert [figure["value"] for figure in figures[:2]] == [24, 24]
    assert not list(tmp_path.iterdir())
    wrong = runner.invoke(app, ["foundation", "--only", "asyncow"])
    assert isinstance(wrong.exception, UserError)
    assert "did you mean `asynchow`?" in str(wrong.exception)


def test_a_missed_bar_is_the_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentflow_bench.command.load_suite", lambda name: SUITE)
    done = CliRunner().invoke(app, ["foundation", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert (tmp_path / "trial.md").exists()


def test_the_wording_of_a_question() -> None:
    words = {task.id: question_text(task.task, task.plan) for task in read_questions()}
    assert words["salad"].splitlines()[:6] == [
        "Task: make a green salad.",
        "1. Wash and dry the leaves (5 min)",
        "2. Stir the dressing (3 min)",
        "3. Toss the salad (1 minute)",
        "Step 1 must precede step 3.",
        "Step 2 must precede step 3.",
    ]
    assert "All steps can run in parallel." in words["table"]


def test_a_file_that_holds_no_tasks(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"id": 1}\n')
    with pytest.raises(UserError, match=r"tasks\.jsonl:1: no task: KeyError"):
        read_questions(file)
