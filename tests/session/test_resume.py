"""After a crash the same conversation is made again, and nothing finished is asked or called twice."""

import asyncio
import json

import pytest
from virtual import virtual

from agentflow import Agent, Endpoint, Runtime, TextDelta, ToolCalled, ToolFinished, UserError, tool
from agentflow.testing import FakeEndpoint, Fault, LoopbackServer, ScriptedCall, ScriptedReply
from agentflow_protocols.trace import ApprovalNeeded, ModelFinished


def tools_that_count(counts, idempotent):
    @tool(idempotent=idempotent)
    async def fast(n: int) -> str:
        counts.append(f"fast {n}")
        await asyncio.sleep(1)
        return f"fast {n}"

    @tool(idempotent=idempotent)
    async def slow(n: int) -> str:
        counts.append(f"slow {n}")
        await asyncio.sleep(100)
        return f"slow {n}"

    return [fast, slow]


async def stopped_at(path, agent, stop):
    """Run until `stop` sees an event it likes, end it there, and return the run's id."""
    async with Runtime(path) as runtime, runtime.start(agent, "Go.") as run:
        async for event in run:
            if stop(event):
                break
        return run.id


@virtual
async def test_a_finished_run_is_read_from_the_journal(tmp_path):
    path = tmp_path / "runs.db"
    counts = []
    model = FakeEndpoint([ScriptedCall("fast", {"n": 1}), "done"])
    agent = Agent(model, tools=tools_that_count(counts, False))
    async with Runtime(path) as runtime:
        first = await runtime.run(agent, "Go.", key="mine")
    async with Runtime(path) as runtime:
        second = await runtime.run(agent, "Go.", key="mine")
    assert (first.output, first.messages, first.usage) == (second.output, second.messages, second.usage)
    assert len(model.requests) == 2
    assert counts == ["fast 1"]


@virtual
async def test_a_reply_that_was_cut_becomes_its_recorded_calls_and_is_not_asked_again(tmp_path):
    path = tmp_path / "runs.db"
    counts = []
    replies = [
        ScriptedReply(text="I will.", calls=[ScriptedCall("fast", {"n": 1}), ScriptedCall("fast", {"n": 2})]),
        "done",
    ]
    model = FakeEndpoint(replies, tokens_per_second=2)
    agent = Agent(model, tools=tools_that_count(counts, True))
    run_id = await stopped_at(path, agent, lambda event: isinstance(event, ToolFinished))
    assert len(model.requests) == 1
    again = FakeEndpoint(["done"])
    async with (
        Runtime(path) as runtime,
        runtime.resume(run_id, Agent(again, tools=agent.tools.values())) as run,
    ):
        result = await run.result()
    assert result.output == "done"
    assert len(again.requests) == 1
    assistant = again.requests[0].messages[2]
    assert [json.loads(call.arguments) for call in assistant.calls] == [{"n": 1}]
    assert assistant.text == ""
    assert counts == ["fast 1"]


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_call_that_ran_at_the_crash(tmp_path, idempotent):
    @virtual
    async def run_it():
        path = tmp_path / "runs.db"
        counts = []
        model = FakeEndpoint(
            [[ScriptedCall("fast", {"n": 1}), ScriptedCall("slow", {"n": 2})], "done", "done"]
        )
        agent = Agent(model, tools=tools_that_count(counts, idempotent))
        run_id = await stopped_at(path, agent, lambda event: isinstance(event, ToolFinished))
        async with Runtime(path) as runtime, runtime.resume(run_id, agent) as run:
            result = await run.result()
        told = "\n".join(message.text for message in result.messages)
        if idempotent:
            assert counts == ["fast 1", "slow 2", "slow 2"]
            assert "slow 2" in told
        else:
            assert counts == ["fast 1", "slow 2"]
            assert "outcome of this call is unknown" in told

    run_it()


@virtual
async def test_every_stop_ends_in_the_same_conversation(tmp_path):
    """Stop at each event in turn, resume, and compare with the run that was never stopped."""

    def parts():
        counts = []
        model = FakeEndpoint(
            lambda request: (
                [ScriptedCall("fast", {"n": 1}), ScriptedCall("slow", {"n": 2})]
                if request.messages[-1].role == "user" and "Go" in request.messages[-1].text
                else ScriptedCall("wait")
                if request.messages[-1].text.startswith('{"status"')
                else "done"
            ),
            delay=1,
        )
        return Agent(model, tools=tools_that_count(counts, True)), model, counts

    agent, model, counts = parts()
    async with Runtime() as runtime, runtime.start(agent, "Go.") as run:
        total = [type(event).__name__ async for event in run]
        whole = await run.result()
    for stop_at in range(1, len(total)):
        path = tmp_path / f"runs{stop_at}.db"
        agent, model, counts = parts()
        run_id = await stopped_at(path, agent, lambda event, n=stop_at: event.seq >= n)
        before = len(model.requests)
        async with Runtime(path) as runtime, runtime.resume(run_id, agent) as run:
            replayed = [e async for e in run if isinstance(e, ModelFinished) and e.replayed]
            result = await run.result()
        assert result.messages == whole.messages, stop_at
        assert len(model.requests) <= 3 + (before > len(replayed))
        assert counts.count("fast 1") <= 2


