"""Reading YAML with positions: any text, both readers, the limits exactly."""

from __future__ import annotations

import json
import re
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.workflow import Document, read_document, walk
from agentflow_protocols.workflow.document import MAX_ALIASES, MAX_BYTES, MAX_DEPTH

KEYS = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20).filter(
    lambda text: re.fullmatch(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?|0o[0-7]+", text) is None
)
"""Without the numbers that PyYAML, a writer of YAML 1.1, takes for text and leaves unquoted."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
YAMLISH = st.text(st.sampled_from(list("ab:- \n\t[]{},&*!|>'\"#%?<.1~\0\r\ufeffé")), max_size=60)


@given(st.binary(max_size=80) | YAMLISH)
def test_nothing_makes_the_reader_raise(text: bytes | str) -> None:
    """WF-1.7."""
    document, problems = read_document(text, "f")
    assert (document.value is not None) or problems or document.root is not None
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert str(problem).isprintable()


def test_a_byte_order_mark_is_for_the_beginning_only() -> None:
    """The two readers take one inside a file differently."""
    assert read_document("\ufeffa: 1", "f")[0].value == {"a": 1}
    (problem,) = read_document("a: 1\r\ufeffb: 2", "f")[1]
    assert "the byte order mark inside a file U+FEFF is not allowed" in problem.message


@given(YAMLISH)
def test_both_readers_agree(text: str) -> None:
    """WF-1.7: on what a file says, and, when they can't read it, on that and on why."""
    fast, slow = read_document(text, "f"), read_document(text, "f", pure=True)
    if fast[0].root is not None and slow[0].root is not None:
        assert fast[0].value == slow[0].value
        assert fast[1] == slow[1]


@given(VALUES, st.booleans())
def test_what_was_written_is_read(value: object, flow: bool) -> None:
    text = yaml.safe_dump({"v": value}, allow_unicode=True, default_flow_style=flow)
    document, problems = read_document(text, "f")
    assert problems == []
    assert document.value == {"v": value}


@pytest.mark.parametrize("text", ["0E0", "1e3", "0o7", "08", "3.", "-.5"])
def test_numbers_are_those_of_yaml_1_2(text: str) -> None:
    assert isinstance(read_document(f"v: {text}", "f")[0].value["v"], int | float)
    assert read_document(f"v: '{text}'", "f")[0].value == {"v": text}


@given(VALUES)
def test_json_is_read_as_it_is(value: object) -> None:
    document, problems = read_document(json.dumps([value], indent=1), "f")
    assert problems == []
    assert document.value == [value]


@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_every_value_has_its_place(value: dict[str, object]) -> None:
    """WF-1.6."""
    text = json.dumps(value, indent=2, ensure_ascii=True)
    document, _ = read_document(text, "f")
    lines = text.split("\n")
    for path, found in walk(document.value):
        problem = document.problem(path, "here")
        rest = lines[problem.line - 1][problem.column - 1 :]
        if isinstance(found, dict) and path and isinstance(path[-1], str):
            assert rest.startswith(json.dumps(path[-1])), "a mapping is shown at its key"
        elif not isinstance(found, list | dict):
            assert rest.startswith(json.dumps(found))


def test_the_limits_are_exact() -> None:
    """WF-1.1."""
    for good, bad in (
        (b"#" * MAX_BYTES, b"#" * (MAX_BYTES + 1)),
        (b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH, b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1)),
        (_aliases(MAX_ALIASES), _aliases(MAX_ALIASES + 1)),
    ):
        assert [p for p in read_document(good, "f")[1] if "empty" not in p.message] == []
        assert len(read_document(bad, "f")[1]) == 1


def _aliases(n: int) -> bytes:
    return f"a: &a 1\nb: [{', '.join(['*a'] * n)}]\n".encode()


def test_depth_counts_through_aliases() -> None:
    """WF-1.1: an alias is as deep as what it stands for."""
    deep = "[" * 30 + "1" + "]" * 30
    _, problems = read_document(f"a: &a {deep}\nb: {'[' * 25}*a{']' * 25}\n", "f")
    assert ["nested more than" in problem.message for problem in problems] == [True]


def test_scalars_are_those_of_the_core_schema() -> None:
    """WF-1.4, WF-1.2."""
    text = (
        "\ufeff"
        + "{a: yes, b: 1:30, c: 0x1f, d: 0o17, e: 1e3, f: ~, g: True, h: 2026-01-01, i: .inf, j: !!str 5}"
    )
    document, problems = read_document(text.encode(), "f")
    assert problems == []
    assert document.value == {
        "a": "yes", "b": "1:30", "c": 31, "d": 15, "e": 1000.0,
        "f": None, "g": True, "h": "2026-01-01", "i": ".inf", "j": "5",
    }  # fmt: skip


def test_an_alias_is_the_value_again() -> None:
    document, problems = read_document("a: &x {k: [1, 2]}\nb: *x\n", "f")
    assert problems == []
    assert document.value == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}}
    assert document.problem(["b"], "").line == 2


def test_a_place_that_is_not_there_is_the_nearest_one() -> None:
    document, _ = read_document("a:\n  b: 1\n", "f")
    assert str(document.problem(["a", "zz", 3], "gone")) == "f:1:1: gone"
    assert str(Document("f", "").problem(["a"], "gone")) == "f:1:1: gone"


def test_half_a_character_is_refused() -> None:
    """WF-1.2: two halves are one, as in JSON."""
    assert read_document('"\\ud83d\\ude00"', "f")[0].value == "\U0001f600"
    (problem,) = read_document('["\\ud83d"]', "f")[1]
    assert (problem.column, "half a character" in problem.message) == (2, True)
