"""Rephrased prompts, judges, missing prompts, and the watched folder."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from anyio import fail_after

from agentflow._cli import run_command
from agentflow._cli.batch_session import BatchView, Show, _Hand
from agentflow.testing import LoopbackServer
from agentflow_protocols.chat import Json
from tests.batch.conftest import AGENTFLOW, Lab, asks


def _judges(lab: Lab) -> Path:
    folder = lab.folder / "judge"
    folder.mkdir()
    settings = {"strict": {"api": "openai", "model_name": "judge-1", "parameters": {"temperature": 0}}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "template.txt").write_text("Q: {INPUT_PROMPT} A: {OUTPUT_RESPONSE} Good?")
    return folder


def test_judges_look_at_the_answers(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(asks(1), asks(2))
    status, summary = lab.run(file, "-jf", _judges(lab), "-j", "strict")
    assert status == 0
    (judged,) = summary["further"]  # type: ignore[misc]
    assert judged["answered"] == 2  # type: ignore[index,call-overload]
    lines = {line["id"]: line for line in lab.lines(name="judge-quiz")}
    line = lines["judge-strict-template-1"]
    assert line["prompt"] == "Q: word 1 A: WORD 1 Good?"
    assert line["input-response"] == "WORD 1"
    assert line["model_name"] == "judge-1"
    assert line["template_name"] == "template"
    assert lab.run(file, "-jf", "judge", "-j", "strict")[1]["requests"] == 0
    assert len(server.requests) == 4


def test_judges_of_answers_that_came_later(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _judges(lab)
    with LoopbackServer("fine", faults=[400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        file = lab.write(asks(1), asks(2))
        assert lab.run(file, "-jf", folder, "-j", "strict", "--concurrency", 1)[0] == 1
        assert len(lab.lines(name="judge-quiz")) == 1
        assert lab.run(file, "-jf", folder, "-j", "strict")[0] == 0
        assert len(server.requests) == 2 + 1 + 2
    assert len(lab.lines(name="judge-quiz")) == 2


def test_the_judge_command_writes_the_experiment(lab: Lab, server: LoopbackServer) -> None:
    lab.run(lab.write(asks(1)))
    (done,) = (lab.data / "output/quiz").glob("*-completed-*")
    args = [
        "batch",
        "judge",
        "-i",
        str(done),
        "-jf",
        str(_judges(lab)),
        "-j",
        "strict",
        "-o",
        "out",
        "--json",
    ]
    assert run_command(args) == 0
    made = json.loads(lab.read()[0])
    assert made["prompts"] == 1
    assert json.loads(Path(made["output"]).read_text())["id"] == "judge-strict-template-1"


def test_a_judge_that_is_not_there(lab: Lab, server: LoopbackServer) -> None:
    assert lab.run(lab.write(asks(1)), "-jf", _judges(lab), "-j", "strickt")[0] == 2
    assert "did you mean `strict`?" in lab.said
    assert not server.requests


def _rephrases(body: Mapping[str, Json]) -> str:
    text = str(body["messages"])
    return "1. first way\n2. second way" if "Say it anew" in text else f"answer to {text[-40:]}"


def test_prompts_in_other_words(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lab.folder / "rephrase"
    folder.mkdir()
    settings = {"poet": {"api": "openai", "model_name": "poet-1", "parameters": {}}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "template.txt").write_text("Say it anew: {INPUT_PROMPT}\n")
    with LoopbackServer(_rephrases) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        file = lab.write(asks(1), asks(2))
        flags = ("-rf", folder, "-r", "poet", "-rp", "split_numbered_list")
        status, summary = lab.run(file, *flags)
        assert status == 0
        assert summary["prompts"] == 6
        asked = len(server.requests)
        assert asked == 2 + 6
        assert lab.run(file, *flags)[1]["requests"] == 0
        assert len(server.requests) == asked
        only, more = lab.run(file, *flags, "-or")
        assert only == 0
        assert more["prompts"] == 2
    lines = lab.lines(name="post-rephrase-quiz")
    assert sorted(str(line["prompt"]) for line in lines) == sorted(
        ["word 1", "word 2", *["first way", "second way"] * 2]
    )


def test_missing_prompts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer("fine", faults=[400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        file = lab.write(asks(1), asks(2))
        lab.run(file, "--concurrency", 1)
    (done,) = (lab.data / "output/quiz").glob("*-completed-*")
    args = ["batch", "missing", "-i", str(file), "-o", str(done), "-n", "rest.jsonl", "--json"]
    assert run_command(args) == 0
    assert json.loads(lab.read()[0])["prompts"] == 1
    assert json.loads(Path("rest.jsonl").read_text())["id"] == 1
    assert run_command([*args[:-3], "-n", str(file)]) == 2
    assert "written over" in lab.read()[1]


def test_watch_runs_what_comes_and_sets_aside_what_can_not_be_run(lab: Lab, server: LoopbackServer) -> None:
    (lab.data / "input").mkdir(parents=True)
    lab.write(asks(1), asks(2), name="data/input/first.jsonl")
    lab.write(asks(3), '{"torn', name="data/input/second.jsonl")
    (lab.data / "input/third.csv").write_text("id,prompt\n1,a,b,c\n")
    (lab.data / "input/notes.txt").write_text("not an experiment")
    status = run_command(["batch", "watch", "-d", str(lab.data), "--once", "--json", "-q"])
    assert status == 1
    assert len(lab.lines(name="first")) == 2
    assert len(lab.lines(name="second")) == 2
    assert list((lab.data / "output/third").glob("*-refused-third.csv"))
    assert "cells" in next((lab.data / "output/third").glob("*-log-*")).read_text()
    assert [path.name for path in (lab.data / "input").iterdir()] == ["notes.txt"]


def test_watch_goes_on_with_what_a_crash_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    slow: Callable[[Mapping[str, Json]], str] = lambda body: "fine"  # noqa: E731
    with LoopbackServer(slow, first_token_s=0.2) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        (lab.data / "input").mkdir(parents=True)
        lab.write(*(asks(n) for n in range(30)), name="data/input/quiz.jsonl")
        command = [*AGENTFLOW, "batch", "watch", "-d", str(lab.data), "-mq", "1200"]
        process = subprocess.Popen(command, cwd=lab.folder, env=dict(os.environ), stderr=subprocess.DEVNULL)
        server.wait_for(lambda: len(server.requests) >= 8, 20.0)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert not list((lab.data / "input").iterdir())
        assert run_command(["batch", "watch", "-d", str(lab.data), "--once", "-q"]) == 0
    assert {line["id"] for line in lab.lines()} == set(range(30))
    assert len(server.requests) <= 30 + 8


def test_watch_passes_by_what_another_process_runs(lab: Lab, server: LoopbackServer) -> None:
    (lab.data / "input").mkdir(parents=True)
    watch = ["batch", "watch", "-d", str(lab.data), "--once", "-q", "--json"]
    assert run_command(watch) == 0
    assert json.loads(lab.read()[0])["prompts"] == 0
    file = lab.write(asks(1), name="data/input/quiz.jsonl")
    assert run_command(watch) == 0
    lab.write(asks(2), name="data/input/quiz.jsonl")
    lab.write(asks(3), name="data/input/other.jsonl")
    (lock,) = lab.data.glob("output/quiz/journal.db.lock")
    with open(lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lab.read()
        assert run_command(watch) == 1
        assert "owns it" in lab.read()[1]
    assert file.exists()
    assert len(lab.lines(name="other")) == 1
    assert run_command(watch) == 0
    assert not file.exists()


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C", "Ctrl-C twice"])
async def test_a_signal_at_the_very_end_of_a_batch_is_not_lost(how: str) -> None:
    class Ending:
        """A run that has succeeded by the time that it is told to end."""

        status = "running"

        async def cancel(self, reason: str = "") -> None:
            self.status = "succeeded"

        async def pause(self, *, stop: bool = False) -> None:
            if how == "Ctrl-C":
                self.status = "succeeded"

    watch = asyncio.create_task(asyncio.Event().wait())
    hand = _Hand(BatchView(Show(quiet=True)), watch)
    hand.follow(Ending())  # type: ignore[arg-type]
    if how == "SIGTERM":
        hand.end(signal.SIGTERM)
    for _ in range({"SIGTERM": 0, "Ctrl-C": 1, "Ctrl-C twice": 2}[how]):
        hand.stop()
    with fail_after(5):
        await asyncio.wait([watch, *hand.tasks])
    assert watch.cancelled()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_watch_that_waits_ends_at_a_signal(
    lab: Lab, server: LoopbackServer, sent: signal.Signals, status: int
) -> None:
    (lab.data / "input").mkdir(parents=True)
    lab.write(asks(1), name="data/input/quiz.jsonl")
    command = [*AGENTFLOW, "batch", "watch", "-d", str(lab.data), "--no-color"]
    with subprocess.Popen(command, cwd=lab.folder, stderr=subprocess.PIPE, text=True) as watch:
        assert watch.stderr is not None
        while "1 of 1" not in watch.stderr.readline():
            pass
        watch.send_signal(sent)
        try:
            assert watch.wait(10) == status
        finally:
            watch.kill()
