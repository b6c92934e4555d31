"""The scheduler: pace, tokens, concurrency, order, on virtual time and against a server that counts."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.endpoints import Endpoint, Limits, LimitScheduler, Retry
from agentflow.endpoints.scheduler import shared_scheduler
from agentflow.testing import FakeEndpoint, Fault, LoopbackServer, VirtualClock, assert_nothing_left
from agentflow_bench.endpoints.limited import most_in_window
from agentflow_protocols.chat import Settings, Usage


async def admitted(scheduler, costs, used=None):
    """Admit all of `costs` at once; return `(time, cost)` in the order they went."""
    loop = asyncio.get_running_loop()
    times = []

    async def one(cost):
        permit = await scheduler.admit(cost)
        times.append((loop.time(), cost))
        await asyncio.sleep(0.5)
        scheduler.settle(permit, Usage(output_tokens=cost if used is None else used))

    async with asyncio.TaskGroup() as group:
        for cost in costs:
            group.create_task(one(cost))
    return times


@pytest.mark.parametrize("rate", [60, 600, 6000])
def test_requests_keep_the_rate_and_use_it(rate):
    with VirtualClock() as clock:
        scheduler = LimitScheduler(Limits(requests_per_minute=rate))
        times = clock.run(admitted(scheduler, [0] * (rate * 2)))
        assert most_in_window(times, 60.0) <= rate
        assert times[-1][0] == pytest.approx(120, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 12_000), min_size=5, max_size=60))
def test_tokens_never_exceed_the_limit_in_any_minute(costs):
    with VirtualClock() as clock:
        scheduler = LimitScheduler(Limits(tokens_per_minute=10_000))
        times = clock.run(admitted(scheduler, costs))
        assert most_in_window(times, 60.0) <= max(10_000, *costs)
        # No reservation is forgotten: what follows is still within the limit.
        assert times[-1][0] <= 60.0 * (sum(costs) / 5_000 + 2)


def test_tokens_that_were_reserved_but_not_used_are_given_back():
    with VirtualClock() as clock:
        scheduler = LimitScheduler(Limits(tokens_per_minute=60_000, concurrency=1))
        times = clock.run(admitted(scheduler, [10_000] * 100, used=500))
        # 100 requests of 500 tokens at 0.5 s each: the limit of 1,000 a second is not what binds.
        assert times[-1][0] == pytest.approx(49.5, rel=0.02)
        scheduler = LimitScheduler(Limits(tokens_per_minute=60_000))
        start = clock.time()
        times = clock.run(admitted(scheduler, [1_000] * 100, used=1_000))
        assert times[-1][0] - start == pytest.approx(99 / 0.99, rel=0.02)


def test_concurrency_is_first_come_first_served_within_a_priority():
    async def main():
        scheduler = LimitScheduler(Limits(concurrency=2))
        order = []
        running = 0
        most = 0

        async def one(name, priority):
            nonlocal running, most
            permit = await scheduler.admit(0, priority)
            order.append(name)
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            scheduler.settle(permit, None)

        async with asyncio.TaskGroup() as group:
            for name, priority in [("a", 0), ("b", 0), ("c", 0), ("d", 0), ("e", 5)]:
                group.create_task(one(name, priority))
        return order, most

    with VirtualClock() as clock:
        order, most = clock.run(main())
        assert order == ["a", "b", "e", "c", "d"]
        assert most == 2
        assert clock.time() == 3.0


def test_cancelled_waiters_leave_the_queue_and_lose_no_place():
    async def main():
        scheduler = LimitScheduler(Limits(concurrency=1))
        async with assert_nothing_left():
            for turns in range(6):
                held = await scheduler.admit(0)
                waiting = asyncio.create_task(scheduler.admit(0))
                after = asyncio.create_task(scheduler.admit(0))
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_soon(scheduler.settle, held, None)
                for _ in range(turns):
                    await asyncio.sleep(0)
                waiting.cancel()
                try:
                    scheduler.settle(await waiting, None)
                except asyncio.CancelledError:
                    pass
                scheduler.settle(await after, None)
        assert (await scheduler.admit(0)).tokens == 0

    with VirtualClock() as clock:
        clock.run(main())


def test_retries_pass_the_gates_again():
    async def main():
        fake = FakeEndpoint(
            [{"error": 503}, {"error": 503}, "Fine."],
            requests_per_minute=60,
            retry=Retry(wait=lambda state: 0.0),
        )
        await fake.complete("x")
        return asyncio.get_running_loop().time()

    with VirtualClock() as clock:
        assert clock.run(main()) == pytest.approx(2 / 0.99, rel=0.06)


def test_state_is_one_per_identity_and_the_newest_limits_hold():
    async def main():
        first = shared_scheduler(("h", "k", "m"), Limits(concurrency=1), make=LimitScheduler)
        assert shared_scheduler(("h", "k", "m"), Limits(concurrency=1), make=LimitScheduler) is first
        assert shared_scheduler(("h", "k", "n"), Limits(concurrency=1), make=LimitScheduler) is not first
        await first.admit(0)
        waiting = asyncio.create_task(first.admit(0))
        await asyncio.sleep(0)
        assert shared_scheduler(("h", "k", "m"), Limits(concurrency=2), make=LimitScheduler) is first
        await waiting
        return first

    with VirtualClock() as clock:
        one = clock.run(main())
    with VirtualClock() as clock:
        assert clock.run(main()) is not one


def test_loops_in_several_threads_share_one_limit():
    scheduler = LimitScheduler(Limits(concurrency=3))
    lock = threading.Lock()
    running = 0
    most = 0

    async def one():
        nonlocal running, most
        permit = await scheduler.admit(0)
        with lock:
            running += 1
            most = max(most, running)
        await asyncio.sleep(0.001)
        with lock:
            running -= 1
        scheduler.settle(permit, None)

    async def main():
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(one())

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert most == 3


def test_the_pace_holds_from_one_event_loop_to_the_next():
    with LoopbackServer() as server:
        asyncio.run(Endpoint("m", base_url=server.url).complete("x"))
        for _ in range(4):
            asyncio.run(Endpoint("m", base_url=server.url, requests_per_minute=600).complete("x"))
        times = [request.at for request in server.requests]
        # Ten a second, the burst of half a request less; the rest is for connecting.
        assert times[-1] - times[1] >= 0.25 - 0.05


async def test_a_server_that_counts_never_refuses():
    with LoopbackServer(requests_per_minute=1800, window_s=0.5) as server:
        # A window of half a second has room for 15, the burst of this endpoint included.
        endpoint = Endpoint("m", base_url=server.url, requests_per_minute=1400, concurrency=10)
        async with endpoint, asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(endpoint.complete("x"))
        assert [request.status for request in server.requests] == [200] * 30
        stats = endpoint.scheduler().stats
        assert (stats.responses, stats.refused) == (30, 0)


async def test_a_refusal_is_counted_and_passed_later():
    with LoopbackServer(faults=[Fault("status", 429, 0.01)]) as server:
        endpoint = Endpoint("m", base_url=server.url, concurrency=5)
        await endpoint.complete("x")
        assert endpoint.scheduler().stats.by_status == {429: 1, 200: 1}


def test_the_tokens_that_a_reply_will_have_are_learnt():
    async def main():
        fake = FakeEndpoint(lambda _: "word " * 400, tokens_per_minute=1e9)
        for _ in range(40):
            await fake.complete("x")
        [request] = fake.requests[-1:]
        assert 400 < fake.expected_tokens(request)[0] < 900
        request.settings = Settings(max_tokens=50)
        assert fake.expected_tokens(request)[0] < 60

    with VirtualClock() as clock:
        clock.run(main())


def test_a_server_that_reserves_gives_nothing_back() -> None:
    from agentflow_protocols.chat import Usage

    async def main(refunds: bool) -> float:
        scheduler = LimitScheduler(Limits(tokens_per_minute=6_000), refunds=refunds)
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            permit = await scheduler.admit(300, output=200)
            scheduler.settle(permit, Usage(100, 20))
        return asyncio.get_running_loop().time() - began

    with VirtualClock() as clock:
        assert clock.run(main(True)) < 26
    with VirtualClock() as clock:
        assert clock.run(main(False)) > 56
