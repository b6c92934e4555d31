"""`agentflow plan`: a task planned, drawn, and done."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from agentflow._cli import run_command
from agentflow._cli.plan import Span, gantt

SOUP = """1. Boil the water (10 minutes)
2. Chop the leeks (5 minutes)
3. Cook the soup (half an hour)
Step 1 must precede step 3.
Step 2 must precede step 3."""


def test_a_plan_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert run_command(["plan", SOUP]) == 0
    out = capsys.readouterr().out
    assert "3. Cook the soup (half an hour) <- 1, 2" in out
    assert "at the shortest 40 minutes; one step after another 45 minutes" in out
    lines = [line for line in out.splitlines() if "█" in line or "━" in line]
    assert [line[:3] for line in lines] == ["* 1", "  2", "* 3"]
    assert all(len(line) <= 60 for line in lines)


@pytest.mark.parametrize("method", ["io", "plag_bag", "plag_run", "few_shot(2)", "plag_explicit"])
def test_a_plan_as_data(capsys: pytest.CaptureFixture[str], method: str) -> None:
    assert run_command(["plan", SOUP, "--json", "--method", method, "--form", "csr"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["total_s"] == [2400.0, 2400.0]
    assert data["critical_path"] == ["1", "3"]
    assert data["method"] == method
    assert data["attempts"] == 1
    assert data["steps"][2] == {
        "name": "3",
        "text": "Cook the soup",
        "duration": "half an hour",
        "seconds": [1800.0, 1800.0],
        "after": ["1", "2"],
        "start": 600.0,
        "end": 2400.0,
        "slack": 0.0,
        "critical": True,
    }


@pytest.mark.parametrize("method", ["plag_run", "plag_checked"])
def test_a_dry_run_takes_no_time(capsys: pytest.CaptureFixture[str], method: str) -> None:
    assert run_command(["plan", SOUP, "--run", "--sleep", "--json", "--quiet", "--method", method]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert data["seconds"] == 2400.0
    rows = {row["name"]: row for row in data["rows"]}
    assert (rows["step_3"]["start"], rows["step_3"]["end"], rows["step_3"]["state"]) == (
        600.0,
        2400.0,
        "done",
    )
    assert data["outputs"]["step_1"] == "done: Boil the water"
    assert captured.err == ""


def test_a_dry_run_is_drawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(SOUP))
    assert run_command(["plan", "-", "--run", "--sleep", "--no-color"]) == 0
    captured = capsys.readouterr()
    assert "step_3: done: Cook the soup" in captured.out
    assert "done in 40 minutes" in captured.err
    assert "step_3" in captured.err


def test_each_step_is_a_call_of_the_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "replies.yaml"
    lines = ["1. Boil the water (1 s)\n2. Serve (1 s) <- 1", "It boils.", "Served."]
    file.write_text(json.dumps([{"text": line} for line in lines]))
    arguments = ["--model", f"scripted:{file}", "--method", "plag_run", "--run", "--json", "--quiet"]
    assert run_command(["plan", "Make tea.", *arguments]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["outputs"]["step_1"] == "It boils."
    assert data["outputs"]["step_2"] == "Served."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Write a novel."], "builtin:planner made no plan"),
        (["Write a novel."], "give --model"),
        ([" "], "the task is empty"),
        ([SOUP, "--method", "plag_bog"], "did you mean `plag_bag`"),
        ([SOUP, "--form", "list"], "--form list: allowed are adjacency_list"),
        ([SOUP, "--run"], "can't do steps"),
        ([SOUP, "--model", "builtin:planer"], "did you mean `planner`"),
        (["Write.", "--method", "plag_explicit"], "needs a task that lists its steps"),
    ],
)
def test_what_can_not_be_planned(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_command(["plan", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_time_line_fits_any_window() -> None:
    spans = [
        Span("a", "Boil the water in the big pot", 0.0, 600.0, True, "done"),
        Span("b", "Rest", 600.0, 600.0, False, "done"),
        Span("c", "Never begun", state="skipped"),
    ]
    for width in (20, 34, 60, 200):
        lines = gantt(spans, width)
        assert all(len(line) <= width for line in lines)
        assert len(lines) == 3
    assert gantt(spans, 80)[2].endswith("skipped")
    assert gantt([], 80) == []
