"""What binds, what was used, limits that change, and limits that several models share: on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from agentflow.endpoints import (
    Admitted,
    Allowance,
    Endpoint,
    FellBack,
    Hedged,
    Limits,
    LimitScheduler,
    Pool,
    Price,
    Waiting,
)
from agentflow.errors import UserError
from agentflow.testing import FakeEndpoint, LoopbackServer, VirtualClock, assert_nothing_left
from agentflow_bench.endpoints.limited import Counter, LimitedModel, most_in_window
from agentflow_protocols.chat import ChatRequest, Message, Settings, Usage

ASK = ChatRequest([Message("user", "x")], settings=Settings(max_tokens=100))


async def hold(scheduler, seconds, times, cost=0, used=None, **how):
    permit = await scheduler.admit(cost, **how)
    times.append((asyncio.get_running_loop().time(), how.get("group", "")))
    try:
        await asyncio.sleep(seconds)
    finally:
        scheduler.settle(permit, None if used is None else Usage(output_tokens=used))


async def hold_all(scheduler, count, seconds=0.5, **how):
    times = []
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(hold(scheduler, seconds, times, **how))
    return times


@pytest.mark.parametrize("count", [200, 1200])
def test_what_was_used_is_what_the_bench_measures(count):
    model = LimitedModel(Counter("bucket", 600))
    endpoint = Endpoint(model, requests_per_minute=600)
    seen = []

    async def main():
        asyncio.get_running_loop().call_later(5, lambda: seen.append(endpoint.standing()))
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(endpoint.complete("x"))
        return endpoint.rate_used(), model.good[-1]

    with VirtualClock() as clock:
        used, last = clock.run(main())
    assert used == pytest.approx(0.99, abs=0.012)
    assert used == pytest.approx((count - 1) / last / 10, abs=0.01)
    [standing] = seen
    assert (standing.binds, standing.limit, standing.source) == ("requests", 600, "given")
    assert 0.95 < standing.used <= 1
    assert standing.waiting == count - 50 or abs(standing.waiting - (count - 50)) < 3
    assert str(standing) == f"requests per minute, {round(standing.used * 100)} % used"


def test_tokens_that_came_back_are_not_used():
    async def main():
        scheduler = LimitScheduler(Limits(tokens_per_minute=60_000))
        await hold_all(scheduler, 100, cost=2_000, used=500)
        return scheduler.rate_used(), asyncio.get_running_loop().time()

    with VirtualClock() as clock:
        used, seconds = clock.run(main())
    assert used == pytest.approx(100 * 500 / (seconds * 1000), abs=0.05)


def test_a_limit_that_changes_counts_for_as_long_as_it_held():
    async def main():
        endpoint = FakeEndpoint(lambda _: "ok", requests_per_minute=600)
        scheduler = endpoint.scheduler()
        task = asyncio.create_task(hold_all(scheduler, 300))
        await asyncio.sleep(10)
        endpoint.change(requests_per_minute=1200)
        times = await task
        return times, scheduler.rate_used()

    with VirtualClock() as clock:
        times, used = clock.run(main())
    assert times[-1][0] == pytest.approx(10 + 200 / 20 / 0.99, rel=0.02)
    assert used == pytest.approx(0.99, abs=0.01)


def test_every_limit_can_be_changed_while_requests_wait():
    async def main():
        loop = asyncio.get_running_loop()
        endpoint = FakeEndpoint(lambda _: "ok", requests_per_minute=1)
        scheduler = endpoint.scheduler()
        await hold_all(scheduler, 1)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(scheduler.admit(1000))
            await asyncio.sleep(1)
            endpoint.change(requests_per_minute=None, tokens_per_minute=6000, concurrency=1)
            first = await waiting
            assert loop.time() < 2
            held = group.create_task(scheduler.admit(10))
            await asyncio.sleep(30)
            assert not held.done()
            assert endpoint.standing().binds == "concurrency"
            endpoint.change(concurrency=None)
            scheduler.settle(await held, None)
            scheduler.settle(first, None)
        with pytest.raises(UserError, match="concurrency must be above 0"):
            endpoint.change(concurrency=0)
        assert endpoint.limits == Limits(None, 6000, None)

    with VirtualClock() as clock:
        clock.run(main())


def test_an_allowance_can_be_raised_while_a_request_waits():
    async def main():
        allowance = Allowance(tokens=1000)
        price = Price(1.0, 1.0)
        first = await allowance.reserve("m", 500, 400, price)
        waiting = asyncio.create_task(allowance.reserve("m", 500, 400, price))
        await asyncio.sleep(1)
        assert not waiting.done()
        allowance.change(tokens=2000)
        allowance.settle(await waiting, None)
        allowance.settle(first, None)

    with VirtualClock() as clock:
        clock.run(main())


def test_a_pool_is_shared_in_fair_turns_and_wastes_nothing():
    async def main():
        pool = Pool("account", requests_per_minute=600)
        first, second = (Endpoint(LimitedModel(Counter("bucket", 1e9)), pool=pool) for _ in range(2))
        ends = {}

        async def ask(endpoint, name, count):
            times = []
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(hold(endpoint.scheduler(), 0.1, times, group=name))
            ends[name] = times

        async with asyncio.TaskGroup() as group:
            group.create_task(ask(first, "large", 400))
            group.create_task(ask(second, "small", 100))
        return ends, pool.scheduler().rate_used()

    with VirtualClock() as clock:
        ends, used = clock.run(main())
    every = sorted(ends["large"] + ends["small"])
    assert most_in_window([(at, 1) for at, _ in every], 60) <= 600
    assert every[-1][0] == pytest.approx(500 / 9.9, rel=0.02)
    assert ends["small"][-1][0] == pytest.approx(200 / 9.9, rel=0.1)
    assert used == pytest.approx(0.99, abs=0.01)


def test_a_model_that_is_held_by_its_own_limit_holds_nothing_of_the_pool():
    async def main():
        pool = Pool("account", requests_per_minute=600, concurrency=10)
        slow = Endpoint(LimitedModel(Counter("bucket", 1e9)), requests_per_minute=60, pool=pool)
        fast = Endpoint(LimitedModel(Counter("bucket", 1e9)), requests_per_minute=3000, pool=pool)
        async with assert_nothing_left(), asyncio.TaskGroup() as group:
            task = group.create_task(hold_all(slow.scheduler(), 200, seconds=0.1))
            times = await hold_all(fast.scheduler(), 540, seconds=0.1)
            assert slow.standing().binds == "requests"
            task.cancel()
        assert pool.scheduler()._running == 0
        return times

    with VirtualClock() as clock:
        times = clock.run(main())
    assert times[-1][0] == pytest.approx(60, rel=0.03)  # 540 of its own, 60 of the slow one's


@pytest.mark.parametrize("seed", range(5))
def test_waiters_at_a_pool_can_be_cancelled_at_any_time(seed):
    import random

    async def main():
        chance = random.Random(seed)
        pool = Pool("account", concurrency=2)
        schedulers = [
            Endpoint(LimitedModel(Counter("bucket", 1e9)), concurrency=places, pool=pool).scheduler()
            for places in (1, 3)
        ]
        async with assert_nothing_left():
            tasks = []
            for _ in range(60):
                tasks.append(asyncio.create_task(hold(chance.choice(schedulers), chance.random(), [])))
                await asyncio.sleep(chance.random() / 4)
                chance.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        shared = pool.scheduler()
        assert (shared._running, shared.waiting) == (0, 0)
        permits = [await schedulers[1].admit(0) for _ in range(2)]
        for permit in permits:
            schedulers[1].settle(permit, None)

    with VirtualClock() as clock:
        clock.run(main())


def test_a_pool_without_a_limit_is_refused():
    with pytest.raises(UserError, match="the pool `a` needs"):
        Pool("a")


def test_decisions_are_told_and_a_short_wait_is_not():
    async def main():
        told = []
        endpoint = FakeEndpoint(lambda _: "ok", requests_per_minute=60)
        for _ in range(3):
            async with endpoint.stream(ASK, on_event=told.append) as stream:
                async for _ in stream:
                    pass
        first, second, waits, third = told
        assert isinstance(first, Admitted)
        assert first.waited_s == 0
        assert isinstance(second, Admitted)
        assert isinstance(waits, Waiting)
        assert waits.binds.startswith("requests per minute")
        assert isinstance(third, Admitted)
        assert 0.9 < second.waited_s < 1 < third.waited_s < 1.02

    with VirtualClock() as clock:
        clock.run(main())


async def test_a_fallback_and_a_second_request_are_told():
    told = []
    with LoopbackServer(faults=[503]) as server:
        other = Endpoint("other", base_url=server.url)
        endpoint = Endpoint("m", base_url=server.url, retry=1, fallback=[other])
        async with endpoint.stream(ASK, on_event=told.append) as stream:
            async for _ in stream:
                pass
    [fell] = [decision for decision in told if isinstance(decision, FellBack)]
    assert (fell.source, fell.target) == ("m", "other")
    assert "503" in str(fell.error)
    assert not any(isinstance(decision, Hedged) for decision in told)
