"""`agentflow run`: what is printed, where, and with which exit status."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentflow._cli import run_command
from agentflow._cli.say import print_data
from agentflow_protocols.trace import ModelFinished, RunFinished, ToolFinished, event_from_line

WORKFLOW = """\
agentflow: 1
name: kitchen
inputs: {meal: {default: leek soup}, guests: {type: integer, default: 2}}
endpoints: {main: {model: "scripted:replies.yaml", price: {input: 1, output: 10}}}
tools: {boil: {python: "tools:boil", idempotent: true}}
agents: {cook: {endpoint: main, instructions: "Cook.", tools: [boil]}}
agent: {use: cook, input: "Cook {{ inputs.meal }} for {{ inputs.guests }}."}
"""
REPLIES = """\
- calls: [{name: boil, arguments: {pot: a, minutes: 10}}, {name: boil, arguments: {pot: b, minutes: 4}}]
- {when: "a is hot", text: "Ready."}
- {text: "Not yet."}
"""
TOOLS = '''\
import asyncio


async def boil(pot: str, minutes: float) -> str:
    """Boil a pot."""
    await asyncio.sleep(60 * minutes)
    return f"{pot} is hot"
'''
Files = Callable[..., Path]


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Return a function that writes a project, parts of it replaced, and the workflow's path."""

    def write(replies: str = REPLIES, tools: str = TOOLS, **replaced: str) -> Path:
        text = WORKFLOW
        for old, new in replaced.items():
            assert f"{old}: " in text
            text = "\n".join(
                f"{old}: {new}" if line.startswith(f"{old}:") else line for line in text.split("\n")
            )
        (tmp_path / "kitchen.yaml").write_text(text)
        (tmp_path / "replies.yaml").write_text(replies)
        (tmp_path / "tools.py").write_text(tools)
        return tmp_path / "kitchen.yaml"

    monkeypatch.chdir(tmp_path)
    return write


def run(*args: str) -> int:
    return run_command(["run", "kitchen.yaml", "--virtual-time", *args])


def test_the_output_alone_is_on_stdout(kitchen: Files, capsys: pytest.CaptureFixture[str]) -> None:
    kitchen()
    assert run() == 0
    out, err = capsys.readouterr()
    assert out == "Ready.\n"
    assert "\x1b" not in err
    assert "kitchen: succeeded in 10 min" in err
    assert "2 calls, one after another 14 min" in err
    assert Path(".agentflow/runs.db").exists()


def test_quiet_prints_nothing_but_the_output(kitchen: Files, capsys: pytest.CaptureFixture[str]) -> None:
    kitchen()
    assert run("--quiet", "--no-journal") == 0
    assert capsys.readouterr() == ("Ready.\n", "")
    assert not Path(".agentflow").exists()


def test_json_has_exactly_these_fields(kitchen: Files, capsys: pytest.CaptureFixture[str]) -> None:
    kitchen()
    assert run("--json", "-i", "guests=3") == 0
    data = json.loads(capsys.readouterr().out)
    assert list(data) == ["run_id", "status", "output", "error", "usage", "cost", "wall_s", "virtual_s"]
    assert list(data["usage"]) == ["input_tokens", "output_tokens", "cached_tokens", "requests"]
    assert (data["status"], data["output"], data["error"]) == ("succeeded", "Ready.", None)
    assert data["virtual_s"] == 600
    assert data["cost"] > 0
    assert data["usage"]["requests"] == 3


