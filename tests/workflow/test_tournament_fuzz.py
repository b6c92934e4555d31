"""Whatever stands in a `tournament:` is told with its place; what is accepted fits the published schema."""

from __future__ import annotations

import copy

import pytest
from checked_file import checked_file
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.workflow.tournament_items import items_of
from agentflow_protocols.chat import Json
from agentflow_protocols.schemas import schema_of

SCHEMA = schema_of("workflow")
PLAIN: Json = {
    "goal": "a soup for {{ inputs.guests }}",
    "items": ["leek", "{{ inputs.guests }}", {"title": "x"}],
    "judge": "boss",
    "debate": {"agent": "boss", "prompt": "{{ first }} {{ match.number }}"},
    "generate": {"function": "soups:make", "at_once": 2},
    "evolve": {"agent": "boss", "prompt": "{{ board.best }}", "whole": True, "needs": 3},
    "review": {"agent": "boss", "due": "{{ standing.rank < 3 }}", "reject": "{{ answer }}", "memo": True},
    "agents": {
        "meta": {"kind": "study", "agent": "boss", "every": 3, "halt": "{{ 'x' in answer }}"},
        "gate": {"kind": "look", "function": "soups:make", "gate": True, "again": 4},
    },
    "objective": "top_k",
    "k": 2,
    "max_matches": 0,
    "stop_overlap": None,
    "match_timeout": "10s",
    "weights": {"match": 0.5, "meta": 1},
    "id": "title",
    "near": "soups:make",
    "seed": "{{ inputs.guests }}",
    "report": "out.html",
}
SCIENTIST: Json = {
    "goal": "why?",
    "items": ["because", {"title": "a", "statement": "b"}],
    "scientist": {
        "endpoint": "main",
        "roles": {"ranking": "main"},
        "plan": {"objective": "o", "criteria": ["c"]},
        "documents": ["s.yaml"],
        "search": ["find"],
        "embed": "main",
        "same": 0.9,
        "debates": False,
        "turns": 2,
        "formats": ["aims"],
        "without": "deep",
    },
    "supervisor": {"settle": 3.5},
}
WRONG: st.SearchStrategy[Json] = st.sampled_from(
    ["", "x", "boss", "bos", "soups:mak", "soups:", ":", "{{ item }}", "{{", "{{ board.a.b }}", "none.txt",
     0, -1, 2.5, True, None, [], {}, ["x"], {"agent": "boss"}, {"kind": "look"}, [[]], {"x": {}}]
)  # fmt: skip


def _items(value: Json) -> list[tuple[str | int, Json]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def places(value: Json, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the place of every value in a section."""
    return [path, *(place for key, child in _items(value) for place in places(child, (*path, key)))]


def changed(section: Json, changes: list[tuple[tuple[str | int, ...], Json, bool]]) -> Json:
    section = copy.deepcopy(section)
    for place, wrong, drop in changes:
        inner = section
        for part in place[:-1]:
            inner = dict(_items(inner)).get(part)
        if isinstance(inner, dict | list) and place[-1] in dict(_items(inner)):
            if drop:
                del inner[place[-1]]  # type: ignore[arg-type]
            else:
                inner[place[-1]] = wrong  # type: ignore[index, call-overload]
    return section


def file_of(section: Json) -> Json:
    return {
        "agentflow": 1,
        "inputs": {"guests": {"type": "integer", "default": 4}},
        "endpoints": {"main": {"model": "scripted:s.yaml"}},
        "tools": {"find": {"python": "soups:make"}},
        "agents": {"boss": {"endpoint": "main"}},
        "tournament": section,
    }


def checked(section: Json) -> list[str]:
    """Check a file with a section; return what was wrong."""
    beside = {"soups.py": "async def make(): ...\n", "s.yaml": "- text: hi\n"}
    return checked_file(file_of(section), beside)


@pytest.mark.parametrize("section", [PLAIN, SCIENTIST])
def test_what_is_right_is_accepted(section: Json) -> None:
    """WF-9.1 to WF-9.9."""
    assert checked(section) == []


def _changes(section: Json) -> st.SearchStrategy[list[tuple[tuple[str | int, ...], Json, bool]]]:
    inside = [place for place in places(section) if place]
    return st.lists(st.tuples(st.sampled_from(inside), WRONG, st.booleans()), min_size=1, max_size=3)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([PLAIN, SCIENTIST]).flatmap(
        lambda section: st.tuples(st.just(section), _changes(section))
    )
)
def test_any_change_is_told_with_its_place_or_is_none(
    given_: tuple[Json, list[tuple[tuple[str | int, ...], Json, bool]]],
) -> None:
    """WF-9.1 to WF-9.9."""
    checked(changed(*given_))


@pytest.mark.parametrize("section", ["x", [], 3, None, {}, {"agents": []}, {"agents": {"a": []}, "judge": 3}])
def test_what_is_no_section_is_told(section: Json) -> None:
    """WF-9.1."""
    assert checked(section)


ANSWERS: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=100, deadline=None)
@given(ANSWERS, st.booleans())
def test_any_answer_has_items(answer: Json, whole: bool) -> None:
    """WF-9.4."""
    found = items_of(answer, whole=whole)
    assert isinstance(found, list)
    if whole and not isinstance(answer, list):
        assert len(found) == (answer is not None and (not isinstance(answer, str) or bool(answer.strip())))
