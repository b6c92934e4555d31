"""Whatever stands in a `review:` is told with its place; what is accepted fits the published schema."""

from __future__ import annotations

import copy
from pathlib import Path

from checked_file import checked_file
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.tools import schema_faults
from agentflow_protocols.chat import Json
from agentflow_protocols.schemas import schema_of
from agentflow_protocols.workflow import read_document

ROOT = Path(__file__).parents[2]
SCHEMA = schema_of("workflow")
REVIEW: Json = {
    "records": "r.csv",
    "id_field": "id",
    "output": "out.csv",
    "concurrency": 4,
    "on_fault": "keep",
    "reviewers": {
        "ann": {
            "kind": "title_abstract",
            "endpoint": "main",
            "include": "{{ inputs.topic }}",
            "fields": ["title"],
            "examples": [{"record": {"title": "x"}, "vote": {"reasoning": "x", "score": 1}}],
        },
        "ben": {"kind": "scoring", "endpoint": "main", "task": "t", "scale": {"1": "poor", "2": "fine"}},
        "cid": {"kind": "decision", "endpoint": "main", "task": "t", "options": {"in": "i", "out": "o"}},
        "dot": {"kind": "abstraction", "endpoint": "main", "wanted": {"pot": "p"}, "background": "b"},
        "eve": {"agent": "boss", "prompt": "{{ record.title }} {{ votes.first.ann.score }}"},
    },
    "rounds": [
        {"name": "first", "reviewers": ["ann", "ben"]},
        {"name": "second", "reviewers": "cid", "when": {"disagreement": {"round": "first", "threshold": 2}}},
        {"name": "third", "reviewers": "eve", "when": {"decided": {"round": "second", "is": "in"}},
         "sees_votes": True},
        {"name": "fourth", "reviewers": "dot", "when": {"scored": {"round": ["first"], "at_least": 1}}},
        {"name": "fifth", "reviewers": "dot", "when": "{{ votes.second }}"},
    ],
}  # fmt: skip
WRONG = st.sampled_from(
    [
        "",
        "x",
        "ann",
        "first",
        "{{ votes.fist }}",
        "{{",
        "{{ record.a.b }}",
        "title",
        "in",
        0,
        -1,
        2.5,
        True,
        None,
    ]
) | st.sampled_from([[], {}, ["ann"], {"round": "first"}, {"is": 3}, ["first", 3], [[]], {"x": {}}, {"1": 2}])


def places(value: Json, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the place of every value in a file."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


PLACES = [place for place in places(REVIEW) if place]


def file_of(review: Json) -> Json:
    return {
        "agentflow": 1,
        "inputs": {"topic": {"default": "soup"}},
        "endpoints": {"main": {"model": "scripted:s.yaml"}},
        "agents": {"boss": {"endpoint": "main"}},
        "review": review,
    }


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), WRONG, st.booleans()), min_size=1, max_size=3))
def test_any_change_is_told_with_its_place_or_is_none(
    changes: list[tuple[tuple[str | int, ...], Json, bool]],
) -> None:
    """WF-8.1 to WF-8.5."""
    review = copy.deepcopy(REVIEW)
    for place, wrong, drop in changes:
        inner = review
        for part in place[:-1]:
            inner = inner[part] if isinstance(inner, dict | list) and part in dict(_items(inner)) else None  # type: ignore[index, call-overload]
        if isinstance(inner, dict | list) and place[-1] in dict(_items(inner)):
            if drop:
                del inner[place[-1]]  # type: ignore[arg-type]
            else:
                inner[place[-1]] = wrong  # type: ignore[index, call-overload]
    checked_file(file_of(review), {"r.csv": "id,title\na,Soup\n", "s.yaml": "- text: hi\n"})


def _items(value: Json) -> list[tuple[str | int, Json]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def test_what_is_right_fits_the_schema() -> None:
    """WF-8.1 to WF-8.5: the file above, and the example."""
    assert schema_faults(file_of(REVIEW), SCHEMA) == []
    document, problems = read_document((ROOT / "examples" / "review.yaml").read_text(), "review.yaml")
    assert problems == []
    assert schema_faults(document.value, SCHEMA) == []
    broken = copy.deepcopy(REVIEW)
    broken["rounds"][1]["when"] = {"disagreed": "first"}  # type: ignore[index, call-overload]
    assert schema_faults(file_of(broken), SCHEMA) != []
