"""What was asked before is answered from the cache; of identical requests at once, one is sent."""

from __future__ import annotations

import asyncio

import pytest

from agentflow import Agent, Runtime, Settings, tool
from agentflow.endpoints import ReplyCache
from agentflow.endpoints.cache import _read
from agentflow.errors import EndpointUnavailable
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply, VirtualClock, assert_nothing_left
from agentflow_protocols.chat import Message, Reply, Usage


def run(main):
    with VirtualClock() as clock, assert_nothing_left():
        return clock.run(main)


def test_the_same_again_costs_nothing():
    cache = ReplyCache()
    fake = FakeEndpoint([ScriptedReply(text=f"answer {n}", delay=1) for n in range(9)], cache=cache)

    async def main():
        first = await fake.complete("a")
        again = await fake.complete("a")
        assert (first.message.text, again.message.text) == ("answer 0", "answer 0")
        assert first.usage.requests == 1
        assert (again.usage.requests, again.usage.total_tokens) == (0, 0)
        assert (await fake.complete("b")).message.text == "answer 1"
        assert (await fake.complete("a", settings=Settings(temperature=1))).message.text == "answer 2"
        assert asyncio.get_running_loop().time() == 3

    run(main())
    assert cache.hits == 1


def test_of_identical_requests_at_once_one_is_sent():
    fake = FakeEndpoint([ScriptedReply(text="ok", delay=1)], cache=ReplyCache())

    async def main():
        replies = await asyncio.gather(*(fake.complete("a") for _ in range(50)))
        assert {reply.message.text for reply in replies} == {"ok"}
        assert sum(reply.usage.requests for reply in replies) == 1

    run(main())
    assert len(fake.requests) == 1


def test_when_the_one_fails_or_is_left_the_next_is_sent():
    script = [ScriptedReply(error=EndpointUnavailable("down"), delay=1), ScriptedReply(text="ok", delay=1)]
    fake = FakeEndpoint(script, cache=ReplyCache(), retry=1)

    async def main():
        one, two = await asyncio.gather(fake.complete("a"), fake.complete("a"), return_exceptions=True)
        assert isinstance(one, EndpointUnavailable)
        assert two.message.text == "ok"

    run(main())
    slow = FakeEndpoint([ScriptedReply(text="ok", delay=5)] * 2, cache=ReplyCache())

    async def leaving():
        first = asyncio.create_task(slow.complete("a"))
        second = asyncio.create_task(slow.complete("a"))
        await asyncio.sleep(1)
        first.cancel()
        assert (await second).message.text == "ok"

    run(leaving())
    assert len(slow.requests) == 2


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_what_was_cut_off_is_not_kept(finish):
    fake = FakeEndpoint([ScriptedReply(text="par", finish=finish), "whole"], cache=ReplyCache())

    async def main():
        assert (await fake.complete("a")).message.text == "par"
        assert (await fake.complete("a")).message.text == "whole"
        assert (await fake.complete("a")).message.text == "whole"

    run(main())


def test_only_the_newest_are_kept():
    fake = FakeEndpoint(lambda request: request.messages[-1].text, cache=ReplyCache(size=2))

    async def main():
        for text in ("a", "b", "c", "c", "b", "a"):
            assert (await fake.complete(text)).message.text == text

    run(main())
    assert [request.messages[0].text for request in fake.requests] == ["a", "b", "c", "a"]


def test_an_agent_with_tools_is_answered_from_it_too():
    calls = []

    @tool
    async def look(n: int) -> int:
        calls.append(n)
        return n

    fake = FakeEndpoint([ScriptedCall("look", {"n": 7}), "Seen."], cache=ReplyCache())
    agent = Agent(fake, tools=[look])

    async def main():
        for _ in range(3):
            async with Runtime() as runtime:  # one that has learned durations tells them to the model
                assert (await runtime.run(agent, "Go.")).output == "Seen."

    run(main())
    assert len(fake.requests) == 2
    assert calls == [7, 7, 7]


def test_a_kept_reply_tells_what_stopped_it():
    cache = ReplyCache()
    cache.keep("k", Reply(Message("assistant", "Hm. "), Usage(), "stop", "m", "[TRAP] [END]"))
    assert _read(cache._replies["k"]).stopped == "[TRAP] [END]"
