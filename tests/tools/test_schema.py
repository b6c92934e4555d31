"""What is wrong with a value under a JSON Schema."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agentflow.tools import schema_faults


class Leaf(BaseModel):
    kind: str = Field(pattern="^[ab]$")
    weight: float | None = None


class Tree(BaseModel, extra="forbid"):
    name: str = Field(min_length=1, max_length=5)
    size: int = Field(ge=1, lt=10)
    leaves: list[Leaf] = Field(default=[], max_length=2)
    pair: tuple[int, str] = (1, "a")
    inner: Tree | None = None


@pytest.mark.parametrize(
    ("value", "schema", "faults"),
    [
        (1, {"type": "integer"}, []),
        (1.0, {"type": "integer"}, []),
        (1.5, {"type": "integer"}, ["the value must be of type integer, found 1.5"]),
        (True, {"type": "integer"}, ["the value must be of type integer, found true"]),
        (None, {"type": ["string", "null"]}, []),
        ("c", {"enum": ["a", "b"]}, ['the value must be one of "a", "b", found "c"']),
        (1, {"const": True}, ["the value must be one of true, found 1"]),
        (0.3, {"multipleOf": 0.1}, []),
        (0.35, {"multipleOf": 0.1}, ["the value must be a multiple of 0.1, found 0.35"]),
        ([1, 1], {"uniqueItems": True}, ["the value must hold no item twice"]),
        ({"a": {}}, {"additionalProperties": {"type": "string"}}, ["`a` must be of type string, found {}"]),
        (3, {"allOf": [{"minimum": 4}, {"maximum": 2}]}, [
            "the value must be >= 4, found 3",
            "the value must be <= 2, found 3",
        ]),
        (3, {"oneOf": [{"minimum": 1}, {"maximum": 5}]}, [
            "the value must fit exactly one of 2 forms, fits 2",
        ]),
        (3, {"anyOf": [{"type": "string"}, {"type": "null"}]}, ["the value must be of type string, found 3"]),
        (3, False, ["the value is not allowed"]),
        (3, True, []),
    ],
)  # fmt: skip
def test_keywords(value, schema, faults) -> None:
    assert schema_faults(value, schema) == faults


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"name": "", "size": 1}, "`name` must have at least 1 characters, found 0"),
        ({"name": "a", "size": 10}, "`size` must be < 10, found 10"),
        ({"name": "a"}, "`size` is missing"),
        ({"name": "a", "size": 1, "leves": []}, "`leves`: no such parameter (did you mean `leaves`?"),
        (
            {"name": "a", "size": 1, "leaves": [{"kind": "c"}]},
            '`leaves[0].kind` must match `^[ab]$`, found "c"',
        ),
        (
            {"name": "a", "size": 1, "leaves": [{"kind": "a"}] * 3},
            "`leaves` must have at most 2 items, found 3",
        ),
        ({"name": "a", "size": 1, "pair": ["x", "y"]}, '`pair[0]` must be of type integer, found "x"'),
        ({"name": "a", "size": 1, "inner": {"name": "b"}}, "`inner.size` is missing"),
    ],
)
def test_a_pydantic_models_schema(value, fault: str) -> None:
    faults = schema_faults(value, Tree.model_json_schema())
    assert any(each.startswith(fault) for each in faults), faults


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert schema_faults(1, {"$ref": "#"}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_any_value_under_any_schema_never_raises(value, schema) -> None:
    for fault in schema_faults(value, schema if isinstance(schema, dict) else {}):
        assert "\n" not in fault


@given(JSON)
def test_pydantics_verdict_is_ours(value) -> None:
    def right() -> bool:
        try:
            Tree.model_validate(value, strict=True)
        except ValueError:
            return False
        return True

    if right():
        assert schema_faults(value, Tree.model_json_schema()) == []
