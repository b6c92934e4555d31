"""Rules: a policy as data that a model writes, and that can be compared."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.dual import MontySandbox, PolicyFault, Rule, RulePolicy, TrustedPython

RULES = """[{"when": "state['pot'] == 'ready'", "do": {"serve": "soup"}},
 {"when": "tick > 9 and state['orders']", "do": {"cook": "soup"}, "once": true, "expires": 100}]
"""


def test_rules_are_read_written_and_compared() -> None:
    policy = RulePolicy.from_text(RULES)
    assert policy.rules[1] == Rule(
        when="tick > 9 and state['orders']", do={"cook": "soup"}, once=True, expires=100
    )
    assert policy.to_json() == RULES
    assert RulePolicy.from_text(policy.to_json()) == policy

    later = RulePolicy([*policy.rules[:1], Rule(when="True", do="wait")])
    assert policy.diff(later) == [
        '- {"when": "tick > 9 and state[\'orders\']", "do": {"cook": "soup"}, "once": true, "expires": 100}',
        '+ {"when": "True", "do": "wait"}',
    ]
    assert policy.diff(policy) == []


@pytest.mark.parametrize(
    "text",
    [
        RULES,
        f"```json\n{RULES}```",
        f"I think that soup comes first.\n\n```\n{RULES}\n```\nThat is all.",
        f"```text\nSoup [first].\n```\n```json\n{RULES}```",
        f"Soup comes [first].\n\n{RULES}\nThat is all.",
        '{"rules": ' + RULES + "}",
    ],
)
def test_a_models_text_is_read_with_what_it_puts_round_it(text: str) -> None:
    assert RulePolicy.from_text(text) == RulePolicy.from_text(RULES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "syntax: line 1: no JSON"),
        ("[\n{]", "syntax: line 2: no JSON"),
        (RULES + RULES, "more than one JSON value"),
        ("5", "rules are a list of objects with `when` and `do`, not int"),
        ("[5]", "rule 1"),
        ('[{"do": 1}]', "rule 1: `when`"),
        ('[{"when": "True"}]', "rule 1: `do`"),
        ('[{"when": "(yield)", "do": 1}]', "waits or yields"),
        ('[{"when": "a = 1", "do": 1}]', "is no Python expression"),
        ('[{"when": "True) or (False", "do": 1}]', "is no Python expression"),
        ('[{"when": "' + "(" * 300 + '", "do": 1}]', "is no Python expression"),
        ('[{"when": "' + "x" * 1001 + '", "do": 1}]', "1000 characters"),
        ('[{"when": "True", "do": "' + "x" * 5000 + '"}]', "at most 4096"),
        ('[{"when": "True", "do": 1, "expires": -1}]', "`expires`"),
        ('[{"when": "True", "do": 1, "onse": true}]', "`onse`"),
        ("[" * 100_000, "65536"),
        ("[" * 60_000, "no JSON|too deep"),
        (json.dumps([{"when": "True", "do": 1}] * 65), "65 rules; at most 64"),
    ],
)
def test_faults_are_one_line_that_says_where(text: str, told: str) -> None:
    with pytest.raises(PolicyFault) as caught:
        RulePolicy.from_text(text)
    assert any(one in str(caught.value) for one in told.split("|")), caught.value
    assert caught.value.kind == "syntax"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=200))
def test_any_text_is_rules_or_a_fault(text: str) -> None:
    try:
        told = RulePolicy.from_text(text).to_json()
    except PolicyFault as fault:
        told = str(fault)
    assert "\n" not in told.strip()


@given(st.text(max_size=60))
def test_any_condition_that_is_accepted_makes_a_program(when: str) -> None:
    try:
        policy = RulePolicy.from_json([{"when": when, "do": 1}])
    except PolicyFault:
        return
    compile(policy.source, "rules", "exec", dont_inherit=True)


async def test_the_first_rule_that_holds_says_what_to_do() -> None:
    async with MontySandbox() as sandbox:
        rules = await RulePolicy.from_text(RULES).load(sandbox)
        ready, busy = {"pot": "ready", "orders": ["soup"]}, {"pot": "", "orders": ["soup"]}
        assert await rules.call(ready, 20, seconds=1) == {"serve": "soup"}
        assert await rules.call(busy, 9, seconds=1) is None
        assert await rules.call(busy, 100, seconds=1) is None  # expired
        assert await rules.call(busy, 20, seconds=1, dry=True) == {"cook": "soup"}
        assert await rules.call(busy, 20, seconds=1) == {"cook": "soup"}
        assert await rules.call(busy, 21, seconds=1) is None  # once


async def test_a_condition_that_raises_is_named() -> None:
    rules = await RulePolicy.from_json(
        [{"when": "tick < 5", "do": 1}, {"when": "state['pan'] > 1", "do": 2}]
    ).load(TrustedPython())
    assert await rules.call({}, 4, seconds=1) == 1
    with pytest.raises(PolicyFault, match=r"rule 2, `state\['pan'\] > 1`: KeyError") as caught:
        await rules.call({}, 5, seconds=1)
    assert caught.value.kind == "raised"


def test_the_example_that_a_model_is_told_is_a_policy() -> None:
    assert (
        len(
            RulePolicy.from_text(RulePolicy.dialect.partition("Example: ")[2].partition("]. ")[0] + "]").rules
        )
        == 2
    )
