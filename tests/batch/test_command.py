"""`agentflow batch FILE`: prompto's folders, files and keys, and what is added to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agentflow.testing import LoopbackServer
from agentflow_protocols.chat import Json
from tests.batch.conftest import Lab, asks

STAMP = re.compile(r"\d{2}-\d{2}-\d{4}-\d{2}-\d{2}-\d{2}")


def test_an_experiment_is_answered(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(*(asks(n, topic="words", parameters={"max_tokens": 5}) for n in range(20)))
    status, summary = lab.run(file)
    assert status == 0
    assert summary["prompts"] == summary["answered"] == summary["requests"] == 20
    assert summary["failed"] == summary["skipped_finished"] == summary["rate_limited"] == 0
    assert set(summary) >= {"wall_s", "rate_used", "tokens", "cost", "output"}
    assert {json.dumps(request.body["max_tokens"]) for request in server.requests} == {"5"}
    assert server.requests[0].headers["authorization"] == "Bearer test-key"
    lines = sorted(lab.lines(), key=lambda line: int(str(line["id"])))
    assert [line["response"] for line in lines] == [f"WORD {n}" for n in range(20)]
    assert list(lines[0])[:8] == [
        *("id", "api", "model_name", "prompt", "topic", "parameters", "timestamp_sent", "response")
    ]
    assert STAMP.fullmatch(str(lines[0]["timestamp_sent"]))
    assert lines[0]["finish_reason"] == "stop"
    assert lines[0]["endpoint"] == "openai:loopback"


def test_files_lie_where_prompto_has_them(lab: Lab, server: LoopbackServer) -> None:
    (lab.data / "input").mkdir(parents=True)
    file = lab.write(asks(1), name="data/input/quiz.jsonl")
    text = file.read_bytes()
    lab.run(file)
    out = lab.data / "output/quiz"
    assert not file.exists()
    (moved,) = out.glob("*-input-quiz.jsonl")
    assert moved.read_bytes() == text
    stamp = moved.name.removesuffix("-input-quiz.jsonl")
    assert STAMP.fullmatch(stamp)
    assert (out / f"{stamp}-completed-quiz.jsonl").exists()
    log = (out / f"{stamp}-log-quiz.txt").read_text()
    assert re.match(r"\d{2}-\d{2}-\d{4}, \d{2}:\d{2}: 1 prompts", log)
    assert (lab.data / "media").is_dir()


def test_a_file_elsewhere_is_copied_or_moved(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(asks(1))
    lab.run(file)
    assert file.exists()
    lab.run(file, "-m", "--fresh")
    assert not file.exists()


def test_a_list_of_texts_is_a_conversation(lab: Lab, server: LoopbackServer) -> None:
    lab.run(lab.write({**asks(1), "prompt": ["one", "two"]}))
    (line,) = lab.lines()
    assert line["response"] == ["ONE", "TWO"]
    assert line["attempts"] == 2
    told = server.requests[1].body["messages"]
    assert [message["content"] for message in told] == ["one", "ONE", "two"]  # type: ignore[index,union-attr]


def test_a_refused_prompt_has_promptos_text_and_an_error(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer("fine", faults=[400]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        status, summary = lab.run(lab.write(asks(1)))
    assert status == 1
    assert summary["failed"] == 1
    assert summary["errors"] == {"RequestRejected": 1}
    (line,) = lab.lines()
    assert str(line["response"]).startswith("RequestRejected - ")
    error = line["error"]
    assert isinstance(error, dict)
    assert error["type"] == "RequestRejected"
    assert error["attempts"] == 1
    assert len(server.requests) == 1


def test_what_may_pass_is_asked_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = (500, 503, "drop", "malformed", "empty", "truncate")
    with LoopbackServer("fine", faults=faults) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        status, summary = lab.run(lab.write(*(asks(n) for n in range(6))), "-mq", 60_000)
    assert status == 0
    assert summary["requests"] == 12
    assert [line["response"] for line in lab.lines()] == ["fine"] * 6


def test_attempts_are_bounded(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer("fine", faults=[500] * 3) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert lab.run(lab.write(asks(1)), "-ma", 2)[0] == 1
    response = str(lab.lines()[0]["response"])
    assert response.startswith("An unexpected error occurred when querying the API: (EndpointUnavailable - ")
    assert response.endswith(" after maximum 2 attempts")


def test_csv_goes_in_and_out(lab: Lab, server: LoopbackServer) -> None:
    table = lab.folder / "quiz.csv"
    table.write_text(
        "id,api,model_name,prompt,parameters-max_tokens,note\r\n"
        "1,openai,loopback,one,5,\r\n"
        '2,openai,loopback,"two, three",,kept\r\n'
    )
    status, summary = lab.run(table, "--output-as-csv", "--in-order")
    assert status == 0
    one, two = lab.lines("in-order")
    assert one["id"] == 1
    assert one["parameters"] == {"max_tokens": 5}
    assert "note" not in one
    assert two["response"] == "TWO, THREE"
    outputs = summary["outputs"]
    assert isinstance(outputs, dict)
    head, *rows = Path(str(outputs["table"])).read_text().splitlines()
    assert head.startswith("id,api,model_name,prompt,parameters,")
    assert "nan" not in " ".join(rows).lower()
    assert list((lab.data / "output/quiz").glob("*-input-quiz.csv"))


def test_in_order_is_the_order_of_the_input(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer("fine", faults=[None, 503]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        lab.run(lab.write(*(asks(n) for n in range(30))), "--in-order")
    assert [line["id"] for line in lab.lines("in-order")] == list(range(30))
    assert {line["id"] for line in lab.lines()} == set(range(30))


def test_repeated_lines_are_answered_each(lab: Lab, server: LoopbackServer) -> None:
    assert lab.run(lab.write(*[asks(1)] * 4))[1]["answered"] == 4
    assert len(server.requests) == 4


def test_scorers(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(
        asks(1, expected_response="WORD 1"), asks(2, expected_response="ORD"), asks(3, expected_response="x")
    )
    lab.run(file, "-s", "match,includes")
    found = {line["id"]: (line["match"], line["includes"]) for line in lab.lines()}
    assert found == {1: (True, True), 2: (False, True), 3: (False, False)}


def test_a_key_that_is_missing_is_wrong_use_and_nothing_is_sent(lab: Lab) -> None:
    status, summary = lab.run(lab.write(asks(1)))
    assert status == 2
    assert summary["status"] == "invalid"
    assert "OPENAI_API_KEY" in lab.said
    assert "OPENAI_API_KEY_loopback" in lab.said


def test_a_model_may_have_a_server_of_its_own(
    lab: Lab, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer("other") as other:
        monkeypatch.setenv("OPENAI_BASE_URL_my_model_2", other.url)
        file = lab.write(asks(1), {**asks(2), "model_name": "my-model.2"})
        assert lab.run(file)[0] == 0
    assert {line["id"]: line["response"] for line in lab.lines()} == {1: "WORD 1", 2: "other"}


def test_an_env_file_is_read(lab: Lab) -> None:
    with LoopbackServer("fine") as server:
        (lab.folder / "keys.env").write_text(f"OPENAI_API_KEY=k1\nOPENAI_BASE_URL={server.url}\n")
        assert lab.run(lab.write(asks(1)), "-e", "keys.env")[0] == 0
    assert server.requests[0].headers["authorization"] == "Bearer k1"


def test_a_wrong_key_does_not_burn_through_the_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer("fine", faults=[401] * 200) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        status, summary = lab.run(lab.write(*(asks(n) for n in range(200))), "--concurrency", 2)
    assert status == 1
    assert len(server.requests) < 30
    assert summary["unasked"] == 200 - len(server.requests)
    assert "401" in str(summary["stopped"])


def test_a_budget_is_kept_and_the_rest_is_asked_later(lab: Lab, server: LoopbackServer) -> None:
    file = lab.write(*(asks(n, parameters={"max_tokens": 5}) for n in range(50)))
    status, summary = lab.run(file, "--budget", "300tokens")
    assert status == 1
    assert 0 < int(str(summary["answered"])) < 50
    assert int(str(summary["tokens"])) <= 300
    assert "allowance" in str(summary["stopped"])
    assert lab.run(file)[1]["answered"] == 50
    assert len(server.requests) == 50


def test_a_budget_in_dollars_needs_a_price(lab: Lab, server: LoopbackServer) -> None:
    assert lab.run(lab.write(asks(1)), "--budget", "2.50")[0] == 2
    assert "price" in lab.said
    assert not server.requests


@pytest.mark.parametrize("budget", ["", "much", "-1", "0", "inf", "5 euros"])
def test_a_budget_that_is_none(lab: Lab, budget: str) -> None:
    assert lab.run(lab.write(asks(1)), "--budget", budget)[0] == 2
    assert "--budget" in lab.said


def test_groups_have_limits_of_their_own(lab: Lab, server: LoopbackServer) -> None:
    rates = lab.folder / "rates.json"
    rates.write_text(json.dumps({"slow": 60, "openai": {"default": 6000, "loopback": 6000}}))
    file = lab.write(*(asks(n) for n in range(20)), *(asks(n, group="slow") for n in range(20, 22)))
    status, summary = lab.run(file, "-p", "-mqj", rates)
    assert status == 0
    slow = [
        r.at
        for r in server.requests
        if str(r.body["messages"]).count("word 2") and "word 2'" not in str(r.body)
    ]
    assert float(str(summary["wall_s"])) > 0.9
    assert slow


@pytest.mark.parametrize(
    ("rates", "told"),
    [('{"opneai": 5}', "openai"), ('{"openai": 0}', "above 0"), ("[]", "object"), ("{", "no JSON")],
)
def test_rates_that_fit_nothing_are_named(lab: Lab, server: LoopbackServer, rates: str, told: str) -> None:
    path = lab.folder / "rates.json"
    path.write_text(rates)
    assert lab.run(lab.write(asks(1)), "-p", "-mqj", path)[0] == 2
    assert told in lab.said
    assert not server.requests


def test_calls_of_a_model_are_kept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from agentflow.builtin.scripted import ScriptedCall

    with LoopbackServer([ScriptedCall("look", {"at": "x"})]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
        assert lab.run(lab.write(asks(1, parameters={"tools": [tool]})))[0] == 0
    (line,) = lab.lines()
    assert line["response"] == ""
    assert line["finish_reason"] == "tool_calls"
    (call,) = line["tool_calls"]  # type: ignore[misc,union-attr]
    assert call["name"] == "look"  # type: ignore[index,call-overload]


def test_a_parameter_that_asks_for_a_stream_changes_nothing(lab: Lab, server: LoopbackServer) -> None:
    more: dict[str, Json] = {"stream": True, "stream_options": {"include_usage": True}}
    assert lab.run(lab.write(asks(1, parameters=more)))[0] == 0
    (line,) = lab.lines()
    assert line["response"] == "WORD 1"
    assert line["parameters"] == more
