"""Agents: typed answers, deps, limits, handoffs, agents as tools, long conversations."""

import asyncio
import gc
from dataclasses import dataclass
from typing import Literal

import pytest
from pydantic import BaseModel, Field
from virtual import virtual

import agentflow
from agentflow import (
    Agent,
    Context,
    FilePart,
    ImagePart,
    JsonSchema,
    LimitExceeded,
    Limits,
    Message,
    Price,
    Runtime,
    Settings,
    TextPart,
    UserError,
    tool,
)
from agentflow.errors import ContextOverflow, RemoteProtocolError
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.chat import Reply, Usage
from agentflow_protocols.trace import Compacted, HandedOff, RunFinished


class Meal(BaseModel):
    name: str
    minutes: int = Field(ge=1)


@virtual
async def test_a_typed_answer_is_validated_and_asked_again_with_the_fault():
    model = FakeEndpoint(
        ['{"name": "soup"}', '{"name": "soup", "minutes": 0}', '{"name": "soup", "minutes": 20}']
    )
    cook = Agent(model, output=Meal)
    async with Runtime() as runtime:
        result = await runtime.run(cook, "Leek soup.")
    assert result.output == Meal(name="soup", minutes=20)
    assert model.requests[0].output == Meal.model_json_schema()
    assert "minutes: Field required" in model.requests[1].messages[-1].text
    assert "minutes: Input should be greater than or equal to 1" in model.requests[2].messages[-1].text


@virtual
async def test_no_valid_answer_is_an_error_after_the_retries():
    cook = Agent(FakeEndpoint(["x", "y"]), output=Meal, output_retries=1, name="cook")
    async with Runtime() as runtime:
        with pytest.raises(RemoteProtocolError, match="agent cook: no valid answer in 2 tries: not JSON"):
            await runtime.run(cook, "Go.")


@dataclass
class Point:
    x: int
    y: int


@pytest.mark.parametrize(
    ("kind", "answer", "output"),
    [
        (str, "as it is", "as it is"),
        (int, '{"value": 3}', 3),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (Point, '{"x": 1, "y": 2}', Point(1, 2)),
        (Literal["yes", "no"], '```json\n{"value": "no"}\n```', "no"),
        (Meal | Point, '{"value": {"x": 1, "y": 2}}', Point(1, 2)),
        (JsonSchema({"type": "object", "required": ["a"]}), '{"a": null}', {"a": None}),
    ],
)
def test_outputs_of_every_kind(kind, answer, output):
    assert agentflow.run(Agent(FakeEndpoint([answer]), output=kind), "Go.").output == output


