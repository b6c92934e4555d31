"""The JSON scanner and the SSE parser: any split gives the same answer."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.chat.scan import JsonScanner, object_fault
from agentflow_protocols.chat.sse import SseParser
from agentflow_protocols.errors import RemoteProtocolError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


def pieces_of(text: str | bytes, cuts: list[int]) -> list:
    places = [0, *sorted({cut % (len(text) + 1) for cut in cuts}), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


@given(
    st.dictionaries(st.text(), json_values),
    st.booleans(),
    st.text('{}[]"\\x ', max_size=8),
    st.lists(st.integers(0, 10_000)),
)
def test_the_end_of_an_object_is_found_at_any_split(value, escaped, after, cuts):
    text = "  " + json.dumps(value, ensure_ascii=escaped)
    scanner = JsonScanner()
    read = 0
    for piece in pieces_of(text + after, cuts):
        end = scanner.feed(piece)
        if end >= 0:
            assert read + end == len(text)
            assert scanner.complete
            return
        read += len(piece)
    pytest.fail("the end was not found")


@given(st.dictionaries(st.text(max_size=8), json_values, min_size=1, max_size=4))
def test_no_prefix_is_complete(value):
    text = json.dumps(value)
    scanner = JsonScanner()
    for letter in text[:-1]:
        assert scanner.feed(letter) == -1
    assert scanner.feed(text[-1]) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{}", None),
        (' {"a": [1, "}"]} ', None),
        ('{"a": }', "no valid JSON: Expecting value at line 1, column 7"),
        ('{"a": 1,\n "b" 2}', "no valid JSON: Expecting ':' delimiter at line 2, column 6"),
        ("[1]", "a JSON object is needed, but this is an array"),
        ('"x"', "a JSON object is needed, but this is a string"),
        ("null", "a JSON object is needed, but this is null"),
        ("", "no valid JSON: Expecting value at line 1, column 1"),
        ('{"a": NaN}', "no valid JSON: NaN is no JSON value"),
        ("[" * 100_000, "no valid JSON: nested too deeply"),
    ],
)
def test_faults_say_what_and_where(text, fault):
    assert object_fault(text) == fault


line_texts = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=20)


@given(
    st.lists(st.lists(line_texts, min_size=1, max_size=3), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 10_000)),
    st.booleans(),
)
def test_events_are_the_same_at_any_split(events, end, cuts, mark):
    text = "\ufeff" if mark else ""
    for lines in events:
        text += f": a comment{end}event: x{end}id:7{end}"
        text += "".join(f"data: {line}{end}" for line in lines) + end
    parser = SseParser()
    found = [event for piece in pieces_of(text.encode(), cuts) for event in parser.feed(piece)]
    assert found == ["\n".join(lines) for lines in events]
    assert parser.finish() == []


def test_a_last_event_without_its_empty_line_is_there_at_the_end():
    parser = SseParser()
    assert parser.feed(b"data: one\n\ndata:two") == ["one"]
    assert parser.finish() == ["two"]


def test_a_data_field_without_a_value_and_odd_lines():
    parser = SseParser()
    assert parser.feed(b"data\ndata:x\nretry: 5\nwhat\n\n\n\n") == ["\nx"]


def test_too_large_an_event_is_refused_and_comments_never_are():
    parser = SseParser(max_event=100)
    for _ in range(50):
        assert parser.feed(b": still there\n\n") == []
    with pytest.raises(RemoteProtocolError, match="larger than 100 bytes"):
        parser.feed(b"data: " + b"12345" * 50)
    parser = SseParser(max_event=100)
    for _ in range(8):
        parser.feed(b"data: 12345\n")
    with pytest.raises(RemoteProtocolError, match="larger than 100 bytes"):
        parser.feed(b"data: 12345\n")
