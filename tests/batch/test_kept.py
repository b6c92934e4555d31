"""What was paid for is kept, whatever the next command wants, and however the input is named."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

import agentflow
from agentflow import Batch
from agentflow.testing import FakeEndpoint, LoopbackServer
from agentflow_protocols.chat import Json
from tests.batch.conftest import Lab, answer, asks


def test_a_scorer_that_wants_more_leaves_answers_alone(lab: Lab, server: LoopbackServer) -> None:
    """Answered prompts without `expected_response` stay answered, and are not sent again."""
    file = lab.write(asks(1), asks(2))
    assert lab.run(file)[0] == 0
    status, summary = lab.run(file, "-s", "match")
    assert status == 0
    assert (summary["answered"], summary["failed"], summary["unasked"]) == (2, 0, 0)
    assert lab.run(file)[1]["requests"] == 0
    assert [line["response"] for line in lab.lines()] == ["WORD 1", "WORD 2"]
    assert len(server.requests) == 2


def test_a_scorer_of_ones_own_that_fails_costs_no_answer(tmp_path: Path) -> None:
    def divide(line: Mapping[str, Json]) -> Mapping[str, Json]:
        return {"share": 1 // 0}

    def strange(line: Mapping[str, Json]) -> Mapping[str, Json]:
        return {"score": object()}  # type: ignore[dict-item]

    for number, scorer in enumerate((divide, strange)):
        model = FakeEndpoint(["yes"])
        out = tmp_path / f"{number}.jsonl"
        batch = Batch.from_rows([{"prompt": "a"}], out, endpoint=model, scorers=[scorer])
        report = agentflow.run(batch).output
        assert report.answered == 1
        (line,) = report.records()
        assert line["response"] == "yes"
        assert "scorer_error" in line


def test_half_a_surrogate_pair_costs_its_line_at_most(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(asks(1), {**asks(2), "model_name": "loop\ud800"}, {**asks(3), "prompt": "a\ud800"})
    status, summary = lab.run(file)
    assert summary["prompts"] == summary["answered"], lab.said
    assert status == 0
    assert lab.run(file)[1]["requests"] == 0
    assert len(lab.lines()) == 3


@pytest.mark.parametrize("flags", [(), ("-m",)])
def test_an_input_that_is_a_link(lab: Lab, server: LoopbackServer, flags: tuple[str, ...]) -> None:
    """The file is copied, the link taken away: a link that is moved may point nowhere."""
    real = lab.write(asks(1), name="real.jsonl")
    folder = lab.data / "input"
    folder.mkdir(parents=True)
    link = folder / "quiz.jsonl"
    link.symlink_to(os.path.relpath(real, folder))
    status, _ = lab.run(link, *flags)
    assert status == 0
    assert real.exists()
    assert not link.is_symlink()
    assert lab.run(link)[1]["requests"] == 0


def test_names_that_no_file_can_have(lab: Lab, server: LoopbackServer) -> None:
    for length in (240, 300):
        name = "x" * length + ".jsonl"
        if length < 250:
            lab.write(asks(1), name=name)
        assert lab.run(name)[0] == 2
        assert "too long" in lab.said
    assert not server.requests


def test_an_input_that_is_a_pipe(lab: Lab) -> None:
    os.mkfifo(lab.folder / "pipe.jsonl")
    assert lab.run("pipe.jsonl")[0] == 2
    assert "no plain file" in lab.said


@pytest.mark.parametrize(("flag", "value"), [("-mq", "inf"), ("-mq", "nan"), ("-mq", "0"), ("-ma", "0")])
def test_limits_that_are_none(lab: Lab, server: LoopbackServer, flag: str, value: str) -> None:
    assert lab.run(lab.write(asks(1)), flag, value)[0] == 2
    assert "must be above 0 and finite" in lab.said


def test_a_key_that_is_taken_away_in_mid_run_ends_its_model(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lab.write(*(asks(n) for n in range(200)))
    with LoopbackServer(answer, faults=[None] * 10 + [401] * 190) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        status, summary = lab.run(file, "--concurrency", "2")
        assert status == 1
        assert summary["answered"] == 10
        assert len(server.requests) < 60
        assert "401" in str(summary["stopped"])


def test_a_second_process_is_told_who_is_there(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(asks(1))
    assert lab.run(file)[0] == 0
    (lock,) = lab.data.glob("output/quiz/journal.db.lock")
    with open(lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert lab.run(file)[0] == 1
    assert "owns it" in lab.said
    assert "--journal" not in lab.said  # which this command has not
