"""A slow request is sent a second time, seldom; the first answer counts, the other request is left."""

from __future__ import annotations

import asyncio
import random

import pytest

from agentflow import UserError
from agentflow.endpoints import Endpoint, Limits, LimitScheduler
from agentflow.errors import EndpointUnavailable
from agentflow.testing import FakeEndpoint, LoopbackServer, ScriptedReply, VirtualClock, assert_nothing_left


def times_of(hedge: float | None, stragglers: float, slow: float = 10.0) -> tuple[list[float], int]:
    """Ask 2,000 times, 20 at once; return how long each took, and the requests that were sent."""
    chance = random.Random(3)

    def answer(_: object) -> ScriptedReply:
        seconds = chance.uniform(0.8, 1.2) * (slow if chance.random() < stragglers else 1.0)
        return ScriptedReply(text="ok", delay=seconds)

    endpoint = FakeEndpoint(answer, scheduler=LimitScheduler(Limits(concurrency=40)), hedge=hedge)

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        took = []

        async def some() -> None:
            for _ in range(100):
                began = loop.time()
                await endpoint.complete("x")
                took.append(loop.time() - began)

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(some())
        return took

    with VirtualClock() as clock, assert_nothing_left():
        return clock.run(main()), len(endpoint.requests)


def test_stragglers_are_overtaken_for_a_few_further_requests():
    plain, _ = times_of(None, 0.02)
    hedged, requests = times_of(0.05, 0.02)
    p99 = int(0.99 * len(plain))
    assert sorted(hedged)[p99] <= 0.4 * sorted(plain)[p99]
    assert requests <= 1.05 * len(hedged)


def test_when_everything_is_slow_little_is_sent_twice():
    _, requests = times_of(0.05, 0.6)
    assert requests <= 1.05 * 2000


def test_no_further_request_without_a_place_for_it():
    endpoint = FakeEndpoint(
        [ScriptedReply(text="ok", delay=1.0)] * 30 + [ScriptedReply(text="slow", delay=50.0)],
        scheduler=LimitScheduler(Limits(concurrency=1)),
        hedge=0.5,
    )

    async def main() -> None:
        for _ in range(31):
            await endpoint.complete("x")

    with VirtualClock() as clock:
        clock.run(main())
        assert clock.time() == 80
    assert len(endpoint.requests) == 31


def test_one_that_fails_leaves_it_to_the_other():
    replies = [ScriptedReply(text="ok", delay=1.0)] * 30
    replies += [
        ScriptedReply(text="slow", delay=50.0),
        ScriptedReply(error=EndpointUnavailable("down"), delay=1.0),
    ]
    endpoint = FakeEndpoint(replies, retry=1, hedge=0.5)

    async def main() -> str:
        for _ in range(30):
            await endpoint.complete("x")
        return (await endpoint.complete("x")).message.text

    with VirtualClock() as clock:
        assert clock.run(main()) == "slow"


async def test_the_server_sees_the_loser_leave():
    slow = iter([0.0] * 25 + [5.0] + [0.0])
    with LoopbackServer(lambda body: ScriptedReply(text="ok", delay=next(slow))) as server:
        async with Endpoint("m", base_url=server.url, hedge=0.5) as endpoint:
            for _ in range(26):
                await endpoint.complete("x")
            await server.until(lambda: len(server.disconnects) == 1)
        assert len(server.requests) == 27


def test_a_share_that_is_none_is_refused():
    with pytest.raises(UserError, match="hedge is the share"):
        Endpoint("m", base_url="http://127.0.0.1/v1", hedge=3)
