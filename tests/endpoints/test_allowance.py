"""What may be spent on an endpoint in all: never more, whatever goes on at once."""

from __future__ import annotations

import asyncio

import pytest

from agentflow import LimitExceeded, Price, Settings, UserError
from agentflow.endpoints import Allowance
from agentflow.errors import EndpointUnavailable
from agentflow.testing import FakeEndpoint, ScriptedReply, VirtualClock, assert_nothing_left

ASKED = Settings(max_tokens=50)


def endpoint(allowance: Allowance, **options: object) -> FakeEndpoint:
    def answer(_: object) -> ScriptedReply:
        return ScriptedReply(text="word " * 40, delay=1.0)  # 50 tokens

    return FakeEndpoint(answer, allowance=allowance, settings=ASKED, **options)  # type: ignore[arg-type]


def test_it_is_never_overrun_by_many_at_once():
    allowance = Allowance(tokens=1000)
    fake = endpoint(allowance)

    async def main() -> list[object]:
        return await asyncio.gather(*(fake.complete("x" * 40) for _ in range(100)), return_exceptions=True)

    with VirtualClock() as clock, assert_nothing_left():
        got = clock.run(main())
    refused = [error for error in got if isinstance(error, LimitExceeded)]
    assert len(refused) + len(fake.requests) == 100
    assert 0.8 * 1000 <= allowance.spent_tokens <= 1000
    assert "its allowance is used up" in str(refused[0])


def test_it_may_be_in_money_and_shared():
    allowance = Allowance(usd=0.01)
    price = Price(10.0, 40.0)  # 50 tokens out cost $0.002
    one, two = endpoint(allowance, price=price), endpoint(allowance, price=price)

    async def main() -> None:
        for _ in range(100):
            await one.complete("x")
            await two.complete("x")

    with VirtualClock() as clock, pytest.raises(LimitExceeded, match=r"of \$0.01 are spent"):
        clock.run(main())
    assert allowance.spent_usd <= 0.01
    assert len(one.requests) >= 2 <= len(two.requests)


def test_what_failed_costs_nothing_and_what_was_left_what_came_of_it():
    allowance = Allowance(tokens=10_000)
    fake = FakeEndpoint([EndpointUnavailable("down")] * 3, retry=3, allowance=allowance, settings=ASKED)

    async def main() -> None:
        with pytest.raises(EndpointUnavailable):
            await fake.complete("x")
        assert allowance.spent_tokens == 0
        slow = FakeEndpoint(["word " * 40], tokens_per_second=10, allowance=allowance, settings=ASKED)
        task = asyncio.create_task(slow.complete("x"))
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.wait([task])
        assert 5 <= allowance.spent_tokens < 50

    with VirtualClock() as clock:
        clock.run(main())


def test_one_that_is_cancelled_while_it_waits_for_its_turn_holds_nothing():
    allowance = Allowance(tokens=10_000)
    fake = endpoint(allowance, concurrency=1)

    async def main() -> None:
        tasks = [asyncio.create_task(fake.complete("x")) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert not allowance._held
        assert allowance.spent_tokens > 0

    with VirtualClock() as clock, assert_nothing_left():
        clock.run(main())


def test_wrong_ones_are_refused():
    for wrong in ({}, {"tokens": 0}, {"usd": -1}):
        with pytest.raises(UserError, match="tokens or usd"):
            Allowance(**wrong)

    async def main() -> None:
        with pytest.raises(UserError, match="needs a price"):
            await endpoint(Allowance(usd=1)).complete("x")

    with VirtualClock() as clock:
        clock.run(main())
