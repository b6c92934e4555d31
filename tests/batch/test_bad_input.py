"""Bad input: said in one line, counted, and never in the way of the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentflow.testing import LoopbackServer
from tests.batch.conftest import Lab, asks


def test_a_line_that_is_wrong_costs_that_line_alone(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(
        asks(1),
        '{"id": 2, "api": "openai", "model_name": "loop',
        {"id": 3, "api": "opneai", "model_name": "x", "prompt": "y"},
        {"id": 4, "api": "openai", "prompt": "y"},
        {"id": 5, "api": "openai", "model_name": "loopback"},
        {**asks(6), "prompt": [{"role": "developer", "content": "x"}]},
        {**asks(7), "prompt": {"text": "x"}},
        {**asks(8), "parameters": [1]},
        "[1, 2]",
        '{"a": 1, "a": 2}',
        "",
        asks(12),
    )
    status, summary = lab.run(file)
    assert status == 1
    assert summary["prompts"] == 11
    assert summary["answered"] == 2
    assert summary["failed"] == 9
    assert len(server.requests) == 2
    lines = lab.lines()
    assert len(lines) == 11
    (torn,) = [line for line in lines if line.get("line") == 2]
    assert "cut off" in str(torn["response"])
    (unknown,) = [line for line in lines if line.get("id") == 3]
    assert "did you mean `openai`?" in str(unknown["response"])
    again = lab.run(file)[1]
    assert again["requests"] == 0
    assert len(lab.lines()) == 11


def test_a_byte_order_mark_and_crlf(lab: Lab, server: LoopbackServer) -> None:
    file = lab.folder / "quiz.jsonl"
    text = "".join(f"{json.dumps(asks(n))}\r\n" for n in range(3))
    file.write_bytes(b"\xef\xbb\xbf" + text.encode() + json.dumps(asks(3)).encode())
    assert lab.run(file)[1]["answered"] == 4


def test_nan_is_read_as_null(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write('{"id": NaN, "api": "openai", "model_name": "m", "prompt": "x", "score": Infinity}')
    assert lab.run(file)[0] == 0
    (line,) = lab.lines()
    assert line["id"] is None
    assert line["score"] is None


def test_a_line_of_100_mb(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(asks(1))
    with open(file, "ab") as out:
        out.write(b'{"id": 2, "api": "openai", "model_name": "m", "prompt": "')
        for _ in range(100):
            out.write(b"x" * 1_000_000)
        out.write(b'"}\n')
        out.write(json.dumps(asks(3)).encode())
    status, summary = lab.run(file)
    assert status == 1
    assert summary["answered"] == 2
    (line,) = [line for line in lab.lines() if line.get("line") == 2]
    assert "longer than 64 MiB" in str(line["response"])


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("quiz.jsonl", "", "no prompts"),
        ("quiz.jsonl", "\n\n", "no prompts"),
        ("quiz.txt", "x", ".jsonl or .csv"),
        ("quiz.csv", "", "empty"),
        ("quiz.csv", "id,prompt\n1,a,b,c\n", "cells"),
    ],
)
def test_a_file_with_nothing_to_ask(lab: Lab, name: str, text: str, told: str) -> None:
    file = lab.folder / name
    file.write_text(text)
    status, summary = lab.run(file)
    assert status == 2
    assert summary["status"] == "invalid"
    assert told in lab.said
    assert "Traceback" not in lab.said


def test_a_file_that_is_not_there(lab: Lab) -> None:
    assert lab.run("nothing.jsonl")[0] == 2
    assert "nothing.jsonl: no such file" in lab.said
    assert not lab.data.exists()


def test_a_file_that_is_wrong_stays_where_it_is(lab: Lab) -> None:
    (lab.data / "input").mkdir(parents=True)
    file = lab.folder / "data/input/quiz.csv"
    file.write_text("id,prompt\n1,a,b,c\n")
    assert lab.run(file)[0] == 2
    assert file.read_text() == "id,prompt\n1,a,b,c\n"


def test_an_output_folder_that_can_not_be_made(lab: Lab, server: LoopbackServer) -> None:
    lab.data.write_text("a file")
    assert lab.run(lab.write(asks(1)))[0] == 2
    assert str(lab.data) in lab.said
    assert not server.requests


def test_media_that_are_missing_or_elsewhere(lab: Lab, server: LoopbackServer) -> None:
    def shows(number: int, path: str) -> dict[str, object]:
        content = [{"type": "image_url", "image_url": path}, "What is this?"]
        return {**asks(number), "prompt": [{"role": "user", "content": content}]}

    (lab.folder / "secret.txt").write_text("secret")
    (lab.data / "media").mkdir(parents=True)
    (lab.data / "media/dot.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    file = lab.write(
        *[json.dumps(shows(n, p)) for n, p in enumerate(["no.jpg", "../../secret.txt", "dot.png"])]
    )
    assert lab.run(file)[1]["failed"] == 2
    lines = {line["id"]: str(line["response"]) for line in lab.lines()}
    assert lines[0].startswith("FileNotFoundError - no media file")
    assert "outside" in lines[1]
    (sent,) = server.requests
    assert "data:image/png;base64," in json.dumps(sent.body)


@pytest.mark.skipif(sys.platform != "linux", reason="a small file system needs Linux")
def test_a_full_disk_loses_nothing(lab: Lab, server: LoopbackServer) -> None:
    """The limit on a file's size stands for a full disk: a write beyond it fails just so."""
    file = lab.write(*(asks(n, note="x" * 2_000) for n in range(200)))
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))\n"
        "from agentflow._cli import run_command\n"
        "sys.exit(run_command(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, "batch", str(file), "-d", str(lab.data), "--concurrency", "8"]
    done = subprocess.run(command, cwd=lab.folder, env=dict(os.environ), capture_output=True, timeout=60)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert "run the same command again" in said or "kept" in said
    asked = len(server.requests)
    assert 0 < asked < 200
    status, summary = lab.run(file)
    assert status == 0
    assert summary["answered"] == 200
    assert len(server.requests) - 200 <= 16  # under way, or answered and not yet on the disk
    assert {line["id"] for line in lab.lines()} == set(range(200))


def test_check_says_all_of_it(lab: Lab) -> None:
    file = lab.write(
        asks(1),
        asks(1),
        {**asks(3), "prompt": [{"role": "tool", "content": "x"}], "parameters": 5},
        {**asks(4), "paramters": "x"},
        '{"torn',
    )
    from agentflow._cli import run_command

    assert run_command(["batch", "check", str(file), "-d", str(lab.data), "-l", "said.txt", "--json"]) == 2
    found = json.loads(lab.read()[0])
    assert found["prompts"] == 5
    lines = [problem["line"] for problem in found["problems"]]
    assert lines.count(3) == 2
    assert 5 in lines
    assert any("OPENAI_API_KEY" in problem["message"] for problem in found["problems"])
    assert {note["line"] for note in found["notes"]} == {2, 4}
    assert Path("said.txt").read_text().count("\n") == len(found["problems"])
    assert not (lab.data / "output").exists()


def test_check_of_a_sound_file_moves_it(lab: Lab, server: LoopbackServer) -> None:
    from agentflow._cli import run_command

    file = lab.write(asks(1))
    assert run_command(["batch", "check", str(file), "-d", str(lab.data), "-m"]) == 0
    assert (lab.data / "input/quiz.jsonl").exists()
    assert not server.requests
