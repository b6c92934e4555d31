"""A running plan in the terminal: a tree and a chart that fit the window, plain lines, rows in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agentflow import Plan, Runtime
from agentflow._cli import run_command
from agentflow._cli.gantt import Steps, chart, width_of
from agentflow._cli.view import Board, Lines, drawn
from agentflow.testing import VirtualClock
from agentflow.workflow import load
from agentflow_protocols.trace import Event, RunFinished, RunStarted, StepFinished, StepProgress, StepStarted

WORKFLOW = """\
agentflow: 1
name: supper
endpoints: {main: {model: "scripted:replies.yaml"}}
tools: {boil: {python: "kitchen:boil"}}
agents: {cook: {endpoint: main}}
plan:
  resources: {stove: 1}
  steps:
    shop: {tool: boil, with: {minutes: 10}, estimate: 10m}
    soup: {tool: boil, with: {minutes: 20}, after: shop, resources: {stove: 1}, estimate: 20m}
    a_step_with_quite_a_long_name: {tool: boil, with: {minutes: 5}, after: shop, resources: {stove: 1}}
    chop: {tool: boil, each: [1, 2, 3], with: {minutes: "{{ item }}"}, after: shop, estimate: 1m}
    course:
      plan:
        steps:
          cut: {tool: boil, with: {minutes: 2}}
          bake: {tool: boil, with: {minutes: 30}, after: cut, timeout: 10m}
      on_error: skip
    never: {tool: boil, with: {minutes: 1}, when: false, after: course}
    taste: {agent: cook, input: Taste, after: [soup, chop], estimate: 1m}
"""
TOOLS = """\
import asyncio


async def boil(minutes: float) -> str:
    await asyncio.sleep(60 * minutes)
    return "hot"
