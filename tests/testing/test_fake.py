"""FakeEndpoint and VirtualClock."""

from __future__ import annotations

import asyncio
import time

import pytest

from agentflow.endpoints import Endpoint, Price, Retry, Retrying, Timeouts
from agentflow.errors import EndpointUnavailable, RunError, UserError
from agentflow.testing import FakeEndpoint, LoopbackServer, ScriptedCall, ScriptedReply, VirtualClock
from agentflow_protocols.chat import ChatRequest, Message, Reply, Settings, ToolCall, Usage


async def test_a_script_of_every_kind_of_answer():
    whole = Reply(Message("assistant", "Whole.", calls=[ToolCall("i", "f", "{}")]), Usage(), "stop")
    fake = FakeEndpoint(
        [
            "Text.",
            ScriptedCall("boil", {"pot": 1}),
            [ScriptedCall("a"), ScriptedCall("b")],
            {"text": "Both.", "calls": [{"name": "f", "arguments": {"x": 1}}]},
            ScriptedReply("Full.", finish="length"),
            whole,
            EndpointUnavailable("gone"),
        ],
        price=Price(1, 1),
        settings=Settings(temperature=0),
        retry=1,
    )
    assert (await fake.complete("1")).message.text == "Text."
    assert (await fake.complete("2")).message.calls[0].arguments == '{"pot": 1}'
    calls = (await fake.complete("3")).message.calls
    assert [c.name for c in calls] == ["a", "b"]
    assert len({c.id for c in calls}) == 2
    reply = await fake.complete("4")
    assert (reply.message.text, reply.message.calls[0].name) == ("Both.", "f")
    assert (await fake.complete("5")).finish == "length"
    assert (await fake.complete("6")).message.calls == whole.message.calls
    with pytest.raises(EndpointUnavailable, match="gone"):
        await fake.complete("7")
    with pytest.raises(UserError, match="fake: no reply is left"):
        await fake.complete("8")
    assert [request.messages[0].text for request in fake.requests] == list("12345678")
    assert fake.requests[0].settings.temperature == 0
    assert fake.name == "fake"
    assert isinstance(fake, Endpoint)


async def test_a_function_answers_by_the_request():
    fake = FakeEndpoint(lambda request: f"You said {request.messages[-1].text}.", name="echo")
    async with fake.stream(ChatRequest([Message("user", "x")])) as stream:
        text = "".join([delta.text async for delta in stream])
    assert text == "You said x."
    assert stream.model == "echo"
    with pytest.raises(UserError, match="no reply can be made of int"):
        await FakeEndpoint(lambda _: 7).complete("x")
    with pytest.raises(UserError, match=r"no scripted reply: .*txt"):
        FakeEndpoint([{"txt": "x"}])


def test_virtual_time_is_exact_and_costs_none():
    async def main():
        loop = asyncio.get_running_loop()
        fake = FakeEndpoint(["One two three."] * 2, delay=3600, tokens_per_second=0.5)
        async with fake.stream(ChatRequest([Message("user", "x")])) as stream:
            async for _ in stream:
                pass
        assert stream.first_token_s == 3600 + 3 / 4 / 0.5
        assert stream.seconds == loop.time() == 3600 + 14 / 4 / 0.5
        return stream.seconds

    began = time.monotonic()
    with VirtualClock() as clock:
        seconds = clock.run(main())
        assert clock.time() == seconds
        clock.run(asyncio.sleep(60))
        assert clock.time() == seconds + 60
    assert time.monotonic() - began < 2


def test_waits_between_attempts_are_on_the_loops_clock():
    async def main():
        fake = FakeEndpoint([{"error": 503}] * 3 + ["Fine."], retry=Retry(wait=lambda state: 600.0))
        waits = []
        stream = fake.stream(ChatRequest([]), on_event=waits.append)
        async with stream:
            async for _ in stream:
                pass
        assert [(w.attempt, w.wait_s) for w in waits if isinstance(w, Retrying)] == [
            (1, 600),
            (2, 600),
            (3, 600),
        ]
        assert stream.first_token_s == 0

    with VirtualClock() as clock:
        clock.run(main())
        assert clock.time() == 1800


def test_a_real_server_stops_virtual_time_and_keeps_wall_time_outs():
    async def main(url):
        endpoint = Endpoint("m", base_url=url, retry=1, timeouts=Timeouts(idle=0.2, first=5))
        loop = asyncio.get_running_loop()

        async def ticking():
            while True:
                await asyncio.sleep(1000)

        ticker = asyncio.create_task(ticking())
        before = loop.time()
        async with endpoint:
            await endpoint.complete("x")
            await endpoint.complete("x")
            assert loop.time() == before
            with pytest.raises(EndpointUnavailable, match=r"sent nothing for 0.2 s"):
                await endpoint.complete("x")
        ticker.cancel()

    with LoopbackServer("Some words.", first_token_s=0.05, faults=[None, None, "stall"]) as server:
        with VirtualClock() as clock:
            clock.run(main(server.url))


def test_a_wait_that_nothing_ends_is_an_error_and_not_a_hang():
    async def main():
        await asyncio.get_running_loop().create_future()

    with VirtualClock() as clock, pytest.raises(RunError, match="nothing can wake"):
        clock.run(main())


def test_paced_time_takes_its_part_of_wall_time():
    began = time.monotonic()
    with VirtualClock(speed=100) as clock:
        clock.run(asyncio.sleep(5))
        assert clock.time() == pytest.approx(5)
    assert 0.04 < time.monotonic() - began < 2


def test_a_clock_is_used_inside_its_block():
    clock = VirtualClock()
    with pytest.raises(UserError, match="use `with VirtualClock"):
        clock.run(asyncio.sleep(1))
    with pytest.raises(UserError, match="use `with VirtualClock"):
        clock.time()
    with asyncio.Runner(loop_factory=VirtualClock().loop_factory) as runner:
        runner.run(asyncio.sleep(1000))
