"""What was paid for is never lost and never asked twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from agentflow.testing import LoopbackServer
from tests.batch.conftest import AGENTFLOW, Lab, answer, asks


def test_the_same_command_again_asks_nothing(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(*(asks(n) for n in range(10)))
    lab.run(file)
    before = lab.lines()
    status, summary = lab.run(file)
    assert status == 0
    assert summary["answered"] == summary["skipped_finished"] == 10
    assert summary["requests"] == 0
    assert lab.lines() == before


def test_errors_are_asked_again_and_their_lines_replaced(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(answer, faults=[400, 400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        file = lab.write(*(asks(n) for n in range(10)))
        assert lab.run(file)[1]["failed"] == 2
        assert len(lab.lines()) == 10
        status, summary = lab.run(file)
    assert status == 0
    assert summary["answered"] == 10
    assert summary["requests"] == 2
    assert Counter(line["id"] for line in lab.lines()) == Counter(range(10))
    assert all("error" not in line for line in lab.lines())


def test_it_goes_on_although_the_input_was_moved(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab.data / "input").mkdir(parents=True)
    file = lab.write(*(asks(n) for n in range(5)), name="data/input/quiz.jsonl")
    with LoopbackServer(answer, faults=[400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        lab.run(file)
        assert not file.exists()
        assert lab.run(file)[1]["answered"] == 5


def test_fresh_begins_anew(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(asks(1), asks(2))
    lab.run(file)
    assert lab.run(file, "--fresh")[1]["requests"] == 2
    assert len(list((lab.data / "output/quiz").glob("*-completed-*"))) == 2


def test_a_changed_input_keeps_the_answers_it_shares(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(answer, faults=[400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        lab.run(lab.write(asks(1), asks(2), asks(3)), "--concurrency", 1)
        file = lab.write(asks(9), asks(3), asks(1), asks(2))
        status, summary = lab.run(file)
    assert status == 0
    assert summary["skipped_finished"] == 2
    assert summary["requests"] == 2
    assert {line["id"] for line in lab.lines()} == {1, 2, 3, 9}


def test_a_finished_experiment_with_another_input_is_a_new_one(lab: Lab, server: LoopbackServer) -> None:
    lab.run(lab.write(asks(1)))
    assert lab.run(lab.write(asks(1), asks(2)))[1]["requests"] == 2
    assert lab.run(lab.write(asks(1), asks(2), asks(3)), "--resume")[1]["requests"] == 1


def test_a_torn_output_is_mended(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(*(asks(n) for n in range(6)))
    lab.run(file)
    (path,) = (lab.data / "output/quiz").glob("*-completed-*")
    path.write_bytes(path.read_bytes()[:-40])
    assert lab.run(file)[1]["requests"] == 0
    assert {line["id"] for line in lab.lines()} == set(range(6))
    path.unlink()
    assert lab.run(file)[1]["requests"] == 0
    assert {line["id"] for line in lab.lines()} == set(range(6))


def test_what_prompto_has_answered_is_not_asked(lab: Lab, server: LoopbackServer) -> None:
    out = lab.data / "output/quiz"
    out.mkdir(parents=True)
    rows = [asks(n) for n in range(4)]
    lab.write(*rows, name="data/output/quiz/01-02-2025-10-11-12-input-quiz.jsonl")
    failed = "An unexpected error occurred when querying the API: (X - y) after maximum 3 attempts"
    done = [{**rows[2], "timestamp_sent": "01-02-2025-10-11-13", "response": "two"}]
    done += [{**rows[0], "timestamp_sent": "01-02-2025-10-11-13", "response": failed}]
    lab.write(*done, '{"id": 1, "api', name="data/output/quiz/01-02-2025-10-11-12-completed-quiz.jsonl")
    status, summary = lab.run("data/input/quiz.jsonl")
    assert status == 0
    assert summary["skipped_finished"] == 1
    assert summary["requests"] == 3
    assert {line["id"]: line["response"] for line in lab.lines()} == {
        **{n: f"WORD {n}" for n in (0, 1, 3)},
        2: "two",
    }


def test_turns_that_were_answered_are_kept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(answer, faults=[None, None, 400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        file = lab.write({**asks(1), "prompt": ["one", "two", "three"]})
        assert lab.run(file)[0] == 1
        assert lab.run(file)[0] == 0
    assert len(server.requests) == 4
    assert lab.lines()[0]["response"] == ["ONE", "TWO", "THREE"]


def test_two_processes_do_not_share_an_experiment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer("fine", first_token_s=5.0) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        file = lab.write(asks(1))
        with _start(lab, file) as first:
            server.wait_for(lambda: len(server.requests) == 1, 20.0)
            assert lab.run(file)[0] == 1
            assert f"process {first.pid} owns it" in lab.said
            first.terminate()
    assert len(server.requests) == 1


@pytest.mark.parametrize("part", [0.3, 0.7])
def test_killed_and_gone_on(lab: Lab, monkeypatch: pytest.MonkeyPatch, part: float) -> None:
    prompts = 120
    with LoopbackServer(answer, first_token_s=0.02) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        file = lab.write(*(asks(n) for n in range(prompts)))
        with _start(lab, file, "--concurrency", "20") as process:
            server.wait_for(lambda: len(server.requests) >= part * prompts + random.random() * 20, 20.0)
            process.send_signal(signal.SIGKILL)
        status, summary = lab.run(file, "--concurrency", "20")
        asked = Counter(str(request.body["messages"]) for request in server.requests)
    assert status == 0
    assert summary["answered"] == prompts
    assert Counter(line["id"] for line in lab.lines()) == Counter(range(prompts))
    assert all(line["response"] == f"WORD {line['id']}" for line in lab.lines())
    twice = sum(count - 1 for count in asked.values())
    assert twice <= 20
    assert summary["skipped_finished"] == prompts - int(str(summary["requests"]))


def test_ctrl_c_lets_what_is_under_way_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer(answer, first_token_s=0.3) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        file = lab.write(*(asks(n) for n in range(100)))
        with _start(lab, file, "--concurrency", "4") as process:
            server.wait_for(lambda: len(server.requests) >= 6, 20.0)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=20)
        assert process.returncode == 130, said
        assert b"the same command goes on" in said
        asked = len(server.requests)
        assert asked < 60
        assert lab.run(file)[1]["requests"] == 100 - asked


def _start(lab: Lab, file: Path, *args: str) -> subprocess.Popen[bytes]:
    command = [*AGENTFLOW, "batch", str(file), "-d", str(lab.data), *args]
    return subprocess.Popen(
        command, cwd=lab.folder, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_the_journal_is_read_by_the_runs_command(lab: Lab, server: LoopbackServer) -> None:
    from agentflow._cli import run_command

    lab.run(lab.write(asks(1)))
    journal = lab.data / "output/quiz/journal.db"
    assert run_command(["runs", "list", "--journal", str(journal), "--json"]) == 0
    (row,) = json.loads(lab.read()[0])
    assert row["name"] == "quiz"
    assert row["status"] == "succeeded"


def test_a_changed_table_keeps_the_answers_it_shares(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lab.folder / "quiz.csv"
    head, row = "id,api,model_name,prompt\n", "{0},openai,loopback,word {0}\n"
    with LoopbackServer(answer, faults=[400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        table.write_text(head + row.format(1) + row.format(2))
        lab.run(table, "--concurrency", 1)
        table.write_text(head + row.format(3) + row.format(2) + row.format(1))
        assert lab.run(table)[1]["requests"] == 2
        assert lab.run(table)[1]["requests"] == 0
        assert len(server.requests) == 4
    assert {line["id"] for line in lab.lines()} == {1, 2, 3}
