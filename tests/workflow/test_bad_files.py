"""Files that are wrong: every error in its place, at once, by the real command.

`bad_files.jsonl` has a case a line: what to replace in BASE, and the errors that it
must give, each `line:column: the beginning of the message` or that with the hint for
the nearest name. Errors of included files begin with their name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentflow._cli import run_command
from agentflow_protocols.workflow import read_document

HERE = Path(__file__).parent
BASE = """\
agentflow: 1
name: kitchen
inputs: {meal: {default: soup}}
endpoints:
  main: {model: "scripted:replies.yaml"}
tools:
  boil: {python: "kitchen:boil"}
agents:
  cook: {endpoint: main, instructions: "Cook {{ inputs.meal }}.", tools: [boil]}
agent: {use: cook, input: "{{ inputs.meal }}"}
"""
BESIDE = {
    "kitchen.py": "async def boil(pot: str) -> str:\n    return pot\n",
    "broken.py": "def boil(:\n",
    "replies.yaml": "- text: done\n",
    "bad_replies.yaml": "- txet: done\n",
    "nested.yaml": "include: more.yaml\n",
    "again.yaml": 'tools:\n  boil: {python: "kitchen:boil"}\n',
    "faulty.yaml": "agents:\n  help: {endpoint: mian, toolz: []}\nagent: help\n",
    "list.yaml": "- 1\n",
}
BOMB = (
    b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{chr(n)}: &{chr(n)} [{', '.join(['*' + chr(n - 1)] * 9)}]\n" for n in range(98, 107)).encode()
)
UNREADABLE: list[tuple[str, bytes, str]] = [
    ("empty", b"", "1:1: the file is empty"),
    ("only comments", b"# nothing\n\n", "1:1: the file is empty"),
    ("null document", b"---\n", "2:1: a workflow is a mapping that begins with `agentflow: 1`"),
    ("a list", b"- agentflow: 1\n", "1:1: a workflow is a mapping that begins with `agentflow: 1`"),
    ("text", b"hello\n", "1:1: a workflow is a mapping that begins with `agentflow: 1`"),
    ("binary", b"\x7fELF\x00\x01\x02\xff\xfe", "1:1: this is a binary file, not YAML"),
    ("nul", b"agentflow: 1\nname: a\x00b\n", "2:8: this is a binary file, not YAML"),
    ("not utf-8", b"agentflow: 1\nname: caf\xe9\n", "2:10: byte 0xe9 is not UTF-8"),
    ("utf-16", "agentflow: 1\n".encode("utf-16"), "1:1: this is a binary file, not YAML"),
    (
        "control character",
        b"agentflow: 1\nname: a\x07\n",
        "2:8: the control character U+0007 is not allowed in YAML",
    ),
    ("too large", b"# " + b"x" * 10_000_000, "1:1: the file has more than 1,048,576 bytes"),
    ("one byte too large", b"#" * (1024 * 1024 + 1), "1:1: the file has more than 1,048,576 bytes"),
    ("too many values", b"x:\n" + b"- 1\n" * 60_000, "50002:3: the file has more than 50,000 values"),
    ("deep flow", b"a: " + b"[" * 100_000, "1:53: nested more than 50 levels deep"),
    (
        "deep block",
        "".join(" " * i + f"k{i}:\n" for i in range(60)).encode(),
        "51:51: nested more than 50 levels deep",
    ),
    ("bomb", BOMB, "5:8: aliases unfold more than 1,000 times"),
    (
        "many aliases",
        ("a: &a 1\nb: [" + ", ".join(["*a"] * 1001) + "]\n").encode(),
        "2:4005: aliases unfold more than 1,000 times",
    ),
    (
        "large alias",
        ("a: &a [" + "1, " * 2000 + "1]\nb: [" + ", ".join(["*a"] * 30) + "]\n").encode(),
        "2:97: the file has more than 50,000 values",
    ),
    ("recursive alias", b"a: &a [*a]\n", "1:8: the alias `a` stands inside itself"),
    ("undefined alias", b"a: *b\n", "1:4: not YAML: found undefined alias `b`"),
    ("alias as key", b"a: &a x\n*a : 1\n", "2:1: an alias can't be a key"),
    ("list as key", b"? [a]\n: 1\n", "1:3: a key must be text, not a mapping or a list"),
    ("two documents", b"agentflow: 1\n---\nagentflow: 1\n", "2:1: a second document begins here"),
    (
        "tab",
        b"agentflow: 1\nagents:\n\tcook: 1\n",
        "3:1: not YAML: while scanning for the next token found character",
    ),
    (
        "bad indentation",
        b"agentflow: 1\nagents:\n  cook:\n    endpoint: main\n   tools: []\n",
        "5:4: not YAML: while parsing a block mapping expected <block end>",
    ),
    (
        "open quote",
        b'agentflow: 1\nname: "kitchen\n',
        "3:1: not YAML: while scanning a quoted scalar found unexpected end of strea",
    ),
    (
        "open bracket",
        b"agentflow: 1\nagents: {cook: {endpoint: main\n",
        "3:1: not YAML: while parsing a flow mapping expected ',' or '}'",
    ),
    (
        "colon in a value",
        b"agentflow: 1\nname: a: b\n",
        "2:8: not YAML: mapping values are not allowed here",
    ),
]
PATCHED = [json.loads(line) for line in (HERE / "bad_files.jsonl").read_text(encoding="utf-8").splitlines()]
CASES = [(name, data, [error]) for name, data, error in UNREADABLE] + [
    (case["name"], BASE.replace(case["old"], case["new"], 1).encode(), case["errors"]) for case in PATCHED
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in BESIDE.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_base_of_the_cases_is_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is wrong in a case is only what its line says."""
    (folder / "w.yaml").write_text(BASE)
    assert run_command(["check", "w.yaml"]) == 0
    assert capsys.readouterr() == ("w.yaml: ok\n", "")
    assert all(case["old"] in BASE for case in PATCHED)
    assert len({name for name, _, _ in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_error_is_told_in_its_place(
    data: bytes, expected: list[str | list[str]], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """WF-1.1 to WF-1.6, WF-2.1 to WF-2.10, WF-3.1, WF-4.4, WF-6.1 to WF-6.7, WF-6.9, WF-6.14."""
    (folder / "w.yaml").write_bytes(data)
    began = time.perf_counter()
    assert run_command(["check", "w.yaml"]) == 2
    assert time.perf_counter() - began < 3, "each file is judged within a second on an idle machine"
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert len(lines) == len(expected), err
    for line, wanted in zip(lines, expected, strict=True):
        start, hint = (wanted, "") if isinstance(wanted, str) else wanted
        name = "" if start.split(":")[0].endswith(".yaml") else "w.yaml:"
        assert line.startswith(name + start), line
        assert line.isprintable()
        assert hint in line


@pytest.mark.parametrize("data", [data for _, data, _ in CASES if len(data) < 30_000], ids=str)
def test_both_readers_say_the_same(data: bytes) -> None:
    """WF-1.7."""
    fast, slow = read_document(data, "w.yaml"), read_document(data, "w.yaml", pure=True)
    assert fast[1] == slow[1]
    assert fast[0].value == slow[0].value
    assert fast[0].root == slow[0].root


def test_errors_are_sorted_and_come_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """WF-1.6: text, templates, names, files and secrets in one go."""
    bad = (
        BASE.replace("boil]", "bial]")
        .replace("kitchen:boil", "none_zz:boil")
        .replace("inputs.meal }}.", "x }}.")
    )
    (folder / "w.yaml").write_text(bad.replace("name: kitchen", "nmae: kitchen"))
    assert run_command(["check", "--json", "w.yaml"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report["valid"] is False
    errors = report["files"][0]["errors"]
    assert [(e["line"], e["column"]) for e in errors] == [(2, 1), (7, 18), (9, 49), (9, 65)]
    assert all(set(e) == {"file", "line", "column", "message"} for e in errors)


def test_a_key_is_never_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """WF-3.1: wherever it stands, whatever else is wrong with it."""
    key = "sk-proj-4f9a8c7b6d5e4f3a2b1c"
    for place in ("api_key", "api_key_env", "base_url", "concurrency", "model", "extra"):
        (folder / "w.yaml").write_text(BASE.replace('"scripted:replies.yaml"}', f'"m", {place}: "{key}"}}'))
        assert run_command(["check", "w.yaml"]) == 2
        assert run_command(["run", "w.yaml", "--json"]) == 2
        assert key not in "".join(capsys.readouterr())


@pytest.mark.parametrize("command", [["check"], ["run", "--no-journal"]])
def test_the_process_itself_exits_2_without_a_traceback(command: list[str], folder: Path) -> None:
    (folder / "w.yaml").write_text(BASE.replace("[boil]", "[bial]"))
    done = subprocess.run(
        [sys.executable, "-c", "from agentflow._cli import main; main()", *command, "w.yaml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "w.yaml:9:75: unknown tool `bial`; allowed: boil (did you mean `boil`?)\n"
