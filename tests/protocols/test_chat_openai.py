"""The Chat Completions dialect: what is asked, and what is read from servers of all kinds."""

from __future__ import annotations

import json
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.chat import (
    CallReady,
    CallStarted,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    ReasoningPiece,
    Settings,
    TextPart,
    TextPiece,
    ToolCall,
    ToolSpec,
    Usage,
)
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.openai import encode_request, request_body
from agentflow_protocols.chat.openai_reply import ReplyParser, parse_reply, reply_deltas
from agentflow_protocols.chat.server_error import ErrorReply, parse_error
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError


def event(delta=None, finish=None, **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"model": "m", "choices": choices, **more}).encode() + b"\n\n"


def call(index=None, id=None, name=None, arguments=None):
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    out = {"function": function, "type": "function"}
    if index is not None:
        out["index"] = index
    if id is not None:
        out["id"] = id
    return {"tool_calls": [out]}


def read(*chunks):
    parser = ReplyParser()
    deltas = [delta for chunk in chunks for delta in parser.feed(chunk)]
    deltas += parser.end()
    return deltas, parser


DONE = b"data: [DONE]\n\n"


def test_messages_are_written_in_the_wires_words():
    request = ChatRequest(
        [
            Message("system", "Be brief."),
            Message("user", [TextPart("What is it?"), ImagePart("https://x/y.png", "low")]),
            Message("user", [FilePart("a.pdf", "QQ==", "application/pdf"), FilePart("b", file_id="f1")]),
            Message("assistant", calls=[ToolCall("c1", "boil", '{"pot":1}', {"extra_content": {"s": 1}})]),
            Message("tool", "done", call_id="c1"),
            Message("assistant", "Good.", refusal="no", extra={"prefix": True}),
        ]
    )
    body = json.loads(encode_request(request, "gpt", capabilities=Capabilities(developer_role=True)))
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}
    data = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="}
    written = {"id": "c1", "type": "function", "function": {"name": "boil", "arguments": '{"pot":1}'}}
    assert body["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]},
        {
            "role": "user",
            "content": [{"type": "file", "file": data}, {"type": "file", "file": {"file_id": "f1"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [{**written, "extra_content": {"s": 1}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "assistant", "content": "Good.", "refusal": "no", "prefix": True},
    ]


def test_tools_settings_and_output_are_written_in_the_wires_words():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = ChatRequest(
        [],
        tools=[ToolSpec("boil", "Boil it.", MappingProxyType({"type": "object"}), strict=True)],
        tool_choice="boil",
        settings=Settings(0.5, 0.9, 100, 7, ("X",), "low", {"prompt_cache_key": "k", "seed": 8}),
        output=schema,
        output_name="meal",
    )
    can = Capabilities(max_tokens_field="max_completion_tokens")
    boil = {"name": "boil", "description": "Boil it.", "parameters": {"type": "object"}, "strict": True}
    assert json.loads(encode_request(request, "gpt", capabilities=can)) == {
        "model": "gpt",
        "messages": [],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [{"type": "function", "function": boil}],
        "tool_choice": {"type": "function", "function": {"name": "boil"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "meal", "schema": schema}},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 100,
        "seed": 8,
        "stop": ["X"],
        "reasoning_effort": "low",
        "prompt_cache_key": "k",
    }


def test_a_closed_schema_is_asked_for_strictly():
    inner = {"type": "object", "properties": {}, "additionalProperties": False}
    closed = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": inner}},
        "required": ["a"],
        "additionalProperties": False,
    }
    body = request_body(ChatRequest([], output=closed), "m", stream=False)
    assert body["response_format"]["json_schema"]["strict"] is True
    assert not body.keys() & {"stream", "stream_options"}


def test_an_endpoint_without_schemas_is_told_the_schema_in_words():
    can = Capabilities(json_schema=False, stream_usage=False)
    body = request_body(ChatRequest([Message("user", "x")], output={"type": "object"}), "m", capabilities=can)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][-1]["role"] == "system"
    assert '{"type":"object"}' in body["messages"][-1]["content"]
    assert "stream_options" not in body


def test_cache_marks_go_where_they_are_taken():
    request = ChatRequest([Message("user", "x", cache=True)])
    assert request_body(request, "m")["messages"] == [{"role": "user", "content": "x"}]
    marked = request_body(request, "m", capabilities=Capabilities(cache_control=True))["messages"][0]
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    assert marked["content"] == [part]


def test_what_an_endpoint_does_not_take_is_refused():
    request = ChatRequest([Message("user", [ImagePart("data:x")])])
    with pytest.raises(LocalProtocolError, match="message 1 holds an image"):
        request_body(request, "m", capabilities=Capabilities(images=False))
    request = ChatRequest([Message("user", [FilePart("x")])])
    with pytest.raises(LocalProtocolError, match="message 1 holds a file"):
        request_body(request, "m", capabilities=Capabilities(files=False))


def test_a_lone_surrogate_does_not_stop_a_request():
    assert b"?" in encode_request(ChatRequest([Message("user", "\ud800")]), "m")


def test_text_reasoning_usage_and_refusal_of_a_stream():
    deltas, parser = read(
        event({"role": "assistant", "content": ""}),
        event({"reasoning_content": "Hm"}),
        event({"reasoning": "m."}),
        event({"content": "Good"}),
        event({"content": " day"}),
        event({"content": ' "x" \\ é'}),
        event({"refusal": "But no."}),
        event({}, "stop"),
        event(
            usage={
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            }
        ),
        DONE,
    )
    assert deltas[:2] == [ReasoningPiece("Hm"), ReasoningPiece("m.")]
    reply = parser.finish()
    assert "".join(d.text for d in deltas[2:]) == reply.message.content == 'Good day "x" \\ é'
    assert reply.message.reasoning == "Hmm."
    assert reply.message.refusal == "But no."
    assert reply.usage == Usage(10, 5, 4, 2, 1)
    assert (reply.finish, reply.model) == ("stop", "m")


def test_a_call_is_ready_as_soon_as_its_arguments_close():
    parser = ReplyParser()
    assert parser.feed(event(call(0, "a", "boil", ""))) == [CallStarted(0, "boil")]
    assert parser.feed(event(call(0, arguments='{"pot": "}'))) == []
    ready = CallReady(0, ToolCall("a", "boil", '{"pot": "}"}'))
    assert parser.feed(event(call(0, arguments='"}'))) == [ready]
    assert parser.feed(event(call(1, "b", "chop", '{"x": 1'))) == [CallStarted(1, "chop")]
    # The next call closes one whose arguments never did.
    deltas = parser.feed(event(call(2, "c", "stir")))
    assert isinstance(deltas[0], CallReady)
    assert "Expecting ',' delimiter" in deltas[0].fault
    assert deltas[1] == CallStarted(2, "stir")
    assert parser.feed(event({}, "tool_calls")) == [CallReady(2, ToolCall("c", "stir", "{}"))]
    parser.feed(DONE)
    assert [c.name for c in parser.finish().message.calls] == ["boil", "chop", "stir"]


def names_and_arguments(*chunks):
    deltas, parser = read(*chunks, event({}, "stop"), DONE)
    reply = parser.finish()
    ready = [d.call for d in deltas if isinstance(d, CallReady)]
    assert ready == reply.message.calls
    assert reply.finish == "tool_calls"
    return [(c.id, c.name, c.arguments) for c in ready]


TWO = [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [event(call(0, "a", "f", '{"x":1}')), event(call(1, "b", "g", '{"y":2}'))], id="whole calls"
        ),
        pytest.param(
            [event(call(None, "a", "f", '{"x":1}')), event(call(None, "b", "g", '{"y":2}'))], id="no index"
        ),
        pytest.param(
            [event(call(0, "a", "f", '{"x":1}')), event(call(0, "b", "g", '{"y":2}'))], id="index always 0"
        ),
        pytest.param(
            [event(call(0, "a", "f", {"x": 1})), event(call(1, "b", "g", {"y": 2}))], id="arguments as object"
        ),
        pytest.param(
            [
                event(
                    {
                        "tool_calls": call(0, "a", "f", '{"x":1}')["tool_calls"]
                        + call(1, "b", "g", '{"y":2}')["tool_calls"]
                    }
                )
            ],
            id="all at once",
        ),
        pytest.param(
            [
                event(call(0, "a", "f", "")),
                event(call(0, "a", "f", '{"x":')),
                event(call(0, "a", "f", "1}")),
                event(call(1, "b", "g", '{"y":2}')),
                event(call(1, "b", "g", "")),
            ],
            id="id and name in each delta",
        ),
        pytest.param(
            [
                event(call(None, "a", "f", '{"x"')),
                event(call(None, None, None, ":1}")),
                event(call(None, "b", "g", "")),
                event(call(None, None, None, '{"y":2}')),
            ],
            id="pieces without an index",
        ),
        pytest.param(
            [
                event(call(0, "a", "f", "{}")),
                event(call(0, None, None, '{"x":1}')),
                event(call(1, "b", "g", '{"y":2}')),
            ],
            id="an empty object first",
        ),
    ],
)
def test_calls_of_servers_of_all_kinds(chunks):
    calls = names_and_arguments(*chunks)
    assert [(i, n, json.loads(a)) for i, n, a in calls] == [(i, n, json.loads(a)) for i, n, a in TWO]


def test_repeated_and_missing_ids_keep_calls_apart():
    calls = names_and_arguments(event(call(0, "a", "f", '{"x":1}')), event(call(1, "a", "g", '{"y":2}')))
    assert [c[:2] for c in calls] == [("a", "f"), ("a", "g")]
    calls = names_and_arguments(event(call(None, None, "f", '{"x":1}')), event(call(None, None, "g", "{}")))
    assert [c[:2] for c in calls] == [("call_0", "f"), ("call_1", "g")]


def test_a_call_without_arguments_is_ready_at_the_next_event():
    parser = ReplyParser()
    assert parser.feed(event(call(0, "a", "f", "{}"))) == [CallStarted(0, "f")]
    assert parser.feed(event({"content": "Now"}))[0] == CallReady(0, ToolCall("a", "f", "{}"))


def test_nulls_and_lists_of_parts_are_read():
    deltas, parser = read(
        event({"role": "assistant", "content": None, "tool_calls": None, "refusal": None}),
        event({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}),
        event({"content": [{"type": "text", "text": "Yes"}]}, usage=None),
        event({}, "length"),
        b"data: [DONE]",
    )
    assert deltas == [ReasoningPiece("Hm"), TextPiece("Yes")]
    reply = parser.finish()
    assert reply.finish == "length"
    assert reply.usage == Usage(requests=1)


def test_what_a_provider_wants_back_with_a_call_is_kept():
    delta = call(0, "a", "f", '{"x":1}')
    delta["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "s"}}
    _, parser = read(event(delta), event({}, "tool_calls"), DONE)
    reply = parser.finish()
    assert reply.message.calls[0].extra == {"extra_content": {"google": {"thought_signature": "s"}}}


def test_a_stream_that_ends_too_soon_is_told_from_a_whole_one():
    _, parser = read(event({"content": "Hal"}))
    with pytest.raises(RemoteProtocolError, match="cut before the reply ended"):
        parser.finish()
    assert parser.partial().message.content == "Hal"
    assert parser.partial().finish == "cut"
    _, parser = read()
    with pytest.raises(RemoteProtocolError, match="ended without a reply"):
        parser.finish()
    _, parser = read(event({"content": "All"}, "stop"))
    assert parser.finish().message.content == "All"
    _, parser = read(event({"content": "All"}), DONE)
    assert parser.finish().message.content == "All"


def test_an_error_in_a_stream_loses_nothing_that_came_before():
    error = b'data: {"error": {"message": "too busy", "type": "overloaded_error", "code": 529}}\n\n'
    deltas, parser = read(event({"content": "Hal"}) + error + event({"content": "never"}))
    assert deltas == [TextPiece("Hal")]
    assert parser.done
    with pytest.raises(ErrorReply) as caught:
        parser.finish()
    assert (caught.value.error.type, caught.value.error.code) == ("overloaded_error", "529")


@pytest.mark.parametrize(
    "bad", [b"data: {\n\n", b"data: 7\n\n", b'data: {"choices": [1]}\n\n', b'data: {"choices": {"a": 1}}\n\n']
)
def test_a_malformed_event_is_named_by_its_number(bad):
    deltas, parser = read(event({"content": "a"}), bad)
    assert deltas == [TextPiece("a")]
    with pytest.raises(RemoteProtocolError, match="event 2 of the stream"):
        parser.finish()


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)


@given(st.lists(texts), st.lists(st.tuples(texts, st.dictionaries(texts, texts))), st.booleans(), st.data())
def test_any_split_of_the_bytes_gives_the_same_reply(pieces, calls, ascii_only, data):
    raw = b""
    for piece in pieces:
        body = {"choices": [{"delta": {"content": piece}, "finish_reason": None}]}
        raw += b"data: " + json.dumps(body, ensure_ascii=ascii_only).encode() + b"\n\n"
    for index, (name, arguments) in enumerate(calls):
        raw += event(call(index, f"c{index}", name or "f", ""))
        raw += event(call(index, arguments=json.dumps(arguments)))
    raw += event({}, "stop") + DONE
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    places = [0, *sorted(cuts), len(raw)]
    deltas, parser = read(*(raw[a:b] for a, b in pairwise(places)))
    reply = parser.finish()
    assert reply.message.content == "".join(pieces)
    assert [json.loads(c.arguments) for c in reply.message.calls] == [arguments for _, arguments in calls]
    assert [d.call for d in deltas if isinstance(d, CallReady)] == reply.message.calls
    assert "".join(d.text for d in deltas if isinstance(d, TextPiece)) == "".join(pieces)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_our_own(raw):
    _, parser = read(b"data: " + raw + b"\n\n", raw)
    with pytest.raises(RemoteProtocolError):
        parser.finish()
    with pytest.raises(RemoteProtocolError):
        parse_reply(raw)
    parse_error(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "{}", '{"a":1}']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "index",
                    "id",
                    "finish_reason",
                    "usage",
                    "error",
                    "prompt_tokens",
                    "code",
                    "type",
                    "x_groq",
                    "text",
                    "thinking",
                    "prompt_tokens_details",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(st.lists(json_values, max_size=4))
def test_no_json_raises_anything_but_our_own(values):
    _, parser = read(*(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values))
    try:
        parser.finish()
    except RemoteProtocolError:
        pass
    for value in values:
        raw = json.dumps(value).encode()
        try:
            reply_deltas(parse_reply(raw))
        except RemoteProtocolError:
            pass
        parse_error(raw)


def test_a_whole_reply():
    message = {"content": "Yes.", **call(None, "a", "f", '{"x": 1')}
    body = {
        "model": "m",
        "choices": [{"message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3},
    }
    reply = parse_reply(json.dumps(body).encode())
    assert reply.usage == Usage(3, 0, 0, 0, 1)
    text, started, ready = reply_deltas(reply)
    assert (text, started) == (TextPiece("Yes."), CallStarted(0, "f"))
    assert ready.fault is not None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": null}}', "m"),
        (b'{"error": "m"}', "m"),
        (b'[{"error": {"message": "m", "code": 400, "status": "INVALID"}}]', "m"),
        (b'{"object": "error", "message": "m", "code": 404}', "m"),
        (b'{"detail": "m"}', "m"),
        (b"m", "m"),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_error_bodies_of_all_kinds(body, message):
    assert parse_error(body).message == message


def test_a_character_cut_in_two_is_joined():
    def lines(*deltas):
        return [f'data: {{"choices":[{{"delta":{delta}}}]}}\n\n'.encode() for delta in deltas]

    deltas, parser = read(
        *lines(
            '{"content":"a \\ud83d"}',
            '{"content":"\\ude00 b"}',
            '{"content":" \\ud83d!"}',
        ),
        event({}, "stop"),
        DONE,
    )
    assert parser.finish().message.content == "a \U0001f600 b \ufffd!"
    assert "".join(d.text for d in deltas if isinstance(d, TextPiece)) == "a \U0001f600 b \ufffd!"
