"""Markup over real HTTP: `/completions` and chat, cut on the wire, and a stream that is dropped."""

from __future__ import annotations

import asyncio

import pytest

from agentflow import Agent, Endpoint, Runtime, TextDelta, tool
from agentflow.endpoints import Capabilities
from agentflow.errors import EndpointUnavailable
from agentflow.session import CmlChat, CmlText
from agentflow.testing import LoopbackServer, ScriptedReply, assert_nothing_left
from agentflow_protocols.trace import Trapped


@tool(idempotent=True)
async def look() -> str:
    """Look."""
    await asyncio.sleep(0.01)
    return "seen"


def told(body) -> str:
    """Return what the model has before it."""
    if "prompt" in body:
        return body["prompt"].split("<|im_start|>assistant\n")[-1]
    return "\n".join(str(message["content"]) for message in body["messages"][1:])


@pytest.mark.parametrize("carrier", [CmlChat, CmlText])
async def test_a_call_and_its_result(carrier):
    def answer(body):
        if "[CALL] c1" not in told(body):
            return "Let me see. [CALL] c1 [HEAD] look {} [END][TRAP] [END]"
        return "I saw it." if "[INTR] c1 [HEAD] seen [END]" in told(body) else "[TRAP] [END]"

    with LoopbackServer(answer) as server, assert_nothing_left():
        async with Runtime() as runtime:
            result = await runtime.run(
                Agent(carrier(Endpoint("m", base_url=server.url)), tools=[look]), "Go."
            )
        assert result.output == "I saw it."
        path = "/v1/chat/completions" if carrier is CmlChat else "/v1/completions"
        assert {request.path for request in server.requests} == {path}


@pytest.mark.parametrize("carrier", [CmlChat, CmlText])
async def test_a_cut_closes_the_request_and_the_text_goes_on(carrier):
    def answer(body):
        return "I stop." if "Stop." in told(body) else ScriptedReply(text="word " * 200, tokens_per_second=40)

    with LoopbackServer(answer) as server:
        agent = Agent(carrier(Endpoint("m", base_url=server.url)), tools=[look])
        async with Runtime() as runtime, runtime.start(agent, "Go.") as run:
            async for event in run:
                if isinstance(event, TextDelta) and "word" in event.text and not server.disconnects:
                    await run.interrupt("Stop.", priority="now")
                    await server.until(lambda: len(server.disconnects) == 1)
            result = await run.result()
        first, second = server.requests
        assert result.output == "I stop."
        assert first.left_at is not None
        assert told(second.body).count("word") < 200
        if carrier is CmlText:
            assert second.body["prompt"].startswith(first.body["prompt"])


async def test_a_stream_dropped_inside_a_block_is_gone_on_with():
    def answer(body):
        if "[CALL] c1" not in told(body):
            return "Now. [CALL] c1 [HEAD] look {} [END] [CALL] c2 [HEAD] look {} [END][TRAP] [END]"
        return "Done." if "[INTR] c1 [HEAD] seen [END]" in told(body) else "[TRAP] [END]"

    with LoopbackServer(answer, faults=["cut"]) as server, assert_nothing_left():
        async with Runtime() as runtime:
            agent = Agent(CmlText(Endpoint("m", base_url=server.url)), tools=[look])
            result = await runtime.run(agent, "Go.")
    assert result.output == "Done."
    text = "".join(message.text for message in result.messages if message.role == "assistant")
    assert text.count("[CALL] c1") == 1


@pytest.mark.parametrize("carrier", [CmlChat, CmlText])
async def test_words_before_a_dropped_stream_are_gone_on_with_and_shown_once(carrier):
    words = "one two three four five six seven eight"

    def answer(body):
        parts = body["prompt"].split("assistant\n")[-1:] if "prompt" in body else []
        parts += [m["content"] for m in body.get("messages", ()) if m["role"] == "assistant"]
        return words[len(parts[-1]) if parts else 0 :]

    shown = []
    with LoopbackServer(answer, faults=["cut", "truncate"]) as server:
        async with (
            Runtime() as runtime,
            runtime.start(Agent(carrier(Endpoint("m", base_url=server.url))), "Go.") as run,
        ):
            async for event in run:
                if isinstance(event, TextDelta):
                    shown.append(event.text)
            output = (await run.result()).output
    assert output == "".join(shown)
    assert output == words


async def test_a_stream_that_always_drops_ends_the_run():
    with LoopbackServer("so so so so ", faults=["cut"] * 20) as server:
        async with Runtime() as runtime:
            with pytest.raises(EndpointUnavailable):
                await runtime.run(Agent(CmlText(Endpoint("m", base_url=server.url, retry=1))), "Go.")
    assert len(server.requests) < 10


@pytest.mark.parametrize("tells", [True, False])
async def test_a_trap_stops_a_server_that_tells_what_stopped_it(tells):
    """AL-8.2: nothing is written behind a trap; one that does not tell is left there instead."""

    def answer(body):
        if "[CALL] c1" not in told(body):
            return "Hm. [CALL] c1 [HEAD] look {} [END][TRAP] [END] and words that nobody wants"
        return "I saw it." if "[INTR] c1 [HEAD] seen [END]" in told(body) else "[TRAP] [END]"

    with LoopbackServer(answer) as server:
        endpoint = Endpoint("m", base_url=server.url, capabilities=Capabilities(tells_stop=tells))
        events: list = []
        async with Runtime(sinks=[events.append]) as runtime:
            result = await runtime.run(Agent(CmlText(endpoint), tools=[look]), "Go.")
        first, second = server.requests
    assert ("[TRAP] [END]" in first.body["stop"]) is tells
    assert "[END][TRAP] [END]" in told(second.body)
    assert "nobody wants" not in second.body["prompt"]
    assert sum(isinstance(event, Trapped) for event in events) <= 1
    assert result.output == "I saw it."
