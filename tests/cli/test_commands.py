"""The other commands: help, version, schema, check, new, extensions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentflow._cli import run_command
from agentflow._version import __version__
from agentflow.testing import LoopbackServer


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    for name in ("chat", "check", "models", "new", "run", "runs", "schema"):
        assert f"\n  {name} " in out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from agentflow._cli import run_command; run_command(['--help']);"
        "heavy = {'pydantic', 'yaml', 'jinja2', 'aiohttp', 'httpx2', 'rich', 'asyncio', 'sqlite3'};"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.stderr == "[]\n"


def test_no_command_shows_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Commands:" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"agentflow {__version__}\n"


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["chekc"]) == 2
    assert "chekc" in (err := capsys.readouterr().err)
    assert "check" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["workflow", "trace"])
def test_the_schemas_are_the_published_ones(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", name]) == 0
    published = Path(__file__).parents[2] / "protocols" / "schemas" / f"{name}.schema.json"
    assert capsys.readouterr().out == published.read_text(encoding="utf-8"), (
        f"agentflow schema {name} > {published}"
    )


def test_an_unknown_schema_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", "trase"]) == 2
    assert capsys.readouterr().err == (
        "error: no schema `trase`; allowed: experiment, trace, workflow (did you mean `trace`?)\n"
    )


def test_new_makes_a_project_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["new", "2 Trips!"]) == 0
    monkeypatch.chdir(tmp_path / "2 Trips!")
    assert run_command(["check", "workflow.yaml"]) == 0
    capsys.readouterr()
    assert run_command(["run", "workflow.yaml", "--virtual-time", "--json", "--no-journal"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert "concert" in data["output"]
    assert 6 <= data["virtual_s"] < 9
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:sybil"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_new_leaves_what_is_there_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run_command(["new", str(tmp_path)]) == 2
    assert run_command(["new", str(tmp_path / "mine.txt")]) == 2
    assert "is there and not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_commands_of_other_packages_are_loaded_when_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agentflow._cli import app

    (tmp_path / "more_commands_zz.py").write_text(
        "import typer\napp = typer.Typer()\n\n\n@app.command()\n"
        "def greet(name: str) -> None:\n    print('Hello', name)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("greet", "more_commands_zz:app", app.GROUP)
    monkeypatch.setattr(app, "_extensions", lambda: {"greet": point})
    assert run_command(["--help"]) == 0
    assert "greet" in capsys.readouterr().out
    assert "more_commands_zz" not in sys.modules
    assert run_command(["greet", "Ada"]) == 0
    assert capsys.readouterr().out == "Hello Ada\n"


def test_check_asks_endpoints_when_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LoopbackServer() as server:
        file = tmp_path / "w.yaml"
        file.write_text(
            "agentflow: 1\n"
            f'endpoints:\n  main: {{model: m, base_url: "{server.url}", requests_per_minute: 600}}\n'
            "agents: {a: {endpoint: main}}\nagent: {use: a, input: hi}\n"
        )
        assert run_command(["check", str(file)]) == 0
        assert len(server.requests) == 0
        assert run_command(["check", "--endpoints", "--json", str(file)]) == 0
        assert len(server.requests) == 6
        out = capsys.readouterr().out
        answer = json.loads(out[out.index("{") :])["files"][0]["endpoints"][0]
        assert (answer["endpoint"], answer["model"], answer["error"]) == ("main", "m", None)
        assert answer["limits"] == {"requests_per_minute": 600}
        lacking = {"prefill": "none", "parallel_tool_calls": False, "late_tool_results": False}
        assert answer["capabilities"] == lacking
        assert run_command(["check", "--endpoints", str(file)]) == 0
        told = capsys.readouterr().err
        assert "s; requests_per_minute 600; can: prefill none, parallel_tool_calls False" in told
    assert run_command(["check", "--endpoints", str(file)]) == 1
