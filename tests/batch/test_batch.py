"""`Batch` from Python: files and rows, one endpoint or several."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import agentflow
from agentflow import Batch, BatchOptions, Runtime, UserError
from agentflow.testing import FakeEndpoint
from agentflow_protocols.chat import ChatRequest
from agentflow_protocols.trace import Custom, Event


def _echo(request: ChatRequest) -> str:
    return request.messages[-1].text.upper()


async def test_rows_are_asked_of_one_endpoint(tmp_path: Path) -> None:
    model = FakeEndpoint(_echo)
    rows = [{"id": n, "prompt": f"word {n}"} for n in range(5)]
    batch = Batch.from_rows(rows, tmp_path / "out.jsonl", endpoint=model)
    async with Runtime() as runtime:
        report = (await runtime.run(batch)).output
        assert report.answered == 5
        assert {r["id"]: r["response"] for r in report.records()} == {n: f"WORD {n}" for n in range(5)}
        more = Batch.from_rows([*rows, {"id": 5, "prompt": "new"}], tmp_path / "out.jsonl", endpoint=model)
        again = (await runtime.run(more)).output
    assert again.skipped_finished == 5
    assert again.requests == 1
    assert len(model.requests) == 6


def test_a_file_from_a_script(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"prompt": "one"}\n{"prompt": ["two", "three"]}\n')
    report = agentflow.run(Batch.from_file(file, endpoint=FakeEndpoint(_echo))).output
    assert report.output == str(tmp_path / "questions-completed.jsonl")
    assert [record["response"] for record in report.records()] == ["ONE", ["TWO", "THREE"]]
    assert file.exists()


async def test_endpoints_are_chosen_by_api_model_and_group(tmp_path: Path) -> None:
    fast, slow = FakeEndpoint(lambda _: "fast"), FakeEndpoint(lambda _: "slow")
    rows = [
        {"id": n, "api": "openai", "model_name": "a", "prompt": "x", "group": "g" if n else "h"}
        for n in (0, 1)
    ]
    batch = Batch.from_rows(
        rows, tmp_path / "out.jsonl", endpoints=lambda api, model, group, told: fast if group == "g" else slow
    )
    async with Runtime() as runtime:
        report = (await runtime.run(batch)).output
    assert {r["id"]: r["response"] for r in report.records()} == {0: "slow", 1: "fast"}


async def test_progress_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    batch = Batch.from_rows([{"prompt": "x"}] * 3, tmp_path / "out.jsonl", endpoint=FakeEndpoint(_echo))
    async with Runtime(sinks=[events.append]) as runtime:
        await runtime.run(batch)
    told = [event.data for event in events if isinstance(event, Custom) and event.name == "progress"]
    last = told[-1]
    assert isinstance(last, dict)
    assert last["done"] == last["prompts"] == 3


async def test_a_function_scores_the_answers(tmp_path: Path) -> None:
    batch = Batch.from_rows(
        [{"prompt": "four"}],
        tmp_path / "out.jsonl",
        endpoint=FakeEndpoint(_echo),
        scorers=[lambda line: {"length": len(str(line["response"]))}],
    )
    async with Runtime() as runtime:
        report = (await runtime.run(batch)).output
    assert next(report.records())["length"] == 4


async def test_a_scorer_that_fails_costs_no_answer(tmp_path: Path) -> None:
    def broken(line: object) -> dict[str, bool]:
        raise ValueError("no")

    batch = Batch.from_rows(
        [{"prompt": "four"}], tmp_path / "out.jsonl", endpoint=FakeEndpoint(_echo), scorers=[broken]
    )
    async with Runtime() as runtime:
        report = (await runtime.run(batch)).output
    assert report.answered == 1
    (line,) = report.records()
    assert line["response"] == "FOUR"
    assert line["scorer_error"] == "ValueError: no"


async def test_a_cancelled_batch_is_gone_on_with(tmp_path: Path) -> None:
    model = FakeEndpoint(_echo, delay=0.05, concurrency=2)
    rows = [{"id": n, "prompt": f"w{n}"} for n in range(40)]
    batch = Batch.from_rows(rows, tmp_path / "out.jsonl", endpoint=model)
    async with Runtime() as runtime:
        async with asyncio.timeout(20), runtime.start(batch) as run:
            async for _ in run:
                if len(model.requests) >= 10:
                    break
        before = len(model.requests)
        report = (await runtime.run(batch)).output
    assert report.answered == 40
    assert len(model.requests) <= 40 + 2
    assert report.skipped_finished >= before - 2


async def test_it_runs_inside_another_job(tmp_path: Path) -> None:
    from agentflow import Context

    async def job(context: Context[object], input: None) -> int:
        batch = Batch.from_rows([{"prompt": "x"}], tmp_path / "out.jsonl", endpoint=FakeEndpoint(_echo))
        return (await context.run(batch, key="ask")).output.answered

    async with Runtime(tmp_path / "runs.db") as runtime:
        assert (await runtime.run(job)).output == 1


def test_wrong_options() -> None:
    with pytest.raises(UserError, match="max_attempts must be above 0"):
        BatchOptions(max_attempts=0)
    with pytest.raises(UserError, match="not both"):
        Batch.from_file("x.jsonl", output="a", data_folder="b")
    with pytest.raises(UserError, match="no scorer"):
        Batch.from_file("x.jsonl", endpoint=FakeEndpoint([]), scorers=["mtach"])


def test_lines_of_an_output_are_json(tmp_path: Path) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text('{"prompt": "ünï", "x": NaN}\n')
    report = agentflow.run(Batch.from_file(file, endpoint=FakeEndpoint(_echo))).output
    line = Path(report.output).read_text()
    assert json.loads(line)["response"] == "ÜNÏ"
    assert line.isascii()
