"""Interrupts: from a person, in order, cutting or not, and approvals."""

import asyncio
import json

import pytest
from virtual import virtual

from agentflow import Agent, RunError, Runtime, TextDelta, ToolCalled, tool
from agentflow.session import CmlText
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.trace import ApprovalNeeded, ApprovalSettled, Interrupted, ModelFinished


@tool(reply="interrupt")
async def boil(pot: str) -> str:
    """Boil."""
    await asyncio.sleep(600)
    return f"{pot} boils"


@virtual
async def test_an_interrupt_goes_in_at_the_next_boundary():
    model = FakeEndpoint([ScriptedCall("boil", {"pot": "p"}), ScriptedCall("wait"), "Only one, then."])
    async with (
        Runtime() as runtime,
        runtime.start(Agent(model, tools=[boil], on_finish="cancel"), "Go.") as run,
    ):
        await asyncio.sleep(60)
        await run.interrupt("Only one pot, please.")
        result = await run.result()
    assert result.virtual_s == 60
    assert model.requests[2].messages[-1].text == "[INTR] user [HEAD] Only one pot, please. [END]"
    assert result.output == "Only one, then."


@virtual
async def test_now_cuts_the_reply_and_keeps_what_was_written():
    model = FakeEndpoint(
        ["one two three four five six seven eight nine ten", "Stopped."], tokens_per_second=1
    )
    async with Runtime() as runtime, runtime.start(Agent(model), "Count.") as run:
        async for event in run:
            if isinstance(event, TextDelta) and "three" in event.text:
                await run.interrupt("Stop.", priority="now")
            if isinstance(event, Interrupted):
                assert event.cut
        result = await run.result()
    _user, partial, interrupt, final = result.messages
    assert partial.text.startswith("one two three")
    assert "ten" not in partial.text
    assert interrupt.text == "Stop."  # an agent without tools gets a person's own words
    assert final.text == "Stopped."
    assert result.virtual_s < 10


@virtual
async def test_several_wait_together_in_the_order_of_priority_then_arrival():
    model = FakeEndpoint(["aaaa bbbb cccc dddd", "ok"], tokens_per_second=1)
    async with Runtime() as runtime, runtime.start(Agent(model, tools=[boil]), "Go.") as run:
        await asyncio.sleep(1)
        await run.interrupt("third", priority="silent")
        await run.interrupt("first")
        await run.interrupt("second", source="agent.boss")
        await run.result()
        with pytest.raises(RunError, match="has succeeded"):
            await run.interrupt("late")
    assert model.requests[1].messages[-1].text.splitlines() == [
        "[INTR] user [HEAD] first [END]",
        "[INTR] agent.boss [HEAD] second [END]",
        "[INTR] user [HEAD] third [END]",
    ]


@virtual
async def test_a_silent_interrupt_alone_does_not_go_in():
    model = FakeEndpoint(["aaaa bbbb"], tokens_per_second=1)
    async with Runtime() as runtime, runtime.start(Agent(model), "Go.") as run:
        await asyncio.sleep(1)
        await run.interrupt("psst", priority="silent")
        assert (await run.result()).output == "aaaa bbbb"


@virtual
async def test_streamed_values_come_as_interrupts_the_newest_of_each_call():
    @tool(reply="stream")
    async def watch():
        for n in range(5):
            await asyncio.sleep(1)
            yield f"seen {n}"
        await asyncio.sleep(10)

    model = FakeEndpoint(
        [ScriptedCall("watch"), ScriptedCall("wait"), "slow text that takes time", "done"], delay=2.5
    )
    async with Runtime() as runtime:
        await runtime.run(Agent(model, tools=[watch], on_finish="cancel"), "Go.")
    told = [request.messages[-1].text for request in model.requests[1:]]
    assert any("[HEAD] seen" in text for text in told)
    assert all(text.count("[INTR]") <= 1 for text in told)