def test_on_wall_time_there_are_no_virtual_seconds(
    kitchen: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    kitchen(replies="- text: Hello.\n")
    assert run_command(["run", "kitchen.yaml", "--json", "--no-journal"]) == 0
    assert json.loads(capsys.readouterr().out)["virtual_s"] is None


def test_a_failed_run_exits_1(kitchen: Files, capsys: pytest.CaptureFixture[str]) -> None:
    kitchen(replies="- error: 400\n")
    assert run("--json") == 1
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert (data["status"], data["output"], data["error"]["type"]) == ("failed", None, "RequestRejected")
    assert "Traceback" not in err


def test_a_fault_after_the_model_was_asked_is_a_failed_run(
    kitchen: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    path = kitchen(replies="- text: Hello.\n")
    path.write_text(path.read_text() + "output: '{{ output.nothing }}'\n")
    assert run("--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["status"], data["error"]["type"], data["usage"]["requests"]) == ("failed", "UserError", 1)
    assert data["run_id"]


def test_json_is_json_whatever_the_numbers(kitchen: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path = kitchen(
        replies="- text: Hello.\n", inputs="{meal: {type: json, default: 1}, guests: {default: x}}"
    )
    path.write_text(
        path.read_text() + "output: ['{{ (inputs.meal ~ \"e999\") | float }}', '{{ inputs.meal }}']\n"
    )
    assert run("--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["output"] == [None, 1]
    for text in ("NaN", "[1e999]", "[" * 100_000):
        assert run("-i", f"meal={text}") == 2
        assert "allowed is JSON" in capsys.readouterr().err
    assert run("-i", "guests=a\udcff") == 2
    assert capsys.readouterr().err == "error: input `guests`: it is not UTF-8 text\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_trace_and_not_the_run(
    kitchen: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    kitchen()
    assert run("--json", "--quiet", "--trace", "/dev/full") == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "succeeded"
    assert err == (
        "error: can't write the trace /dev/full: No space left on device; the run went on without it\n"
    )


def test_no_character_of_an_output_is_too_much(kitchen: Files) -> None:
    kitchen(replies='- text: "\u00e9\\e[31m"\n')
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    code = "from agentflow._cli import main; main()"
    command = [sys.executable, "-c", code, "run", "kitchen.yaml", "--no-journal", "--quiet"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\xe9\x1b[31m\n", "")


def test_a_terminal_gets_no_control_codes_from_an_output(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    print_data("\x1b]0;owned\x07 fine\n\tso")
    assert sys.stdout.getvalue() == "?]0;owned? fine\n\tso\n"  # type: ignore[attr-defined]


def test_ctrl_c_before_the_run_began_is_told_as_json(
    kitchen: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen(tools=TOOLS + "raise KeyboardInterrupt\n")
    assert run("--json") == 130
    data = json.loads(capsys.readouterr().out)
    assert (data["run_id"], data["status"], data["error"]["type"]) == (None, "cancelled", "KeyboardInterrupt")


def test_a_limit_exits_1(kitchen: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path = kitchen()
    path.write_text(path.read_text() + "limits: {time: 5m}\n")
    assert run("--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["status"], data["error"]["type"]) == ("limit", "LimitExceeded")
    assert data["virtual_s"] == 300


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-i", "guests=two"], "input `guests`: found 'two', allowed is a whole number"),
        (["-i", "gests=2"], "unknown input `gests`; allowed: guests, meal (did you mean `guests`?)"),
        (["-i", "guests"], "an input is written NAME=VALUE"),
        (["-i", "guests=1", "-i", "guests=2"], "given twice"),
        (["--speed", "2"], "two clocks"),
        (["--resume", "r1", "--no-journal"], "leave --no-journal out"),
        (["--resume", "r1"], "no journal .agentflow/runs.db"),
        (["--spede", "2"], "--spede"),
        (["--trace", "none/t.jsonl"], "can't write the trace none/t.jsonl: No such file or directory"),
        (["--model", "scripted:none.yaml"], "none.yaml"),
        (["--model", "opnai:x"], "did you mean `openai`?"),
    ],
)
def test_wrong_use_exits_2_with_one_line(
    args: list[str], message: str, kitchen: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    kitchen()
    assert run("--json", *args) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert message in err
    data = json.loads(out)
    assert list(data) == ["status", "errors"]
    assert data["status"] == "invalid"
    assert [list(fault) for fault in data["errors"]] == [["file", "line", "column", "message"]]


def test_a_missing_key_exits_2(
    kitchen: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen(endpoints='{main: {model: "openai:gpt-5-mini", api_key_env: SOME_KEY_OF_OURS}}')
    monkeypatch.delenv("SOME_KEY_OF_OURS", raising=False)
    assert run() == 2
    assert "SOME_KEY_OF_OURS" in capsys.readouterr().err


def test_model_stands_for_every_endpoint(kitchen: Files, capsys: pytest.CaptureFixture[str]) -> None:
    path = kitchen(endpoints='{main: {model: "openai:gpt-5-mini", fallback: [b]}, b: {model: "openai:x"}}')
    (path.parent / "other.yaml").write_text("- text: Something else.\n")
    assert run("--model", "scripted:other.yaml", "--quiet") == 0
    assert capsys.readouterr().out == "Something else.\n"


def test_the_trace_has_every_event(kitchen: Files) -> None:
    kitchen()
    assert run("--trace", "t.jsonl", "--quiet") == 0
    events = [event_from_line(line) for line in Path("t.jsonl").read_text().splitlines()]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert sum(isinstance(event, ToolFinished) for event in events) == 2
    assert sum(isinstance(event, ModelFinished) for event in events) == 3
    assert isinstance(events[-1], RunFinished)


def test_a_broken_journal_exits_1_with_the_whole_object(
    kitchen: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    kitchen()
    Path("runs.db").write_text("no database")
    assert run("--journal", "runs.db", "--json") == 1
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert (data["status"], data["run_id"], data["error"]["type"]) == ("failed", None, "RunError")
    assert "runs.db" in err
    assert Path("runs.db").read_text() == "no database"


def test_an_error_of_ours_is_one_line_unless_asked(
    kitchen: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kitchen(tools=TOOLS + "raise SystemError('odd\\nin two lines')\n")
    assert run() == 2
    err = capsys.readouterr().err
    assert err == "kitchen.yaml:5:24: can't load tools.py: SystemError: odd in two lines\n"
    monkeypatch.setenv("AGENTFLOW_DEBUG", "1")
    with pytest.raises(Exception, match="SystemError"):
        run()
