"""Ctrl-C, resuming, commands from another process, and the view on a terminal: real processes."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKFLOW = """\
agentflow: 1
name: kitchen
endpoints: {main: {model: "scripted:replies.yaml"}}
tools:
  boil: {python: "tools:boil", idempotent: true}
  serve: {python: "tools:serve", needs_approval: true}
agents: {cook: {endpoint: main, tools: [boil, serve]}}
agent: {use: cook, input: "Cook."}
"""
TOOLS = """\
import asyncio


async def boil(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"hot after {seconds:g}"


async def serve(dish: str) -> str:
    return f"{dish} is served"
"""
TWO = """\
- {when: "hot after 8", text: Ready.}
- {when: "hot after 9", calls: [{name: boil, arguments: {seconds: 8}}]}
- calls: [{name: boil, arguments: {seconds: 9}}]
"""
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
COMMAND = [sys.executable, "-c", "from agentflow._cli import main; main()"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "replies.yaml").write_text(TWO)
    return tmp_path


def agentflow(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        cwd=folder,
        env=ENV,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def started(folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(
    started: list[subprocess.Popen[str]], folder: Path, *args: str, until: str
) -> subprocess.Popen[str]:
    """Start a run and return its process once it has said `until` on stderr."""
    process = subprocess.Popen(
        [*COMMAND, "run", "w.yaml", *args],
        cwd=folder,
        env=ENV,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    assert process.stderr is not None
    for line in process.stderr:
        if until in line:
            return process
    raise AssertionError(f"it never said {until!r}: {process.communicate()}")


def test_ctrl_c_once_pauses_and_says_how_to_go_on(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    process = start(started, folder, "--speed", "10", until="call boil(9)")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert "call boil ok after 9.0 s" in err, "what was under way came to its end"
    told = re.search(r"go on with: agentflow (run w\.yaml --resume \S+)", err)
    assert told is not None
    resumed = agentflow(folder, *told[1].split(), "--virtual-time", "--json")
    assert resumed.returncode == 0, resumed.stderr
    data = json.loads(resumed.stdout)
    assert data["output"] == "Ready."
    assert data["virtual_s"] == 8, "the first call was not made again"
    assert data["run_id"] == told[1].split()[-1]


def test_ctrl_c_twice_cancels(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    process = start(started, folder, "--json", until="call boil(9)")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "pausing" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["status"] == "cancelled"
    assert "cancelled" in err


def test_what_the_system_ends_leaves_no_program_and_goes_on(
    folder: Path, started: list[subprocess.Popen[str]]
) -> None:
    (folder / "tools.py").write_text(
        TOOLS + "\n\nimport agentflow\n"
        "boil = agentflow.tool.process(['sh', '-c', 'echo $$ > pid; exec sleep {seconds}'], name='boil',"
        " description='Boil.')\n"
    )
    (folder / "replies.yaml").write_text(
        "- calls: [{name: boil, arguments: {seconds: '60'}}]\n- text: Ready.\n"
    )
    os.mkfifo(folder / "pid")
    process = start(started, folder, "--json", until="call boil(60)")
    pid = int((folder / "pid").read_text())
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads(out)["status"] == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "ended by SIGTERM; go on with: agentflow run w.yaml --resume " in err


def test_a_killed_run_goes_on(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    process = start(started, folder, "--speed", "20", until="call boil(8)")
    process.kill()
    process.communicate()
    id = json.loads(agentflow(folder, "runs", "list", "--json").stdout)[0]["id"]
    resumed = agentflow(folder, "runs", "resume", id[:14], "w.yaml", "--virtual-time", "--json")
    assert (resumed.returncode, json.loads(resumed.stdout)["output"]) == (0, "Ready.")
    assert json.loads(resumed.stdout)["virtual_s"] == 8


def test_another_process_approves_a_call(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    (folder / "replies.yaml").write_text(
        "- {when: is served, text: Done.}\n- calls: [{name: serve, arguments: {dish: soup}}]\n"
    )
    process = start(started, folder, until="waits for approval")
    (row,) = json.loads(agentflow(folder, "runs", "list", "--json").stdout)
    shown = json.loads(agentflow(folder, "runs", "show", row["id"], "--json").stdout)
    (waiting,) = shown["waiting"]
    tree = agentflow(folder, "runs", "tree", row["id"])
    assert "kitchen [running]" in tree.stdout
    call = waiting["name"].removeprefix("approve/")
    wrong = agentflow(folder, "runs", "approve", row["id"], f"{call}0")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert f"no call `{call}0`" in wrong.stderr
    assert f"waiting: {call} (did you mean `{call}`?)" in wrong.stderr
    assert agentflow(folder, "runs", "approve", row["id"], call).returncode == 0
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "Done.\n")
    late = agentflow(folder, "runs", "approve", row["id"], call)
    assert late.returncode == 1
    assert late.stderr.startswith("error: journal .agentflow/runs.db: no process has it open")


def test_another_process_cancels_a_run(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    process = start(started, folder, "--json", until="call boil(9)")
    (row,) = json.loads(agentflow(folder, "runs", "list", "--json").stdout)
    assert agentflow(folder, "runs", "cancel", row["id"]).returncode == 0
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(out)["status"]) == (1, "cancelled")


def test_a_typed_line_interrupts(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    (folder / "replies.yaml").write_text(
        "- {when: one pot only, text: As you like.}\n"
        "- calls: [{name: boil, arguments: {seconds: 1}}]\n- text: Ready.\n"
    )
    process = start(started, folder, "--interactive", until="call boil(1)")
    out, err = process.communicate("one pot only\n", timeout=30)
    assert process.returncode == 0, err
    assert "interrupt from user: one pot only" in err
    assert err.count("has its reply") == 2, "to the line that was typed, and to the call's result"
    assert out == "Ready.\n"


def test_a_typed_line_settles_a_call(folder: Path, started: list[subprocess.Popen[str]]) -> None:
    (folder / "replies.yaml").write_text(
        "- {when: too salty, text: I see.}\n- calls: [{name: serve, arguments: {dish: soup}}]\n"
    )
    process = start(started, folder, "--interactive", until="waits for approval")
    out, err = process.communicate("/deny c00000002 no\n/deny c00000001 too salty\n", timeout=30)
    assert (process.returncode, out) == (0, "I see.\n"), err
    assert "error: no call `c00000002` waits (did you mean `c00000001`?)\n" in err


def test_chat_keeps_its_history(folder: Path) -> None:
    (folder / "replies.yaml").write_text(
        "- {when: Hello, text: Good day.}\n- {when: again, text: We have met.}\n"
    )
    process = subprocess.Popen(
        [*COMMAND, "chat", "w.yaml"],
        cwd=folder,
        env=ENV,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("Hello\n")
    process.stdin.flush()
    assert process.stdout.readline() == "Good day.\n"
    process.stdin.write("again\n")
    process.stdin.flush()
    assert process.stdout.readline() == "We have met.\n"
    out, err = process.communicate("/quit\n", timeout=30)
    assert (process.returncode, out) == (0, ""), err


def test_a_terminal_gets_a_live_view(folder: Path) -> None:
    main, side = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "run", "w.yaml", "--speed", "30"],
        cwd=folder,
        env={**ENV, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=side,
    )
    os.close(side)
    shown = bytearray()
    while True:
        try:
            shown += os.read(main, 65536)
        except OSError:  # the other side is closed
            break
    os.close(main)
    out, _ = process.communicate(timeout=30)
    text = shown.decode()
    assert (process.returncode, out) == (0, b"Ready.\n")
    assert "\x1b[" in text
    assert re.search(r"boil\(9\).*━+", text)
    assert "2 calls, one after another 17.0 s" in text
