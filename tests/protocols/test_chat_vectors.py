"""The dialects' conformance vectors, and what holds of every dialect: see `protocols/vectors/chat-*.jsonl`.

A line is a request and the `body` it makes; the `events` of a stream with its deltas and
its reply, or the error that it ends in; a whole body and its reply; or a refusal and its class.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.endpoints import dialect
from agentflow.endpoints.faults import classify
from agentflow.endpoints.providers import PROVIDERS
from agentflow_protocols.chat import (
    CallStarted,
    ChatRequest,
    Message,
    ReasoningPiece,
    Settings,
    TextPiece,
    ToolCall,
    ToolSpec,
)
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.openai_reply import reply_deltas
from agentflow_protocols.chat.server_error import ErrorReply, parse_error
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

FOLDER = Path(__file__).parents[2] / "protocols" / "vectors"
DIALECTS = {
    "anthropic": dialect.MESSAGES,
    "gemini": dialect.GENERATE_CONTENT,
    "ollama": dialect.OLLAMA,
    "openai": dialect.CHAT_COMPLETIONS,
    "openai-responses": dialect.RESPONSES,
    "quart": dialect.QUART,
}
LINES = (dialect.OLLAMA,)  # whose streams are JSON lines, not server-sent events
VECTORS = [
    pytest.param(DIALECTS[name], PROVIDERS[name].capabilities, case, id=f"{name}: {case['name']}")
    for name in DIALECTS
    for case in map(json.loads, (FOLDER / f"chat-{name}.jsonl").read_text("utf-8").splitlines())
]
of_all = pytest.mark.parametrize("spoken", DIALECTS.values(), ids=DIALECTS)


def of_kind(kind):
    return pytest.mark.parametrize(
        ("spoken", "can", "case"), [vector for vector in VECTORS if vector.values[2]["kind"] == kind]
    )


def read_request(data):
    values = dict(data)
    given_settings = values.pop("settings", {})
    if "stop" in given_settings:
        given_settings = {**given_settings, "stop": tuple(given_settings["stop"])}
    return ChatRequest(
        [Message.from_json(message) for message in values.pop("messages")],
        tools=[ToolSpec(**spec) for spec in values.pop("tools", ())],
        settings=Settings(**given_settings),
        **values,
    )


def stream_bytes(spoken, events):
    """Write events as servers do; one that is a text stands as it is."""
    if spoken in LINES:
        return b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)
    out = b""
    for event in events:
        kind = f"event: {event['type']}\n" if "type" in event else ""
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        out += f"{kind}data: {data}\n\n".encode()
    return out


def read(spoken, *chunks):
    """Return the deltas, with text and reasoning that follow one another joined, and the reader."""
    reader = spoken.reader()
    deltas = [delta for chunk in chunks for delta in reader.feed(chunk)]
    deltas += reader.end()
    out = []
    for delta in deltas:
        kind = {TextPiece: "text", ReasoningPiece: "reasoning"}.get(type(delta))
        if kind and out and out[-1][0] == kind:
            out[-1][1] += delta.text
        elif kind:
            out.append([kind, delta.text])
        elif type(delta) is CallStarted:
            out.append(["started", delta.index, delta.name])
        else:
            out.append(["ready", delta.index, delta.fault])
    return out, reader


def as_json(reply):
    others = [message.to_json() for message in reply.others]
    told = {**asdict(reply), "message": reply.message.to_json(), "others": others}
    return {k: v for k, v in told.items() if v or k not in ("stopped", "others", "safety")}


@of_kind("request")
def test_a_request_makes_this_body(spoken, can, case):
    can = Capabilities(**{**asdict(can), **case.get("capabilities", {})})
    request = read_request(case["request"])
    streamed = case.get("stream", True)
    if "refused" in case:
        with pytest.raises(LocalProtocolError, match=case["refused"]):
            spoken.encode(request, case["model"], stream=streamed, capabilities=can)
        return
    body = spoken.encode(request, case["model"], stream=streamed, capabilities=can)
    assert json.loads(body) == case["body"]
    if "path" in case:
        assert spoken.path(request, case["model"], streamed) == case["path"]


@of_kind("stream")
def test_a_stream_gives_these_deltas_and_this_reply(spoken, can, case):
    raw = stream_bytes(spoken, case["events"])
    deltas, reader = read(spoken, raw)
    assert deltas == case["deltas"]
    if case["reply"] is not None:
        assert as_json(reader.finish()) == case["reply"]
    elif "fault" in case:
        with pytest.raises(RemoteProtocolError, match=case["fault"]):
            reader.finish()
        assert reader.fault is None
    else:
        with pytest.raises(ErrorReply) as caught:
            reader.finish()
        assert type(classify("m", 200, caught.value.error)).__name__ == case["error"]
    assert read(spoken, *(raw[i : i + 1] for i in range(len(raw))))[0] == deltas
    assert read(spoken, *(raw[i : i + 7] for i in range(0, len(raw), 7)))[0] == deltas


@of_kind("whole")
def test_a_whole_body_gives_this_reply(spoken, can, case):
    body = json.dumps(case["body"]).encode()
    if case["reply"] is None:
        with pytest.raises(RemoteProtocolError, match=case["fault"]):
            spoken.parse_reply(body)
        return
    reply = spoken.parse_reply(body)
    assert as_json(reply) == case["reply"]
    calls = [delta.call for delta in reply_deltas(reply) if hasattr(delta, "call")]
    assert calls == reply.message.calls


@of_kind("error")
def test_an_error_body_is_this_error(spoken, can, case):
    error = spoken.parse_error(json.dumps(case["body"]).encode())
    told = classify("m", case["status"], error)
    assert type(told).__name__ == case["error"]
    assert error.message
    if "retry_after" in case:
        assert told.retry_after == case["retry_after"]


STREAMS = [vector.values for vector in VECTORS if vector.values[2]["kind"] == "stream"]


@given(st.sampled_from(STREAMS), st.data())
def test_any_split_of_the_bytes_gives_the_same(vector, data):
    spoken, _, case = vector
    raw = stream_bytes(spoken, case["events"])
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    pieces = [raw[a:b] for a, b in pairwise([0, *sorted(cuts), len(raw)])]
    deltas, reader = read(spoken, *pieces)
    assert deltas == case["deltas"]
    if case["reply"] is not None:
        assert as_json(reader.finish()) == case["reply"]


SCRAPS = [None, True, -1, 0, 2, 1.5, "", "a", "{}", [], {}, [None], {"type": "text"}, 10**30]


def mutated(value, dice):
    """Return `value` with some of what is in it taken out or replaced."""
    if dice.random() < 0.08:
        return dice.choice(SCRAPS)
    if isinstance(value, dict):
        return {k: mutated(v, dice) for k, v in value.items() if dice.random() > 0.05}
    if isinstance(value, list):
        return [mutated(each, dice) for each in value]
    return value


@settings(max_examples=300)
@given(st.sampled_from(STREAMS), st.integers(0, 2**32))
def test_a_mutated_stream_raises_nothing_but_our_own(vector, seed):
    spoken, _, case = vector
    dice = random.Random(seed)
    events = [mutated(event, dice) for event in case["events"]]
    dice.shuffle(events) if dice.random() < 0.3 else None
    mark = b"" if spoken in LINES else b"data: "
    _, reader = read(spoken, b"".join(mark + json.dumps(event).encode() + b"\n\n" for event in events))
    try:
        reply = reader.finish()
    except RemoteProtocolError:
        return
    request = ChatRequest([Message("user", "x"), reply.message])
    assert json.loads(spoken.encode(request, "m", stream=True, capabilities=Capabilities()))
    assert Message.from_json(json.loads(json.dumps(reply.message.to_json()))) == reply.message


WHOLE = [vector.values for vector in VECTORS if vector.values[2]["kind"] == "whole"]


@given(st.sampled_from(WHOLE), st.integers(0, 2**32))
def test_a_mutated_body_raises_nothing_but_our_own(vector, seed):
    spoken, _, case = vector
    raw = json.dumps(mutated(case["body"], random.Random(seed))).encode()
    try:
        reply_deltas(spoken.parse_reply(raw))
    except RemoteProtocolError:
        pass
    parse_error(raw)


@of_all
@given(raw=st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_own(spoken, raw):
    _, reader = read(spoken, b"data: " + raw + b"\n\n", raw)
    with pytest.raises(RemoteProtocolError):
        reader.finish()
    with pytest.raises(RemoteProtocolError):
        spoken.parse_reply(raw)


@pytest.mark.parametrize(
    "spoken", [spoken for spoken in DIALECTS.values() if spoken is not dialect.CHAT_COMPLETIONS]
)
@pytest.mark.parametrize("depth", [300, 900, 5000])
def test_an_event_that_is_nested_too_deeply_is_a_fault(spoken, depth):
    deep = b'{"a":' * depth + b'"\\ud83d"' + b"}" * depth
    call = b'{"functionCall": {"name": "f", "args": ' + deep + b"}}"
    whole = b'{"candidates": [{"content": {"parts": [' + call + b"]}}]}"
    for event in (deep, whole):
        _, reader = read(spoken, b"data: " + event + b"\n\n")
        with pytest.raises(RemoteProtocolError):
            reader.finish()


@pytest.mark.parametrize("spoken", [spoken for spoken in DIALECTS.values() if spoken is not dialect.QUART])
@pytest.mark.parametrize("arguments", ['{"a": NaN}', '{"a": 1e999}', "[1", "[" * 5000, '{"a": "\\ud800"}'])
def test_arguments_of_all_kinds_go_back_as_json(spoken, arguments):
    said = Message("assistant", calls=[ToolCall("c1", "f", arguments)])
    request = ChatRequest([Message("user", "x"), said, Message("tool", "no", call_id="c1")])
    body = spoken.encode(request, "m", stream=True, capabilities=Capabilities())

    def refuse(name):
        raise AssertionError(name)

    json.loads(body.decode("utf-8"), parse_constant=refuse)


@of_all
def test_a_character_cut_in_two_is_never_half(spoken):
    request = ChatRequest([Message("user", "\ud83d!")])
    body = spoken.encode(request, "m", stream=True, capabilities=Capabilities())
    assert json.loads(body.decode("utf-8"))


@of_all
def test_a_prompt_text_is_refused_where_there_is_no_path_for_it(spoken):
    paths = {"chat-completions": "/completions", "ollama": "/api/generate", "quart": "/generate"}
    if spoken.name in paths:
        assert spoken.path(ChatRequest([], prompt="x"), "m", True) == paths[spoken.name]
        body = spoken.encode(ChatRequest([], prompt="x"), "m", stream=True, capabilities=Capabilities())
        assert b'"x"' in body
        return
    with pytest.raises(LocalProtocolError, match="prompt"):
        spoken.encode(ChatRequest([], prompt="x"), "m", stream=True, capabilities=Capabilities())
