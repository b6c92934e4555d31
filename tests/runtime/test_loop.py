"""The loop's clock: virtual, paced, held, guarded, stalled."""

import asyncio
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import virtual

from agentflow.errors import RunError, UserError
from agentflow.runtime import current_clock
from agentflow.runtime.loop import new_loop, run_in


@virtual
async def test_an_hour_takes_no_time_and_is_exact():
    clock, began = current_clock(), time.monotonic()
    assert (clock.kind, clock.time()) == ("virtual", 0.0)
    await asyncio.gather(*(asyncio.sleep(3600 * n) for n in range(1000)))
    assert clock.time() == 3600 * 999
    assert time.monotonic() - began < 2


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
def test_timers_fire_in_order_at_their_very_times(delays):
    fired = []

    async def main():
        clock = current_clock()

        async def one(delay):
            await asyncio.sleep(delay)
            fired.append((clock.time(), delay))

        await asyncio.gather(*(one(delay) for delay in delays))

    run_in(lambda: new_loop("virtual"), main())
    assert fired == sorted((float(delay), delay) for delay in delays)


def test_a_paced_clock_takes_its_share_of_wall_time_and_stays_exact():
    async def main():
        for _ in range(10):
            await asyncio.sleep(6)
        return current_clock().time()

    began = time.monotonic()
    assert run_in(lambda: new_loop("paced", 200), main()) == 60
    assert 0.28 < time.monotonic() - began < 1


@virtual
async def test_real_work_holds_the_clock():
    began = current_clock().time()
    async with asyncio.timeout(0.001):
        await asyncio.to_thread(time.sleep, 0.05)
    assert current_clock().time() == began


@virtual
async def test_a_cancelled_thread_still_holds_the_clock():
    left = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(left.wait, 5))
    await asyncio.sleep(0)
    work.cancel()
    threading.Timer(0.05, left.set).start()
    await asyncio.sleep(100)
    assert left.is_set()


@virtual
async def test_a_guard_counts_wall_time_round_held_work():
    clock = current_clock()
    with pytest.raises(TimeoutError):  # noqa: PT012
        async with clock.guard(0.05):
            with clock.hold():
                await asyncio.Event().wait()
    async with clock.guard(5):
        await asyncio.sleep(1000)
    assert clock.time() == 1000


@virtual
async def test_a_wall_timer_that_is_cancelled_when_it_is_due_already_does_not_fire():
    loop, fired, cancels = asyncio.get_running_loop(), [], []
    loop.call_later_wall(0, lambda: cancels[0]())
    cancels.append(loop.call_later_wall(0, lambda: fired.append("late")))
    await asyncio.sleep(1)
    assert fired == []


def test_a_stall_names_who_waits():
    async def hungry():
        await asyncio.Event().wait()

    async def main():
        await asyncio.sleep(5)
        async with asyncio.TaskGroup() as group:
            group.create_task(hungry(), name="cook")

    with pytest.raises(RunError, match=r"stalled at 5 s of virtual time: nothing can wake .*cook"):
        run_in(lambda: new_loop("virtual"), main())


@virtual
async def test_something_outside_may_wake_the_loop():
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    with current_clock().external():
        threading.Timer(0.05, loop.call_soon_threadsafe, (woken.set,)).start()
        await woken.wait()
    assert current_clock().time() == 0


@pytest.mark.parametrize(("kind", "speed"), [("wall", 2), ("paced", None), ("paced", 0), ("slow", None)])
def test_a_clock_that_can_not_be(kind, speed):
    with pytest.raises(UserError):
        new_loop(kind, speed)


async def test_a_foreign_loop_has_the_wall_clock():
    assert current_clock().kind == "wall"
    with pytest.raises(TimeoutError):
        async with current_clock().guard(0.01):
            await asyncio.Event().wait()