@virtual
async def test_a_json_schema_is_checked():
    schema = JsonSchema({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    model = FakeEndpoint(['{"n": "x"}', '{"n": 1}'])
    async with Runtime() as runtime:
        assert (await runtime.run(Agent(model, output=schema), "Go.")).output == {"n": 1}
    assert "n" in model.requests[1].messages[-1].text


@virtual
async def test_a_refusal_is_an_error():
    reply = Reply(Message("assistant", refusal="I can't help with that."), Usage(), "stop")

    class Refusing(FakeEndpoint):
        pass

    model = Refusing([reply])
    async with Runtime() as runtime:
        try:
            result = await runtime.run(Agent(model, output=Meal, output_retries=0), "Go.")
        except RemoteProtocolError:
            return
    raise AssertionError(result)


@dataclass
class Kitchen:
    pots: int


@virtual
async def test_deps_instructions_and_settings():
    @tool
    async def pots(context: Context[Kitchen]) -> int:
        """Count the pots."""
        return context.deps.pots

    async def instructions(context: Context[Kitchen]) -> str:
        return f"You have {context.deps.pots} pots."

    model = FakeEndpoint([ScriptedCall("pots"), "done"])
    cook = Agent(
        model,
        deps_type=Kitchen,
        instructions=instructions,
        tools=[pots],
        settings=Settings(temperature=0, max_tokens=5),
    )
    async with Runtime() as runtime:
        result = await runtime.run(cook, "Go.", deps=Kitchen(3))
    assert result.messages[2].text == "3"
    assert model.requests[0].messages[0].text.startswith("You have 3 pots.")
    assert model.requests[0].settings.max_tokens == 5
    assert "context" not in str(model.requests[0].tools[0].parameters)


@virtual
async def test_parts_as_input():
    model = FakeEndpoint(["A cat."])
    parts = [TextPart("What is this?"), ImagePart("data:image/png;base64,AA=="), FilePart("a.pdf", "AA==")]
    async with Runtime() as runtime:
        await runtime.run(Agent(model), parts)
        with pytest.raises(UserError, match="empty"):
            await runtime.run(Agent(model), "")
        with pytest.raises(UserError, match="a list of TextPart"):
            await runtime.run(Agent(model), [1])
    assert model.requests[0].messages[-1].content == parts


@virtual
async def test_limits_of_tokens_money_and_time():
    def model():
        return FakeEndpoint(lambda r: ScriptedCall("nap"), price=Price(input=1e6, output=1e6), delay=1)

    @tool
    async def nap() -> str:
        await asyncio.sleep(10)
        return "x"

    async with Runtime() as runtime:
        for limits, name in (
            (Limits(tokens=1), "tokens"),
            (Limits(money=0.5), "money"),
            (Limits(time=15), "time"),
        ):
            agent = Agent(model(), tools=[nap])
            with pytest.raises(LimitExceeded) as caught:
                await runtime.run(agent, "Go.", limits=limits)
            assert caught.value.limit == name
        free = Agent(FakeEndpoint(lambda r: ScriptedCall("nap")), tools=[nap])
        with pytest.raises(UserError, match="money limit needs a price"):
            await runtime.run(free, "Go.", limits=Limits(money=1))


@virtual
async def test_limits_go_down_the_tree():
    inner = Agent(FakeEndpoint(lambda r: ScriptedCall("again")), tools=[], name="inner")
    outer = Agent(FakeEndpoint(lambda r: ScriptedCall("inner", {"input": "x"})), tools=[inner.as_tool()])
    async with Runtime() as runtime:
        with pytest.raises(LimitExceeded, match="7 turns"):
            await runtime.run(outer, "Go.", limits=Limits(turns=7))


@virtual
async def test_an_agent_as_a_tool_is_a_child_run():
    critic = Agent(FakeEndpoint(["Too salty."]), name="critic")
    cook = Agent(
        FakeEndpoint([ScriptedCall("critic", {"input": "Taste."}), "Less salt."]), tools=[critic.as_tool()]
    )
    async with Runtime() as runtime, runtime.start(cook, "Go.") as run:
        ended = [event.run async for event in run if isinstance(event, RunFinished)]
        result = await run.result()
    assert ended == [f"{run.id}/critic-c00000001", run.id]
    assert result.messages[2].text == "Too salty."
    assert result.usage.requests == 3


@virtual
async def test_a_handoff_goes_on_with_the_same_conversation():
    french = FakeEndpoint(["Bonjour."])
    speaker = Agent(french, name="french", instructions="Speak French.")
    desk = Agent(
        FakeEndpoint([ScriptedReply(calls=[ScriptedCall("transfer_to_french")])]), handoffs=[speaker]
    )
    async with Runtime() as runtime, runtime.start(desk, "Salut!") as run:
        handed = [event.target async for event in run if isinstance(event, HandedOff)]
        result = await run.result()
    assert handed == ["french"]
    assert result.output == "Bonjour."
    assert [message.role for message in french.requests[0].messages] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]


@virtual
async def test_an_outgrown_window_is_compacted_and_pending_calls_stay():
    refused = []

    @tool(reply="interrupt")
    async def slow() -> str:
        await asyncio.sleep(1000)
        return "slow is done"

    def answer(request):
        if len(request.messages) > 12:
            refused.append(len(request.messages))
            return ContextOverflow("too long")
        if len(model.requests) == 3:
            return ScriptedCall("slow")
        return ScriptedCall("note", {"n": len(model.requests)}) if len(model.requests) < 14 else "done"

    @tool
    async def note(n: int) -> str:
        return f"noted {n}"

    model = FakeEndpoint(answer)
    async with (
        Runtime() as runtime,
        runtime.start(Agent(model, tools=[slow, note]), "The first words.") as run,
    ):
        compacted = [event async for event in run if isinstance(event, Compacted)]
        result = await run.result()
    assert compacted
    assert refused
    assert result.messages[0].text == "The first words."
    for request in model.requests[3:-2]:
        assert any(call.name == "slow" for message in request.messages for call in message.calls)
    assert any("slow is done" in message.text for message in result.messages)

    strict = Agent(FakeEndpoint([ContextOverflow("too long")]), on_overflow="error")
    async with Runtime() as runtime:
        with pytest.raises(ContextOverflow):
            await runtime.run(strict, "Go.")
        with pytest.raises(ContextOverflow):
            await runtime.run(
                Agent(FakeEndpoint([ContextOverflow("too long")] * 3)), "Much too long already."
            )


def test_wrong_arguments_are_told_at_once():
    model = FakeEndpoint(["x"])

    @tool(name="wait")
    async def mine() -> str:
        return ""

    with pytest.raises(UserError, match="its own tool `wait`"):
        agentflow.run(Agent(model, tools=[mine]), "Go.")
    with pytest.raises(UserError, match="on_finish must be one of"):
        Agent(model, on_finish="stop")


def test_run_inside_a_running_loop_says_what_to_do():
    async def main():
        with pytest.raises(UserError, match=r"await runtime\.run"):
            agentflow.run(Agent(FakeEndpoint(["x"])), "Go.")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"grace": -1}, "grace must be 0 or more seconds"),
        ({"output_retries": -1}, "output_retries must be 0 or more"),
    ],
)
def test_numbers_that_can_not_be(options, fault):
    with pytest.raises(UserError, match=f"agent cook: {fault}, not -1"):
        Agent(FakeEndpoint(["x"]), name="cook", **options)


def test_a_clock_that_can_not_be_leaves_no_coroutine_behind():
    with pytest.raises(UserError, match="clock 'slow' is none of"):
        agentflow.run(Agent(FakeEndpoint(["x"])), "Go.", clock="slow")
    gc.collect()  # a coroutine that was never awaited would warn now, and warnings are errors
