"""Providers' batch APIs without a server: what they are asked, and what is read of their answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.chat.anthropic_batches import AnthropicBatches
from agentflow_protocols.chat.batches import BatchState
from agentflow_protocols.chat.gemini_batches import GeminiBatches
from agentflow_protocols.chat.mistral_batches import MistralBatches
from agentflow_protocols.chat.openai_batches import OpenAIBatches
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

APIS = {
    "anthropic": AnthropicBatches(),
    "azure": OpenAIBatches(100_000, prefix="", query="api-version=2024-10-21"),
    "gemini": GeminiBatches(),
    "mistral": MistralBatches(),
    "openai": OpenAIBatches(),
}
VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "protocols/vectors/batches.jsonl")
    .read_text("utf-8")
    .splitlines()
]
of_each = pytest.mark.parametrize("api", APIS.values(), ids=APIS)


def of_kind(kind):
    cases = [case for case in VECTORS if case["kind"] == kind]
    return pytest.mark.parametrize("case", cases, ids=[f"{case['api']}: {case['name']}" for case in cases])


def told(call):
    """Return a call as the vectors have it: without what it has by default."""
    out = {"method": call.method, "path": call.path}
    if call.lines:
        out["around"] = [call.head.decode(), call.between.decode(), call.tail.decode()]
    elif call.head:
        out["body"] = json.loads(call.head)
    if call.pause:
        out["pause"] = call.pause
    return out | ({"creates": True} if call.creates else {})


def driven(steps, answers):
    """Return the calls of a generator that is given `answers`, and what it returns."""
    calls = []
    answers = iter([None, *(json.dumps(answer).encode() for answer in answers)])
    try:
        for answer in answers:
            calls.append(told(steps.send(answer)))
    except StopIteration as end:
        return calls, end.value
    raise AssertionError("it goes on")


@of_kind("line")
def test_a_line(case):
    api = APIS[case["api"]]
    line = api.line(case["custom_id"], case["path"], json.dumps(case["body"]).encode())
    assert b"\n" not in line
    assert json.loads(line) == case["line"]


@of_kind("submit")
def test_the_calls_that_hand_in_a_batch(case):
    steps = APIS[case["api"]].submit(case["model"], case["batch"], json.dumps(case["first"]).encode())
    calls, identity = driven(steps, case["answers"])
    assert (calls, identity) == (case["calls"], case["id"])


@of_kind("find")
def test_a_batch_is_looked_for_by_its_name(case):
    calls, identity = driven(APIS[case["api"]].find(case["batch"]), case["answers"])
    assert ([call["path"] for call in calls], identity) == (case["paths"], case["id"])


@of_kind("state")
def test_a_state(case):
    state = APIS[case["api"]].read_state(json.dumps(case["body"]).encode())
    found = {name: getattr(state, name) for name in BatchState.__slots__ if getattr(state, name)}
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    if "inline" in found:
        found["inline"] = [json.loads(row) for row in found["inline"]]
    assert found == case["state"]


@of_kind("result")
def test_a_result(case):
    result = APIS[case["api"]].read_result(json.dumps(case["line"]).encode())
    assert result.custom_id == "a"
    assert (result.body is None) == ("body" not in case)
    if result.body is not None:
        assert json.loads(result.body) == case["body"]
    assert result.unasked == case.get("unasked", "")
    if "error" in case:
        assert (result.status, result.error.message) == tuple(case["error"])


@of_each
def test_what_is_asked_of_a_batch_that_is_there(api):
    remote = "batches/1" if isinstance(api, GeminiBatches) else "b 1"
    state, cancel = api.state(remote), api.cancel(remote)
    assert (state.method, cancel.method) == ("GET", "POST")
    assert " " not in state.path + cancel.path
    assert "cancel" in cancel.path


def test_what_a_batch_api_does_not_take():
    for bad in ("", "a b", "x" * 65, "ä"):
        with pytest.raises(LocalProtocolError, match="is not taken"):
            APIS["anthropic"].line(bad, "/messages", b"{}")
    with pytest.raises(LocalProtocolError, match="asks nothing at /embeddings"):
        APIS["openai"].line("a", "/embeddings", b"{}")
    with pytest.raises(LocalProtocolError, match="asks nothing at /completions"):
        APIS["mistral"].line("a", "/completions", b"{}")


WORDS = (
    *("id", "status", "custom_id", "result", "response", "error", "metadata", "key", "name", "state"),
    *("processing_status", "request_counts", "type", "body", "status_code", "code", "message", "done"),
    *("inlinedResponses", "errors", "data", "operations", "output_file_id", "batchStats"),
)
SCRAPS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["ended", "pending"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)


@of_each
@given(value=SCRAPS)
def test_answers_of_all_kinds_raise_nothing_but_our_own(api, value):
    body = json.dumps(value).encode()
    for read in (api.read_state, api.read_result):
        try:
            read(body)
        except RemoteProtocolError:
            pass
    for steps in (api.submit("m", "n", b'{"url": "/v1/x"}'), api.find("n")):
        try:
            next(steps)
            while True:
                steps.send(body)
        except (RemoteProtocolError, StopIteration):
            pass


@of_each
@given(raw=st.binary(max_size=60))
def test_bytes_of_all_kinds_raise_nothing_but_our_own(api, raw):
    with pytest.raises(RemoteProtocolError):
        api.read_result(raw)
    with pytest.raises(RemoteProtocolError):
        api.read_state(raw)
