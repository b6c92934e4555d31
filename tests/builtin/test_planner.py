"""The rule-based planner, driven as a session drives a model on the wire."""

from __future__ import annotations

import heapq
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.builtin.planner import PlannerModel
from agentflow.builtin.question import read_question
from agentflow.errors import LocalProtocolError, UserError
from agentflow.runtime.loop import new_loop, run_in
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat import CallReady, CallStarted, ChatRequest, Message, Reply, TextPiece, ToolSpec
from agentflow_protocols.duration import format_seconds, seconds_range

STEP = ToolSpec(
    "do_step",
    "Do one step.",
    {
        "type": "object",
        "properties": {
            "step": {"type": "integer"},
            "text": {"type": "string"},
            "duration": {"type": "string"},
            "note": {"type": "string"},
        },
        "required": ["step", "text", "duration"],
    },
)
WAIT = ToolSpec("wait", "Wait for a result.", {"type": "object", "properties": {}})
SOUP = """Make soup.
1. Boil the water (10 minutes)
2. Chop the leeks (5 minutes)
3. Cook the soup (half an hour)
4. Set the table (2 min)
Step 1 must precede step 3.
Step 3 must follow step 2."""


async def reply_to(messages: list[Message], tools: tuple[ToolSpec, ...] = (WAIT, STEP)) -> Reply:
    stream = PlannerModel().open(ChatRequest(messages, tools), Resources())
    async for _ in stream:
        pass
    await stream.aclose()
    return stream.reply


async def work_through(text: str, *, late: str = "interrupt", fails: dict[int, int] | None = None):
    """Play the session: results come when their time is up. Return (seconds, starts, last text)."""
    fails = dict(fails or {})
    messages = [Message("system", "Plan."), Message("user", text)]
    now, running, starts = 0.0, [], {}
    for _ in range(500):
        reply = await reply_to(messages)
        messages.append(reply.message)
        waits, told = False, {}
        for call in reply.message.calls:
            arguments = json.loads(call.arguments)
            if call.name == "wait":
                waits = True
                continue
            starts.setdefault(arguments["step"], now)
            failed = fails.get(arguments["step"], 0) > 0
            if failed:
                fails[arguments["step"]] -= 1
            end = now + seconds_range(arguments["duration"])[1]
            heapq.heappush(running, (end, call.id, failed))
        if not reply.message.calls and not running:
            return now, starts, reply.message.text
        while running and (running[0][0] == now or waits or not reply.message.calls):
            waits = False
            now, call_id, failed = heapq.heappop(running)
            told[call_id] = "do_step: OSError: no gas" if failed else "ok"
            while running and running[0][0] == now:
                _, call_id, failed = heapq.heappop(running)
                told[call_id] = "failed: no gas" if failed else "ok"
            break
        for call in reply.message.calls:
            text = "no more" if call.name == "wait" else json.dumps({"status": "running", "call": call.id})
            messages.append(Message("tool", told.pop(call.id, text), call_id=call.id))
        if told:
            blocks = "\n".join(f"[INTR] {i} [HEAD] {value} [END]" for i, value in told.items())
            messages.append(Message("user", blocks))
    raise AssertionError("the planner never ends")


async def test_starts_what_is_ready_longest_path_first_and_names_the_total() -> None:
    seconds, starts, text = await work_through(SOUP)
    assert seconds == 40 * 60
    assert starts == {1: 0, 2: 0, 4: 0, 3: 600}
    first = await reply_to([Message("user", SOUP)])
    assert [json.loads(c.arguments)["step"] for c in first.message.calls] == [1, 2, 4]
    assert json.loads(first.message.calls[0].arguments) == {
        "step": 1,
        "text": "Boil the water",
        "duration": "10 minutes",
    }
    assert '"40 minutes"' in text
    assert "no LLM" in text
    assert "4. Set the table (2 min): done" in text


async def test_without_a_wait_tool_it_says_so_in_text() -> None:
    first = await reply_to([Message("user", SOUP)])
    messages = [Message("user", SOUP), first.message]
    messages += [Message("tool", '{"status": "running"}', call_id=c.id) for c in first.message.calls]
    assert (await reply_to(messages, (STEP,))).message.text == "Waiting."
    waiting = await reply_to(messages)
    assert [(c.name, c.arguments) for c in waiting.message.calls] == [("wait", "{}")]


async def test_a_failed_call_is_called_once_more() -> None:
    _, _, text = await work_through(SOUP, fails={1: 1})
    assert '"40 minutes"' in text
    _, starts, text = await work_through(SOUP, fails={1: 2})
    assert 3 not in starts
    assert "1. Boil the water (10 minutes): failed:" in text
    assert "3. Cook the soup (half an hour): not started" in text
    assert '"40' not in text


async def test_what_the_user_says_meanwhile_does_not_end_the_plan() -> None:
    first = await reply_to([Message("user", SOUP)])
    messages = [Message("user", SOUP), first.message]
    messages += [Message("tool", "ok", call_id=c.id) for c in first.message.calls]
    messages.append(Message("user", "Hurry up, please."))
    (call,) = (await reply_to(messages)).message.calls
    assert json.loads(call.arguments)["step"] == 3


async def test_a_second_question_starts_afresh() -> None:
    messages = [Message("user", SOUP), Message("assistant", "All done."), Message("user", "1. Rest (1 hour)")]
    (call,) = (await reply_to(messages)).message.calls
    assert json.loads(call.arguments)["text"] == "Rest"
    messages[-1] = Message("user", "Thanks!")
    assert "I understand a list of steps" in (await reply_to(messages)).message.text


async def test_without_tools_it_answers_from_the_plan() -> None:
    assert '"40 minutes"' in (await reply_to([Message("user", SOUP)], ())).message.text