@virtual
async def test_a_call_that_streams_ends_after_its_last_value():
    @tool(reply="stream")
    async def watch():
        await asyncio.sleep(1)
        yield "seen"

    events: list = []
    model = FakeEndpoint(["[CALL] c1 [HEAD] watch {} [END] [TRAP] [END]", "done"])
    async with Runtime(sinks=[events.append]) as runtime:
        await runtime.run(Agent(CmlText(model), tools=[watch]), "Go.")
    put_in = ["[INTR] c1 [HEAD] seen [END]", "[INTR] c1 [HEAD] null [END]"]
    assert model.requests[1].prompt.splitlines()[-2:] == put_in
    assert [event.text for event in events if isinstance(event, Interrupted)] == ["seen", "null"]


@virtual
async def test_a_flood_of_values_wakes_the_model_once_in_an_interval():
    @tool(reply="stream")
    async def watch():
        for n in range(1000):
            yield f"seen {n}"
            await asyncio.sleep(0.001)
        yield "x" * 100_000

    def answer(request):
        if "[HEAD] null" in request.prompt:
            return "done"
        begun = "[CALL] c1 [HEAD] watch" in request.prompt
        return "[TRAP] [END]" if begun else "[CALL] c1 [HEAD] watch {} [END][TRAP] [END]"

    model = FakeEndpoint(answer)
    async with Runtime() as runtime:
        result = await runtime.run(Agent(CmlText(model, request_cost=1e-9), tools=[watch]), "Go.")
    told = [message.text for message in result.messages if message.interrupt]
    assert 10 <= len(told) <= 12
    assert "[HEAD] seen 0 " in told[0]
    assert "91808 characters left out" in told[-1]
    assert told[-1].endswith("[INTR] c1 [HEAD] null [END]")


@pytest.mark.parametrize("approved", [True, False])
def test_a_call_waits_for_a_person(approved):
    @virtual
    async def run_it():
        done = []

        @tool(needs_approval=lambda amount: amount > 10)
        async def pay(amount: int) -> str:
            done.append(amount)
            return f"paid {amount}"

        model = FakeEndpoint(
            [[ScriptedCall("pay", {"amount": 5}), ScriptedCall("pay", {"amount": 50})], "ok"]
        )
        async with Runtime() as runtime, runtime.start(Agent(model, tools=[pay]), "Pay.") as run:
            async for event in run:
                if isinstance(event, ApprovalNeeded):
                    assert json.loads(event.arguments) == {"amount": 50}
                    await (run.approve(event.call) if approved else run.deny(event.call, "too much"))
                if isinstance(event, ApprovalSettled):
                    assert event.approved is approved
            result = await run.result()
        assert done == ([5, 50] if approved else [5])
        texts = [message.text for message in result.messages if message.role == "tool"]
        assert texts[-1] == ("paid 50" if approved else "error: denied by a person: too much")

    run_it()


@virtual
async def test_an_interrupt_between_calls_reaches_the_model_with_their_results():
    @tool
    async def look(n: int) -> str:
        await asyncio.sleep(5)
        return f"seen {n}"

    model = FakeEndpoint([ScriptedReply(text="Looking.", calls=[ScriptedCall("look", {"n": 1})]), "hm", "ok"])
    async with Runtime() as runtime, runtime.start(Agent(model, tools=[look]), "Go.") as run:
        async for event in run:
            if isinstance(event, ToolCalled):
                await run.interrupt("Look left.")
        result = await run.result()
    sent = model.requests[1].messages
    assert sent[-2].text == '{"status": "running", "call": "c00000001"}'
    assert sent[-1].text == "[INTR] user [HEAD] Look left. [END]"
    assert "seen 1" in model.requests[2].messages[-1].text
    assert result.output == "ok"


@virtual
async def test_a_cut_reply_tells_about_how_many_tokens_it_saved():
    long = "word " * 100
    model = FakeEndpoint([long, long, "Stopped."], tokens_per_second=10)
    finished = []
    async with Runtime(
        sinks=[lambda e: finished.append(e) if isinstance(e, ModelFinished) else None]
    ) as runtime:
        await runtime.run(Agent(model), "Tell.")
        async with runtime.start(Agent(model), "Tell.") as run:
            await asyncio.sleep(2)
            await run.interrupt("Stop.", priority="now")
            await run.result()
    whole, cut, _ = finished
    assert whole.saved_tokens == 0
    assert cut.finish == "cut"
    assert cut.saved_tokens == whole.usage.output_tokens - cut.usage.output_tokens > 0
