"""`agentflow runs` on a journal that no process owns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentflow._cli import run_command
from agentflow.runtime.schema import open_reader

WORKFLOW = """\
agentflow: 1
name: kitchen
inputs: {meal: {default: soup}}
endpoints: {main: {model: "scripted:replies.yaml"}}
tools: {boil: {python: "tools:boil", idempotent: true}}
agents: {cook: {endpoint: main, tools: [boil]}}
agent: {use: cook, input: "Cook {{ inputs.meal }}."}
output: {meal: "{{ inputs.meal }}", said: "{{ output }}"}
"""
REPLIES = """\
- {when: "Cook", calls: [{name: boil, arguments: {seconds: 9}}]}
- {when: "hot", text: Ready.}
"""
TOOLS = """\
import asyncio


async def boil(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "hot"
"""


@pytest.fixture
def run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "replies.yaml").write_text(REPLIES)
    (tmp_path / "tools.py").write_text(TOOLS)
    monkeypatch.chdir(tmp_path)
    assert run_command(["run", "w.yaml", "--virtual-time", "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["run_id"])


def test_list_show_and_tree(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["runs", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["id"], row["name"], row["kind"], row["status"]) == (
        run_id,
        "kitchen",
        "workflow",
        "succeeded",
    )
    assert run_command(["runs", "list", "--status", "failed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run_command(["runs", "show", run_id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["output"] == {"meal": "soup", "said": "Ready."}
    (call,) = [step for step in shown["steps"] if step["key"].startswith("call/")]
    assert (call["status"], call["seconds"]) == ("ok", 9)
    for command in ("list", "show", "tree"):
        assert run_command(["runs", command, *([run_id] if command != "list" else [])]) == 0
        assert run_id in capsys.readouterr().out


def test_export_has_everything(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["runs", "export", run_id]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["input"]["input"] == {"meal": "soup"}
    assert record["result"]["output"]["said"] == "Ready."
    assert any(step["output"] for step in record["steps"])


def test_a_finished_run_gives_its_result_again(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tools.py").write_text(TOOLS.replace('"hot"', '"cold"'))
    assert run_command(["runs", "resume", run_id, "w.yaml", "--virtual-time", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out) == {"meal": "soup", "said": "Ready."}


def test_fork_goes_on_with_other_inputs(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    fork = ["runs", "fork", run_id, "w.yaml", "-i", "meal=rice", "--virtual-time", "--json"]
    assert run_command([*fork, "--after", "llm/1"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["run_id"] != run_id
    assert data["output"] == {"meal": "rice", "said": "Ready."}
    assert run_command([*fork, "--after", "llm/9"]) == 2
    assert "no step 'llm/9'" in capsys.readouterr().err


def test_gc_deletes_what_ended_long_ago(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["runs", "gc"]) == 0
    assert capsys.readouterr().out == "0 runs deleted\n"
    assert run_command(["runs", "gc", "--older-than", "0s", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": [], "found": [run_id]}
    assert run_command(["runs", "gc", "--older-than", "0s"]) == 0
    with_rows = open_reader(".agentflow/runs.db")
    assert with_rows.runs() == []
    with_rows.close()


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["show", "nope"], 2, "no run `nope` in the journal"),
        (["show"], 2, "Missing argument 'ID'"),
        (["list", "--status", "faild"], 2, "no status `faild`; allowed: cancelled, failed, limit, paused"),
        (["list", "--journal", "none.db"], 2, "no journal none.db"),
        (["list", "--journal", "w.yaml"], 1, "not a journal of agentflow"),
        (["cancel", "r"], 1, "no process has it open"),
        (["send", "r", "name", "{"], 2, "the value is not JSON"),
        (["gc", "--older-than", "old"], 2, "--older-than: `old` is no duration"),
        (["resume", "r", "none.yaml"], 2, "none.yaml:1:1: can't read the file: No such file or directory"),
    ],
)
def test_errors_are_one_line(
    args: list[str], status: int, message: str, run_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["runs", *args]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