"""


@pytest.fixture
def supper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "kitchen.py").write_text(TOOLS)
    (tmp_path / "replies.yaml").write_text("- {text: good, delay: 3}\n")
    return tmp_path / "w.yaml"


def events_of(run: Callable[[Runtime], object]) -> list[Event]:
    events: list[Event] = []

    async def main() -> None:
        async with Runtime(sinks=[events.append]) as runtime:
            await run(runtime)  # type: ignore[misc]

    with VirtualClock() as clock:
        clock.run(main())
    return events


def text_of(lines: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


def until(events: Sequence[Event], minutes: float) -> Board:
    """Return the board after so many minutes."""
    board = Board()
    for event in events:
        if event.time - events[0].time <= 60 * minutes:
            board.take(event)
    board.now = events[0].time + 60 * minutes
    return board


def test_a_tree_with_states_and_a_chart(supper: Path) -> None:
    events = events_of(lambda runtime: runtime.run(load(supper), {}))
    lines = text_of(drawn(until(events, 12), 80, 40))
    assert lines[0].startswith("supper (workflow)  running")
    assert lines[1].startswith("12 steps (* critical): 1 waiting, 1 ready, 3 running, 4 done, 1 failed")
    by_name = {line.split()[1] if line[1] == " " else line[2:].split()[0]: line for line in lines[2:-1]}
    assert by_name["shop"].startswith("✓* shop")
    assert by_name["soup"].startswith("●* soup")
    assert by_name["a_step_with_quite_a_long_…"].startswith("○  a_step")
    assert "┄" in by_name["a_step_with_quite_a_long_…"]
    assert by_name["taste"].startswith("·* taste")
    order = [line[3:].rstrip().split("  ")[0] for line in lines[2:]]
    assert order.index("chop") + 1 == next(i for i, line in enumerate(lines[2:]) if line[5:6] == "0")
    assert any(line.startswith("✓*   cut") for line in lines)
    end = text_of(drawn(until(events, 60), 80, 40))
    assert any(line.startswith("✗*   bake") for line in end)
    assert any(line.startswith("-  course") for line in end), "its failure is passed over"
    assert any(line.startswith("-  never") for line in end)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [8, 10, 14, 24, 60])
def test_it_fits_the_window(supper: Path, width: int, height: int) -> None:
    events = events_of(lambda runtime: runtime.run(load(supper), {}))
    for minutes in (0, 1, 11, 25, 34, 50):
        lines = drawn(until(events, minutes), width, height)
        assert len(lines) <= height
        assert all(width_of(line) <= width for line in lines)
        assert all("\n" not in text for line in lines for text, _ in line)
    if width >= 40:
        assert "━" in "".join(text_of(lines))


def test_what_matters_is_shown_where_not_all_fits() -> None:
    steps = Steps()
    begin = RunStarted("plan", "many")
    for event in [begin, *(StepStarted(f"s{i}") for i in range(1000))]:
        event.run = "r"
        steps.take(event)
    for i in range(1000):
        if i not in (500, 700):
            event = StepFinished(f"s{i}")
            event.run, event.time = "r", float(i)
            steps.take(event)
    lines = text_of(chart(steps, 0.0, 1000.0, 80, 10))
    assert len(lines) == 10
    assert lines[0].startswith("1000 steps: 2 running, 998 done")
    assert [line[3:7] for line in lines if line.startswith("●")] == ["s500", "s700"]
    assert lines[-1].strip() == "… and 992 more"
    assert any("s999" in line for line in lines), "of the others, those that ended last"


def test_a_plan_of_the_sdk_is_drawn_as_its_steps_come() -> None:
    async def work() -> str:
        return "done"

    plan = Plan()
    plan.step(work)
    events = events_of(lambda runtime: runtime.run(plan))
    board = Board()
    for event in events:
        board.take(event)
    assert any(line.startswith("✓  work") for line in text_of(drawn(board, 60, 20)))


def test_how_far_a_step_is_stands_beside_it() -> None:
    steps = Steps()
    said: list[str] = []
    lines = Lines(said.append)
    for event in (RunStarted("plan", "p"), StepStarted("a"), StepProgress("a", {"percent": 40})):
        event.run = "r"
        steps.take(event)
        lines.take(event)
    assert text_of(chart(steps, 0.0, 9.0, 60, 5))[1].endswith(" 40 %")
    assert said[-1].endswith("step a: percent 40")


def test_nothing_is_under_way_in_a_run_that_has_ended() -> None:
    for status, state in (("cancelled", "cancelled"), ("paused", "waiting")):
        steps = Steps()
        for event in (RunStarted("plan", "p"), StepStarted("a"), RunFinished(status)):
            event.run = "r"
            steps.take(event)
        assert [row.state for row in steps.in_order()] == [state]


def test_plain_lines_without_a_terminal(supper: Path) -> None:
    said: list[str] = []
    view = Lines(said.append)
    for event in events_of(lambda runtime: runtime.run(load(supper), {})):
        view.take(event)
    texts = [line[13:] for line in said]
    assert "step shop" in texts
    assert "step shop done after 10 min" in texts
    assert "step a_step_with_quite_a_long_name waits for what it needs" in texts
    assert "step never is not run: its condition is false" in texts
    assert any(
        text.startswith("step course/bake failed: TimeoutError: not done within 600 s") for text in texts
    )
    assert not any("(step)" in text or text.startswith("step shop started") for text in texts)
    assert all(line.isprintable() for line in said)


def test_json_has_a_row_for_each_step(supper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "w.yaml", "--virtual-time", "--json", "--no-journal"]) == 0
    data = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in data["plan"]}
    assert list(data)[-1] == "plan"
    assert list(rows) == [
        *("shop", "soup", "a_step_with_quite_a_long_name", "chop", "chop/0", "chop/1", "chop/2"),
        *("course", "course/cut", "course/bake", "never", "taste"),
    ]
    assert rows["soup"] == {
        "name": "soup",
        "state": "done",
        "ready": 600,
        "start": 600,
        "end": 1800,
        "critical": True,
    }
    waited = rows["a_step_with_quite_a_long_name"]
    assert (waited["ready"], waited["start"], waited["end"], waited["critical"]) == (600, 1800, 2100, False)
    assert (rows["course"]["state"], rows["course/bake"]["state"]) == ("skipped", "failed")
    assert (rows["never"]["state"], rows["never"]["start"]) == ("skipped", None)


def test_the_rows_of_a_failed_run(supper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    supper.write_text(WORKFLOW.replace("on_error: skip", "on_error: fail"))
    assert run_command(["run", "w.yaml", "--virtual-time", "--json", "--no-journal"]) == 1
    data = json.loads(capsys.readouterr().out)
    states = {row["name"]: row["state"] for row in data["plan"]}
    assert (data["status"], data["error"]["type"]) == ("failed", "PlanFailed")
    assert (states["course"], states["never"], states["taste"]) == ("failed", "cancelled", "done")


def test_a_fault_after_steps_were_done_is_a_failed_run(
    supper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    supper.write_text(WORKFLOW + 'output: "{{ steps.soup.output.none }}"\n')
    assert run_command(["run", "w.yaml", "--virtual-time", "--json", "--no-journal"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["status"], data["error"]["type"]) == ("failed", "UserError")


def test_resumed_from_the_command_line(supper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (supper.parent / "kitchen.py").write_text(
        TOOLS.replace("    return", "    open('no').read()\n    return")
    )
    assert run_command(["run", "w.yaml", "--virtual-time", "--json"]) == 1
    failed = json.loads(capsys.readouterr().out)
    (supper.parent / "kitchen.py").write_text(TOOLS)
    assert run_command(["run", "w.yaml", "--virtual-time", "--json", "--resume", failed["run_id"]]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["output"]["soup"] == "hot"
    assert data["output"]["taste"] == "good"


INTERACTIVE = """\
agentflow: 1
name: kitchen
endpoints: {main: {model: "scripted:replies.yaml"}}
tools: {boil: {python: "kitchen:boil"}, serve: {python: "kitchen:boil", needs_approval: true}}
agents: {cook: {endpoint: main, tools: [boil]}}
plan:
  steps:
    soup: {agent: cook, input: Cook.}
    courses:
      each: [0]
      plan: {steps: {serve: {tool: serve, with: {minutes: "{{ item }}"}}}}
    end: {agent: cook, input: "End {{ steps.soup.output }}", after: courses}
"""


def test_a_typed_line_reaches_the_agents_of_a_plan(supper: Path) -> None:
    supper.write_text(INTERACTIVE)
    (supper.parent / "replies.yaml").write_text(
        "- {when: one pot only, text: As you like.}\n- {when: ^End, text: The end.}\n"
        "- calls: [{name: boil, arguments: {minutes: 0.02}}]\n- text: Ready.\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from agentflow._cli import main; main()", "run", "w.yaml", "--interactive"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = ""
        while "call boil(" not in said or "waits for approval" not in said:
            said += process.stderr.readline()
        out, err = process.communicate("soup: one pot only\n/approve courses/0/serve\n", timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err
    assert "runs approve" in said
    assert "interrupt from user: one pot only" in err
    assert json.loads(out)["end"] == "The end."
