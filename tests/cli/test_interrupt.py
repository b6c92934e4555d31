"""`agentflow runs interrupt`: a text reaches the agent that is at work, in a plan too. Real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
COMMAND = [sys.executable, "-c", "from agentflow._cli import main; main()"]
WORKFLOW = """\
agentflow: 1
name: kitchen
endpoints: {main: {model: "scripted:replies.yaml"}}
tools: {boil: {python: "tools:boil"}}
agents: {cook: {endpoint: main, tools: [boil]}}
"""
TOOLS = """\
import asyncio


async def boil(pot: str) -> str:
    await asyncio.sleep(60)
    return f"{pot} is hot"
"""
REPLIES = """\
- {when: one pot only, text: As you like.}
- {when: soup, calls: [{name: boil, arguments: {pot: soup}}]}
- {when: tea, calls: [{name: boil, arguments: {pot: tea}}]}
"""


def agentflow(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], cwd=folder, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], folder: Path, plan: str, calls: int) -> str:
    """Start a workflow, wait until so many calls run, and return the run's id."""
    (folder / "w.yaml").write_text(WORKFLOW + plan)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "replies.yaml").write_text(REPLIES)
    process = subprocess.Popen(
        [*COMMAND, "run", "w.yaml"], cwd=folder, env=ENV, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started.append(process)
    until(process, "call boil", calls)
    (row,) = json.loads(agentflow(folder, "runs", "list", "--json").stdout)
    return str(row["id"])


def until(process: subprocess.Popen[str], text: str, times: int = 1) -> None:
    """Read what a process says until it has said `text` so often."""
    assert process.stderr is not None
    seen = ""
    while seen.count(text) < times:
        line = process.stderr.readline()
        assert line, seen
        seen += line


def test_the_one_agent_of_a_plan_is_told(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    plan = "plan: {steps: {look: {agent: cook, input: soup}}}\n"
    id = start(started, tmp_path, plan, 1)
    told = agentflow(tmp_path, "runs", "interrupt", id[:14], "one pot only")
    assert (told.returncode, told.stderr) == (0, f"interrupt: told {id}/look\n")
    until(started[0], "interrupt from user: one pot only")


def test_of_several_one_is_named(tmp_path: Path, started: list[subprocess.Popen[str]]) -> None:
    plan = "plan: {steps: {a: {agent: cook, input: soup}, b: {agent: cook, input: tea}}}\n"
    id = start(started, tmp_path, plan, 2)
    which = agentflow(tmp_path, "runs", "interrupt", id, "one pot only")
    assert which.returncode == 1
    assert f"2 agents are under way in run {id}: name one of {id}/a, {id}/b" in which.stderr
    wrong = agentflow(tmp_path, "runs", "interrupt", f"{id}/c", "one pot only")
    assert wrong.returncode == 2
    assert f"no run `{id}/c`" in wrong.stderr
    told = agentflow(tmp_path, "runs", "interrupt", f"{id[:14]}/b", "one pot only", "--json")
    assert json.loads(told.stdout)["value"] == f"{id}/b"