async def test_a_tool_it_cannot_fill_is_named() -> None:
    odd = ToolSpec("odd", "", {"type": "object", "properties": {"x": {}}, "required": ["x"]})
    assert "`odd`" in (await reply_to([Message("user", SOUP)], (odd,))).message.text
    reply = await reply_to([Message("user", SOUP)], (odd, STEP))
    assert {call.name for call in reply.message.calls} == {"do_step"}


async def test_steps_with_the_same_arguments_are_told_apart_by_order() -> None:
    plain = ToolSpec("do", "", {"type": "object", "properties": {"task": {"type": "string"}}})
    question = Message("user", "1. Stir (1 min)\n2. Stir (1 min)\nStep 1 must precede step 2.")
    first = await reply_to([question], (plain,))
    messages = [question, first.message, Message("tool", "ok", call_id=first.message.calls[0].id)]
    second = await reply_to(messages, (plain,))
    assert len(first.message.calls) == len(second.message.calls) == 1
    messages += [second.message, Message("tool", "ok", call_id=second.message.calls[0].id)]
    assert '"2 minutes"' in (await reply_to(messages, (plain,))).message.text


def test_it_can_take_a_models_time() -> None:
    async def main() -> tuple[float, list[type]]:
        model = PlannerModel(first_token_s=0.3, tokens_per_second=50)
        stream = model.open(ChatRequest([Message("user", SOUP)], [STEP]), Resources())
        with pytest.raises(LocalProtocolError, match="before its end"):
            _ = stream.reply
        kinds = [type(delta) async for delta in stream]
        assert stream.reply.finish == "tool_calls"
        assert stream.reply.usage.requests == 1
        import asyncio

        return asyncio.get_running_loop().time(), kinds

    seconds, kinds = run_in(lambda: new_loop("virtual"), main())
    assert kinds[0] is TextPiece
    assert kinds[-2:] == [CallStarted, CallReady]
    assert 1 < seconds < 3


@pytest.mark.parametrize(
    ("order", "edges"),
    [
        ("Step 1 must precede step 3.", {(1, 3)}),
        ("Step 3 must follow step 1", {(1, 3)}),
        ("- Step 3 can only start after steps 1 and 2 are done.", {(1, 3), (2, 3)}),
        ("Steps 1, 2 must be finished before step 3.", {(1, 3), (2, 3)}),
        ("1 -> 3", {(1, 3)}),
        ("Edges: 1->2, 2→3", {(1, 2), (2, 3)}),
        ("Step 1 → step 2 → step 3", {(1, 2), (2, 3)}),
        ("3 <- 1", {(1, 3)}),
        ("Step 3 depends on step 1. Step 2 requires step 1.", {(1, 3), (1, 2)}),
        ("After step 1, do step 2.", {(1, 2)}),
        ("Before step 3 do step 1; step 2 needs step 1.", {(1, 3), (1, 2)}),
        ("All steps can run in parallel.", set()),
        ("Step 3 need not wait for step 1.", set()),
        ("Do the steps one after another.", {(1, 2), (2, 3)}),
        ("1. Step 1 must precede step 2.", {(1, 2)}),
        ("What is the shortest time to do all 3 steps with 2 hands in 20 minutes?", set()),
    ],
)
def test_order_in_many_wordings(order: str, edges: set[tuple[int, int]]) -> None:
    question = read_question(f"1. A (1 min)\n2. B [2 h]\nStep 3: C, well (done) (1 week).\n{order}")
    assert question is not None
    assert {(a, b) for b, befores in question.after.items() for a in befores} == edges
    assert question.steps[3].text == "C, well (done)"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1. A (1 min)\n2. B", "step 2 names no duration"),
        ("1. A (soon)", "step 1: `soon` is no duration"),
        ("1. A (1 min)\n1. B (1 min)", "step 1 is listed twice"),
        ("1. A (1 min)\nStep 1 must precede step 7.", "names step 7, but there are steps 1 to 1"),
        ("1. A (1 min)\n2. B (1 min)\n1 -> 2\n2 -> 1", "in a circle: "),
    ],
)
async def test_what_it_cannot_read_is_said(text: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read_question(text)
    assert fault in (await reply_to([Message("user", text)])).message.text


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, float]:
    n = draw(st.integers(1, 9))
    seconds = [draw(st.integers(1, 5000)) for _ in range(n)]
    edges = [(a, b) for b in range(2, n + 1) for a in range(1, b) if draw(st.booleans())]
    names = list(range(1, n + 1))
    draw(st.randoms(use_true_random=False)).shuffle(names)
    lines = [f"{names[i]}. Do thing {i} ({s} seconds)" for i, s in enumerate(seconds)]
    lines += [f"Step {names[a - 1]} must precede step {names[b - 1]}." for a, b in edges]
    ends: dict[int, float] = {}
    for i, s in enumerate(seconds, 1):
        ends[i] = s + max((ends[a] for a, b in edges if b == i), default=0)
    return "\n".join(lines), max(ends.values())


@settings(max_examples=60, deadline=None)
@given(questions())
async def test_the_makespan_is_the_longest_path(made: tuple[str, float]) -> None:
    text, longest = made
    seconds, _, answer = await work_through(text)
    assert seconds == longest
    assert f'"{format_seconds(longest)}"' in answer


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_mutated_questions_raise_nothing_but_user_errors(seed: int, changes: int) -> None:
    rng = random.Random(seed)
    text = list(SOUP)
    for _ in range(changes):
        text[rng.randrange(len(text))] = rng.choice("0123456789.()[]->\n step\x00é")
    try:
        read_question("".join(text))
    except UserError:
        pass
