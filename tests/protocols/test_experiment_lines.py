"""Lines and rows of experiments, whatever stands in them (EX-1.4, EX-1.5, EX-2.6)."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.experiment import (
    APIS,
    Completed,
    ExperimentError,
    Problem,
    Record,
    ask_of,
    completed,
    doubts,
    problems,
    read_completed,
    read_line,
    read_row,
    to_line,
    to_row,
)

texts = st.text(st.characters(codec=None), max_size=8)  # lone surrogates too
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["user", "system", "text", "image_url", "image", "a.jpg", *APIS])
)
keys = texts | st.sampled_from(
    (
        *("api", "content", "group", "id", "image_url", "media", "mode", "model_name", "multimedia"),
        *("parameters", "parts", "prompt", "response", "role", "safety_filter", "source", "timestamp_sent"),
        *("error", "match", "type", "usage", "text"),
    )
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=6)


def is_line(problem: Problem) -> bool:
    text = str(problem)
    return "\n" not in text and len(text) < 300 and text.isprintable()


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_raise(raw):
    """EX-1.5."""
    for found in (read_line(raw, 3), read_line(raw, 3, first=True), read_completed(raw, 3)):
        assert found is None or isinstance(found, Record | Problem | Completed)
        assert not isinstance(found, Problem) or is_line(found)


@given(objects, st.integers(0, 400), st.binary(max_size=3))
def test_no_damage_raises(line, place, bytes_):
    raw = to_line(line)
    for damaged in (raw[:place], raw[:place] + bytes_ + raw[place:], raw[place:]):
        found = read_line(damaged, 1)
        assert found is None or isinstance(found, Record | Problem)
        assert not isinstance(found, Problem) or is_line(found)


@given(objects)
def test_a_line_is_read_as_it_was_written(line):
    """EX-1.4."""
    raw = to_line(line)
    found = read_line(raw, 1)
    assert isinstance(found, Record)
    assert json.dumps(found.values) == json.dumps(line)
    assert found.notes == ()
    assert to_line(found.values) == raw
    shuffled = Record(1, dict(reversed(line.items())))
    if "timestamp_sent" not in line and "response" not in line:
        assert shuffled.hash == found.hash


@given(objects)
def test_every_record_is_asked_or_its_problem_told(line):
    record = Record(1, line)
    found = problems(record)
    for problem in (*found, *doubts(record)):
        assert is_line(Problem(1, problem)), problem
    with contextlib.suppress(ExperimentError):
        ask = ask_of(record)
        assert ask.turns
        assert ask.samples >= 1
        return
    assert found


@given(objects, st.dictionaries(keys, values, max_size=4), values)
def test_a_completed_line_has_the_hash_of_its_input(line, added, response):
    ours = {name: added[name] for name in ("error", "usage", "match") if name in added}
    if "prompt" in line:
        ours["a scorer's own"] = True
    out = completed(line, {**ours, "timestamp_sent": "t", "response": response})
    found = read_completed(to_line(out), 1)
    assert isinstance(found, Completed)
    assert found.record.hash == Record(1, line).hash == Record(1, out).hash
    assert found.added["response"] == response
    assert json.dumps(found.whole) == json.dumps(out)
    again = completed(out, {"timestamp_sent": "u", "response": "new"})
    assert [name for name in again if name in ("timestamp_sent", "response", "a scorer's own")] == [
        name for name in ("timestamp_sent", "response", "a scorer's own") if name in out
    ]
    assert Record(1, again).hash == Record(1, line).hash


def test_what_no_json_can_say_is_null():
    """EX-1.3, EX-1.6: values from Python."""
    line = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": (1, 2), "e": 1e300}
    assert to_line(line) == b'{"a": null, "b": [null, {"c": null}], "d": [1, 2], "e": 1e+300}\n'
    read = read_line(to_line(line), 1)
    assert isinstance(read, Record)
    assert read.hash == Record(1, line).hash


def test_a_problem_shows_no_prompt():
    """EX-1.5."""
    secret = "What is the password of the vault? " * 50
    for line in (
        {"prompt": {secret: 1}, "api": "openai", "model_name": "m"},
        {"prompt": secret, "api": secret, "model_name": [secret]},
        {"prompt": [{"role": secret, "content": secret}], "api": "openai", "model_name": "m"},
    ):
        for problem in problems(Record(1, line)):
            assert secret[:80] not in problem
            assert len(problem) < 250
    for raw in (b'{"prompt": "%s' % secret.encode(), b'{"prompt": "%s" "x"}' % secret.encode()):
        found = read_line(raw, 1)
        assert isinstance(found, Problem)
        assert "password" not in found.message


def test_what_a_record_says():
    record = Record(1, {"api": "openai", "model_name": "m", "group": 3, "id": [1], "parameters": {"n": 2}})
    assert (record.api, record.model, record.group, record.id) == ("openai", "m", "3", [1])
    assert record.parameters == {"n": 2}
    empty = Record(1, {"api": 3, "model_name": None, "group": "", "parameters": []})
    assert (empty.api, empty.model, empty.group, empty.id, empty.parameters) == ("", "", None, None, {})


def test_doubts():
    """EX-3.1."""
    line = {
        "prompt": ["a"],
        "api": "openai",
        "model_name": "m",
        "paramters": {"n": 1},
        "parameters": {"stop": None},
        "mode": "completion",
        "multimedia": {"type": "text", "media": "a"},
        "comment": "x",
    }
    assert problems(Record(1, line)) == []
    found = doubts(Record(1, line))
    assert [word in text for word, text in zip(("`stop`", "`multimedia`", "`mode`"), found, strict=True)] == [
        True
    ] * 3
    del line["parameters"]
    assert doubts(Record(1, line))[0] == "unknown key `paramters` (did you mean `parameters`?)"


@given(st.lists(texts, max_size=5), st.lists(texts, max_size=6))
def test_no_row_raises(header, cells):
    found = read_row(header, cells, 3)
    assert found is None or isinstance(found, Record | Problem)
    assert not isinstance(found, Problem) or is_line(found)
    if isinstance(found, Record):
        assert read_line(to_line(found.values), 1) is not None


plain = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=8)
words = plain.filter(lambda text: not text[0].isdigit() and text[0] not in "-[{tTfF")
cells = (
    st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | words
)
lists = st.lists(plain, min_size=1, max_size=3)


@given(
    st.fixed_dictionaries(
        {"prompt": words | lists},
        optional={
            "id": st.integers(),
            "api": plain,
            "expected_response": plain,
            "parameters": st.dictionaries(plain, values, max_size=3),
            "response": words | lists,
            "usage": objects,
            "score": cells,
            "tags": st.lists(values, max_size=3),
        },
    )
)
def test_a_row_is_read_as_it_was_written(line):
    """EX-2.6."""
    file = io.StringIO(newline="")
    csv.writer(file).writerows([list(line), to_row(line, list(line))])
    file.seek(0)
    header, row = csv.reader(file)
    found = read_row(header, row, 2)
    assert isinstance(found, Record)
    assert json.dumps(found.values) == json.dumps(line)


@pytest.mark.parametrize("header", [["\ufeffprompt", "api"], ["prompt", "api"]])
def test_a_byte_order_mark_before_the_first_name(header):
    """EX-2.1."""
    found = read_row(header, ["a", "openai"], 2)
    assert isinstance(found, Record)
    assert found.values == {"prompt": "a", "api": "openai"}


def test_nan_in_a_cell():
    found = read_row(["prompt", "parameters"], ["a", '{"n": NaN}'], 2)
    assert isinstance(found, Record)
    assert found.values["parameters"] == {"n": None}
    assert found.notes == ("NaN read as null",)


@pytest.mark.parametrize("name", ["x", "parameters-x"])
def test_a_row_is_never_too_deep_for_a_line(name):
    """EX-1.2."""
    for depth in (98, 99, 100, 5000):
        cell = "[" * depth + "]" * depth
        found = read_row(["prompt", name], ["a", cell], 2)
        assert isinstance(found, Record)
        assert isinstance(read_line(to_line(found.values), 2), Record)
        assert (cell in found.values.values() or cell in found.parameters.values()) == (depth > 98)
