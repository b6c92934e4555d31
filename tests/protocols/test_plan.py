"""Plans as text: vectors, round trips, mutated texts; each clause of `protocols/plan.md` by its number."""

from __future__ import annotations

import contextlib
import json
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow_protocols.duration import seconds_range
from agentflow_protocols.plan import (
    FORMS,
    PLAN_SCHEMA,
    PlanLines,
    PlanStep,
    PlanText,
    PlanTextError,
    encode_lines,
    encode_plan,
    encode_steps,
    faults,
    from_json,
    parse_plan,
    parse_steps,
    tidy,
    to_json,
    total,
)

ROOT = Path(__file__).parents[2]
VECTORS = [
    json.loads(line)
    for file in sorted((ROOT / "protocols/vectors").glob("plan-*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
]
BITS = ["->", "<-", "[", "(", ")", "{", ":", ",", "\n", "START", "0 1 ", "1", "row_ptr:", "columns:",
        "order:", "```", "|", '"', " after ", "(10 minutes)", "é", "\x00", "-", "<- "]  # fmt: skip


def of(kind: str):
    """Give a test the vectors of one kind."""
    return pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] == kind])


def plan_of(vector, edges: str = "edges") -> PlanText:
    steps = tuple(PlanStep(name, text, words, tuple(s)) for name, text, words, s in vector["steps"])
    return PlanText(steps, tuple(tuple(edge) for edge in vector[edges]))


@st.composite
def plans(draw) -> PlanText:
    named = st.from_regex(r"[a-z_][a-z0-9_]{0,8}(-[a-z]{1,3})?", fullmatch=True)
    words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=30)
    count = draw(st.integers(1, 8))
    names = [str(number + 1) for number in range(count)]
    if draw(st.booleans()):
        names = draw(st.lists(named, min_size=1, max_size=8, unique_by=str.casefold))
    durations = st.builds(
        "{} {}".format, st.integers(0, 90), st.sampled_from(["seconds", "minutes", "days", "months", "years"])
    )
    steps = []
    for name in names:
        duration = draw(durations)
        steps.append(PlanStep(name, tidy(draw(words)), duration, seconds_range(duration)))
    order = draw(st.permutations(names))
    pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=15)) if pairs else []
    return PlanText(tuple(steps), tuple(edges))


@of("write")
def test_what_is_written(vector):
    plan = plan_of(vector)
    write = {"lines": encode_lines, "steps": encode_steps}.get(vector["form"])
    assert (encode_plan(plan, vector["form"]) if write is None else write(plan)) == vector["text"]
    assert parse_plan(vector["text"]) == plan


@of("total")
def test_totals(vector):
    plan = plan_of(vector)
    assert list(total(plan)) == vector["total"]
    assert plan == plan_of(vector, "order" if "order" in vector else "edges")


@of("read")
def test_what_is_read(vector):
    assert parse_plan(vector["text"], vector.get("form")) == plan_of(vector)


@of("error")
def test_what_is_refused(vector):
    with pytest.raises(PlanTextError) as error:
        parse_plan(vector["text"], vector.get("form"))
    assert vector["fault"] in str(error.value)
    assert "\n" not in str(error.value)


@of("lines")
def test_reading_while_it_is_written(vector):
    lines = PlanLines()
    found = []

    def work() -> None:
        for piece in vector["pieces"]:
            found.append([line.step.name for line in lines.feed(piece)])
        found.append([line.step.name for line in lines.end()])

    if "fault" in vector:
        with pytest.raises(PlanTextError) as error:
            work()
        assert vector["fault"] in str(error.value)
    else:
        work()
    assert found == vector["given"]


@settings(max_examples=80, deadline=None)
@given(plans())
def test_every_form_is_read_as_the_same_plan(plan: PlanText) -> None:
    """PL-3.6: with the form told or not; PL-5.1 for JSON."""
    if any(step.name in ("and", "none", "nothing", "na", "start", "end") for step in plan.steps):
        assert faults(plan)
        return
    for form in FORMS:
        text = encode_plan(plan, form)
        assert parse_plan(text, form) == plan
        assert parse_plan(text) == plan
    assert parse_steps(encode_steps(plan)) == list(plan.steps)
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


@settings(max_examples=100, deadline=None)
@given(plans(), st.integers(1, 20))
def test_lines_cut_anywhere_give_the_same_plan(plan: PlanText, size: int) -> None:
    """PL-6.1."""
    if any(step.name in ("and", "none", "nothing", "na", "start", "end") for step in plan.steps):
        return
    text = encode_lines(plan)
    lines, seen = PlanLines(), set()
    for at in range(0, len(text) + size, size):
        for line in lines.feed(text[at : at + size]) if at < len(text) else lines.end():
            assert set(line.after) <= seen
            seen.add(line.step.name)
    assert lines.plan() == plan


@settings(max_examples=100, deadline=None)
@given(plans(), st.sampled_from(FORMS), st.integers(0, 2**32))
def test_mutated_texts_raise_nothing_but_ours(plan: PlanText, form, seed: int) -> None:
    """PL-4.5."""
    chance = random.Random(seed)
    text = encode_plan(plan, form) if chance.random() < 0.7 else encode_lines(plan)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(BITS) + text[at + chance.randint(0, 5) :]
    for told in (None, form, chance.choice(FORMS)):
        with contextlib.suppress(PlanTextError):
            assert not faults(parse_plan(text, told))
    lines = PlanLines()
    try:
        lines.feed(text)
        lines.end()
    except PlanTextError:
        return
    assert not faults(lines.plan())


@pytest.mark.parametrize(
    "bit", ["(", "[[", "1", "0 ", "1 -> ", '"1": [', "-", "1, ", "(10 minutes) <- ", "# "]
)
def test_long_lines_take_no_long_time(bit: str) -> None:
    """PL-4.5: 20,000 characters that end in nothing take well below a second; squared they took a minute."""
    for form in (None, *FORMS):
        began = time.process_time()
        try:
            parse_plan("1. a (1 min)\n" + bit * (20_000 // len(bit)) + "~?x", form)
        except PlanTextError:
            pass
        assert time.process_time() - began < 2.0


def test_missing_steps_and_others_are_told() -> None:
    """PL-1.3."""
    plan = parse_plan("1. Boil (10 min)\n3. Cook (5 min)")
    found = [str(fault) for fault in faults(plan, ["1", "2"])]
    assert found[0].startswith("missing: step 2")
    assert "no step `3`" in found[1]
    with pytest.raises(PlanTextError, match="missing: step 2"):
        from_json(to_json(plan), ["1", "2", "3"])


def test_the_schema_is_what_is_written() -> None:
    """PL-5.1."""
    properties = PLAN_SCHEMA["properties"]["steps"]["items"]["properties"]
    step = to_json(parse_plan("1. Boil (10 min)"))["steps"][0]
    assert list(step) == list(properties)


def test_every_clause_is_tested_and_no_other_is_named() -> None:
    page = (ROOT / "protocols" / "plan.md").read_text(encoding="utf-8")
    written = set(re.findall(r"^- \*\*(PL-\d+\.\d+)\*\*", page, re.MULTILINE))
    tested = {vector["clause"] for vector in VECTORS}
    for file in (ROOT / "tests").rglob("test_*.py"):
        tested |= set(re.findall(r"\bPL-\d+\.\d+\b", file.read_text(encoding="utf-8")))
    assert len(written) >= 20
    assert tested == written
