"""Templates: types, keys, the sandbox, and names that are checked before anything runs."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import UserError
from agentflow.workflow.templates import keys_used, render, template_faults
from agentflow_protocols.chat import Json

NAMES = {"inputs": {"items": [1, 2], "n": 3, "o": {"keys": "k"}, "text": "{{ inputs.n }}", "none": None}}
KNOWN = {"inputs": frozenset(NAMES["inputs"])}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("{{ inputs.items }}", [1, 2]),
        (" {{ inputs.n }}\n", 3),
        ("{{- inputs.n -}}", 3),
        ("{{ inputs.n + 1 }}", 4),
        ("{{ inputs.none }}", None),
        ("{{ inputs.o.keys }}", "k"),
        ("{{ inputs['o']['keys'] }}", "k"),
        ("{{ {'a': [inputs.n]} }}", {"a": [3]}),
        ("{{ inputs.n }}{{ inputs.n }}", "33"),
        ("n={{ inputs.n }}", "n=3"),
        ("{{ 'x' }} }}", "x }}"),
        ("{{ 5400 | duration }}", "1 hour 30 minutes"),
        ("{% for i in inputs['items'] %}\n{{ i }}\n{% endfor %}\n", "1\n2\n"),
        ({"a": ["{{ inputs.n }}", True]}, {"a": [3, True]}),
    ],
)
def test_a_whole_expression_keeps_its_type(template: Json, value: Json) -> None:
    """WF-4.1, WF-4.2."""
    assert render(template, NAMES, "here") == value


def test_what_a_template_gives_is_not_rendered_again() -> None:
    """WF-4.3."""
    assert render("{{ inputs.text }}", NAMES, "here") == "{{ inputs.n }}"
    assert render("say {{ inputs.text }}", NAMES, "here") == "say {{ inputs.n }}"


@given(st.text(max_size=40))
def test_a_value_comes_out_as_it_went_in(text: str) -> None:
    """WF-4.3."""
    assert render("{{ inputs.x }}", {"inputs": {"x": text}}, "here") == text
    assert render("<{{ inputs.x }}>", {"inputs": {"x": text}}, "here") == f"<{text}>"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "a {{ inputs.__class__.__mro__ }}",
        "{{ inputs.items.append(3) }} {{ (1).__init__ }}",
        "{{ inputs.zz }}",
        "{{ zz }}",
        "{{ 1 / 0 }}",
        "{{ 1e308 * 10 }}",
        "{{ inputs.n.zz.zz }}",
        "{{ 'x' + 1 }}",
        "{{ inputs.items['a'] }}",
        "{{ range(10000000) | list }}",
    ],
)
def test_what_fails_says_where(template: str) -> None:
    """WF-4.1: the sandbox, and strict names."""
    with pytest.raises(UserError, match=r"^here: the template fails: [^\n]*$"):
        render(template, NAMES, "here")


@pytest.mark.parametrize(
    ("template", "faults"),
    [
        ("{{ inputs.n }}", []),
        ("{% set inputs = {'q': 1} %}{{ inputs.q }}", []),
        ("{% for x in inputs['items'] %}{{ x.y }}{{ loop.index }}{% endfor %}", []),
        ("{{ range(3) }}", []),
        ("{{ inputs.m }}", ["unknown name `inputs.m`"]),
        ("{{ inputs['m'] }}", ["unknown name `inputs.m`"]),
        ("{{ input.n }} {{ output }}", ["unknown name `input`", "unknown name `output`"]),
        ("{{ inputs.n", ["bad template: "]),
        ("{% if %}", ["bad template: "]),
        ("{% include 'x' %}{{ zz }}", ["unknown name `zz`"]),
        ("{{ inputs.n | lowr }}", ["bad template: No filter named 'lowr'. (did you mean `lower`?)"]),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", ["bad template: "]),
    ],
)
def test_names_are_checked_beforehand(template: str, faults: list[str]) -> None:
    """WF-4.4."""
    found = [message for message, _ in template_faults(template, KNOWN)]
    assert len(found) == len(faults), found
    assert all(message.startswith(fault) for message, fault in zip(found, faults, strict=True)), found


@given(st.text(st.sampled_from(list("{}%#x. |'[]()-+1\n")), max_size=30))
def test_no_text_breaks_the_check(text: str) -> None:
    """WF-4.4: and what it lets through renders, or is a `UserError`."""
    faults = list(template_faults("{{" + text, {"x": None}))
    if not faults:
        with suppress(UserError):
            render("{{" + text, {"x": {"x": 1}}, "here")


def test_arguments_are_found_in_their_order() -> None:
    value = [
        "{{ arguments.b }}/{{ arguments.a }}",
        {"q": "{{ arguments['c'] }}"},
        3,
        "{{ arguments.",
        "{{ x.y }}",
    ]
    assert keys_used(value, "arguments") == ["b", "a", "c"]