@virtual
async def test_another_input_on_replay_names_the_paths_and_not_the_values(tmp_path):
    path = tmp_path / "runs.db"
    model = FakeEndpoint([ScriptedCall("slow", {"n": 1}), "done"])
    tools = tools_that_count([], True)
    run_id = await stopped_at(
        path, Agent(model, tools=tools, instructions="a"), lambda e: isinstance(e, ToolCalled)
    )

    @tool(idempotent=True)
    async def slow(n: int, more: int) -> str:
        return "x"

    async with Runtime(path) as runtime:
        other = Agent(model, tools=[tools[0], slow], instructions="secret")
        async with runtime.resume(run_id, other) as run:
            with pytest.raises(UserError, match=r"at \$\.system, \$\.tools\.slow") as caught:
                await run.result()
    assert "secret" not in str(caught.value)


@virtual
async def test_interrupts_and_approvals_survive(tmp_path):
    path = tmp_path / "runs.db"
    paid = []

    @tool(needs_approval=True)
    async def pay() -> str:
        paid.append(1)
        return "paid"

    model = FakeEndpoint([ScriptedCall("pay"), "done", "done"])
    agent = Agent(model, tools=[pay])
    async with Runtime(path) as runtime, runtime.start(agent, "Go.") as run:
        async for event in run:
            if isinstance(event, ApprovalNeeded):
                await run.interrupt("Hurry.")
                break
    assert paid == []
    async with Runtime(path) as runtime, runtime.resume(run.id, agent) as again:
        async for event in again:
            if isinstance(event, ApprovalNeeded):
                await again.approve(event.call)
        result = await again.result()
    assert paid == [1]
    assert sum("Hurry." in message.text for message in result.messages) == 1


@virtual
async def test_a_cut_reply_is_cut_at_the_same_place_again(tmp_path):
    path = tmp_path / "runs.db"
    model = FakeEndpoint(["one two three four five six", "slow answer with many words"], tokens_per_second=1)
    agent = Agent(model)
    async with Runtime(path) as runtime, runtime.start(agent, "Count.") as run:
        async for event in run:
            if isinstance(event, TextDelta) and "two" in event.text:
                await run.interrupt("Stop.", priority="now")
            if isinstance(event, TextDelta) and "answer" in event.text:
                break
        partial = run.messages[1].text
    rest = FakeEndpoint(["stopped"])
    async with Runtime(path) as runtime, runtime.resume(run.id, Agent(rest)) as again:
        result = await again.result()
    assert [message.text for message in result.messages] == ["Count.", partial, "Stop.", "stopped"]


@virtual
async def test_fork_goes_on_from_a_step_with_the_rest_anew(tmp_path):
    path = tmp_path / "runs.db"
    counts = []
    model = FakeEndpoint([ScriptedCall("fast", {"n": 1}), ScriptedCall("fast", {"n": 2}), "first end"])
    agent = Agent(model, tools=tools_that_count(counts, False))
    async with Runtime(path) as runtime:
        whole = await runtime.run(agent, "Go.")
        other = Agent(FakeEndpoint(["other end"]), tools=agent.tools.values())
        async with runtime.fork(whole.run_id, other, after="deliver/1") as run:
            forked = await run.result()
        assert forked.output == "other end"
        assert forked.messages[:3] == whole.messages[:3]
        assert counts == ["fast 1", "fast 2"]
        with pytest.raises(UserError, match="no step 'llm/9'"):
            async with runtime.fork(whole.run_id, other, after="llm/9"):
                pass


@virtual
async def test_a_handoff_is_handed_over_again(tmp_path):
    path = tmp_path / "runs.db"

    def desk(french):
        speaker = Agent(french, name="french")
        return Agent(FakeEndpoint([ScriptedCall("transfer_to_french")]), handoffs=[speaker], name="desk")

    slow = desk(FakeEndpoint(["Bonjour, le monde, et au revoir."], tokens_per_second=1))
    run_id = await stopped_at(path, slow, lambda event: isinstance(event, TextDelta))
    again = desk(FakeEndpoint(["Bonjour."]))
    async with Runtime(path) as runtime, runtime.resume(run_id, again) as run:
        assert (await run.result()).output == "Bonjour."


async def test_a_lost_reply_is_asked_for_again_and_the_run_can_still_be_resumed(tmp_path):
    path = tmp_path / "runs.db"

    @tool(needs_approval=True)
    async def pay() -> str:
        return "paid"

    def answer(body):
        return ScriptedReply(
            text="One moment, please.", calls=[ScriptedCall("pay")] if len(server.requests) > 1 else []
        )

    with LoopbackServer(answer, faults=[Fault("cut", after=3)]) as server:
        agent = Agent(Endpoint("m", base_url=server.url, retry=1), tools=[pay])
        run_id = await stopped_at(path, agent, lambda event: isinstance(event, ApprovalNeeded))
        assert len(server.requests) == 2
    async with (
        Runtime(path) as runtime,
        runtime.resume(run_id, Agent(FakeEndpoint(["ok"]), tools=[pay])) as run,
    ):
        async for event in run:
            if isinstance(event, ApprovalNeeded):
                await run.approve(event.call)
        assert (await run.result()).output == "ok"
