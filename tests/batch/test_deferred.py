"""`--provider-batch`: the same files by a provider's batch API, and nothing handed in twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from batch_server import serve

from tests.batch.conftest import AGENTFLOW, Lab, asks


@pytest.fixture
def openai(lab: Lab, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A server with OpenAI's batch API."""
    with serve("openai") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        yield server


def made(server) -> int:  # type: ignore[no-untyped-def]
    """Return how many batches were handed in."""
    return sum(method == "POST" and path.endswith("/batches") for method, path, _ in server.seen)


def test_prompts_are_handed_in_and_collected(lab: Lab, openai) -> None:  # type: ignore[no-untyped-def]
    openai.outcomes["2"] = "refused"
    openai.outcomes["3"] = "expired"
    file = lab.write(asks(1), asks(2), asks(3), asks(4))
    status, summary = lab.run(file, "--provider-batch", "--in-order")
    assert status == 1
    assert summary["answered"] == 2
    assert summary["errors"] == {"RequestRejected": 1, "EndpointUnavailable": 1}
    responses = [line["response"] for line in lab.lines("in-order")]
    assert responses[0] == "answer 1"
    assert responses[3] == "answer 4"
    openai.outcomes.clear()
    status, summary = lab.run(file, "--provider-batch")
    assert status == 0
    assert summary["skipped_finished"] == 2
    assert summary["requests"] == 2
    assert made(openai) == 2
    assert not list((lab.data / "output/quiz").glob("*parcel*"))
    assert lab.run(file, "--provider-batch")[1]["requests"] == 0
    assert made(openai) == 2


def test_a_crash_while_the_provider_works_hands_nothing_in_twice(lab: Lab, openai) -> None:  # type: ignore[no-untyped-def]
    openai.status = "in_progress"
    file = lab.write(*(asks(n) for n in range(10)))
    with _started(lab, file) as process:
        _until(lambda: any("/batches/batch_1" in path for _, path, _ in openai.seen))
        process.send_signal(signal.SIGKILL)
    openai.status = "completed"
    openai.batches["batch_1"]["status"] = "completed"
    status, summary = lab.run(file, "--provider-batch")
    assert status == 0
    assert summary["answered"] == 10
    assert made(openai) == 1


def test_a_crash_before_the_providers_word_is_looked_for(lab: Lab, openai) -> None:  # type: ignore[no-untyped-def]
    file = lab.write(*(asks(n) for n in range(10)))
    hold = openai.make

    def slow(asked):  # type: ignore[no-untyped-def]
        batch = hold(asked)
        time.sleep(1.0)
        return batch

    openai.make = slow
    with _started(lab, file) as process:
        _until(lambda: bool(openai.batches))
        process.send_signal(signal.SIGKILL)
    openai.make = hold
    assert lab.run(file, "--provider-batch")[1]["answered"] == 10
    assert made(openai) == 1


def test_an_api_without_one_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_ENDPOINT", "http://127.0.0.1:9")
    file = lab.write({**asks(1), "api": "ollama"})
    assert lab.run(file, "--provider-batch")[0] == 2
    assert "no batch API" in lab.said


def _started(lab: Lab, file: object) -> subprocess.Popen[bytes]:
    command = [*AGENTFLOW, "batch", str(file), "-d", str(lab.data), "--provider-batch", "-q"]
    return subprocess.Popen(command, cwd=lab.folder, env=dict(os.environ))


def _until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
