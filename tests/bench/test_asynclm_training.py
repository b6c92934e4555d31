"""Training data: what is masked, what it is in each form, and that the same seed gives the same bytes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentflow.errors import UserError
from agentflow_bench.asynclm.training import traces, write_traces
from agentflow_bench.command import app
from agentflow_protocols.cml import CallReady, InterruptRead, Parser, TrapReached


def lines(file: Path) -> list[dict]:
    return [json.loads(text) for text in file.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def made() -> list[dict]:
    return [json.loads(json.dumps(trace)) for trace in traces(24, 3)]


def cut(text: str, spans: list[list[int]]) -> str:
    """Return `text` without the masked spans."""
    at, kept = 0, ""
    for begin, end in spans:
        kept += text[at:begin]
        at = end
    return kept + text[at:]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_traces(tmp_path / name, 6, 9)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_traces(tmp_path / "c", 6, 10)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_what_the_model_must_not_learn_is_masked(made: list[dict]) -> None:
    for trace in made:
        own = cut(trace["cml"], trace["mask"])
        assert "[INTR]" not in own
        parser = Parser()  # one to which an interrupt in it would be forged
        events = [*parser.feed(own), *parser.end()]
        called = [event.id for event in events if isinstance(event, CallReady)]
        assert len(called) == len(set(called))
        for begin, end in trace["mask"]:
            reader = Parser(transcript=True)
            blocks = [*reader.feed(trace["cml"][begin:end].strip("\n")), *reader.end()]
            assert any(isinstance(block, InterruptRead) for block in blocks)
            assert not any(isinstance(block, CallReady | TrapReached) for block in blocks)


def test_every_result_and_wish_is_told_once(made: list[dict]) -> None:
    asked_later = 0
    for trace in made:
        parser = Parser(transcript=True)
        events = [*parser.feed(trace["cml"]), *parser.end()]
        told = [event.source for event in events if isinstance(event, InterruptRead)]
        called = [event.id for event in events if isinstance(event, CallReady)]
        assert sorted(source for source in told if source != "user") == sorted(called)
        asked_later += "user" in told
    assert asked_later >= 4


def test_the_forms_say_the_same(made: list[dict]) -> None:
    for trace in made:
        assert trace["cml"] in trace["text"]
        assert cut(trace["text"], trace["text_mask"]).removesuffix("<|im_end|>") == cut(
            trace["cml"], trace["mask"]
        )
        roles = [message["role"] for message in trace["messages"]]
        assert roles[:2] == ["system", "user"]
        assert roles[-1] == "assistant"
        assert all(a != b for a, b in pairwise(roles))
        own = [message["content"] for message in trace["messages"] if message["role"] == "assistant"]
        assert not any("[INTR]" in text for text in own)
        put_in = [message["content"] for message in trace["messages"][2:] if message["role"] == "user"]
        assert all(text.startswith("[INTR]") for text in put_in)
        system = trace["messages"][0]["content"]
        assert all(f'"{tool}": {seconds}' in system for tool, seconds in trace["estimates"].items())


def test_a_speed_may_be_given() -> None:
    (slow,) = traces(1, 5, 20)
    (fast,) = traces(1, 5, 200)
    assert (slow["tokens_per_second"], fast["tokens_per_second"]) == (20, 200)
    assert slow["seconds"] > fast["seconds"]


def test_the_command_writes_the_file(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    done = CliRunner().invoke(app, ["asynclm", "--make-sft", str(file), "--samples", "3", "--seed", "4"])
    assert done.exit_code == 0, done.output
    assert "3 traces" in done.stdout
    assert [trace["id"] for trace in lines(file)] == [f"asynclm-4-{n:04d}" for n in range(3)]
    nowhere = CliRunner().invoke(app, ["asynclm", "--make-sft", str(tmp_path / "no" / "x.jsonl")])
    assert isinstance(nowhere.exception, UserError)
    assert "No such file" in str(nowhere.exception)
