"""Who is next: priorities, fair turns of groups, retries, and nobody starves."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agentflow.endpoints import Limits, LimitScheduler
from agentflow.endpoints.queue import AGE_S, FairQueue
from agentflow.testing import VirtualClock


def test_groups_are_served_in_turns_whatever_they_have_queued():
    queue: FairQueue[str] = FairQueue()
    for n in range(100):
        queue.push(f"many {n}", 0.0, group="many")
    for n in range(10):
        queue.push(f"few {n}", 0.0, group="few")
    first = [queue.pop(0.0) for _ in range(20)]
    assert Counter(name.split()[0] for name in first) == {"many": 10, "few": 10}
    assert [name for name in first if name.startswith("few")] == [f"few {n}" for n in range(10)]


def test_shares_are_of_tokens_not_of_requests():
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for _ in range(1000):
        queue.push(("long", 1000), 0.0, group="long", cost=1000)
        queue.push(("short", 100), 0.0, group="short", cost=100)
    served: Counter[str] = Counter()
    for _ in range(550):
        group, cost = queue.pop(0.0)
        served[group] += cost
    assert abs(served["long"] - served["short"]) <= 0.05 * sum(served.values())


def test_a_higher_class_goes_first_and_waiting_raises_a_lower_one():
    queue: FairQueue[str] = FairQueue()
    queue.push("batch", 0.0, priority=-1)
    for n in range(200):
        queue.push(f"talk {n}", float(n), priority=0)
    order = [queue.pop(float(n)) for n in range(100)]
    assert order[0] == "talk 0"
    assert "batch" in order
    assert order.index("batch") <= AGE_S + 2


def test_a_retry_goes_before_the_others_of_its_class():
    queue: FairQueue[str] = FairQueue()
    queue.push("a", 0.0)
    queue.push("b", 0.0)
    queue.push("again", 0.0, retry=True)
    queue.push("urgent", 0.0, priority=1)
    assert [queue.pop(0.0) for _ in range(4)] == ["urgent", "again", "a", "b"]


@given(
    st.lists(
        st.tuples(st.integers(-2, 2), st.sampled_from("abc"), st.integers(0, 5000), st.booleans()),
        max_size=60,
    )
)
def test_everything_comes_out_once(entries):
    queue: FairQueue[int] = FairQueue()
    for number, (priority, group, cost, retry) in enumerate(entries):
        queue.push(number, float(number), priority=priority, group=group, cost=cost, retry=retry)
    out = [queue.pop(100.0 + n) for n in range(len(queue))]
    assert sorted(out) == list(range(len(entries)))
    assert not queue


def test_two_groups_ten_to_one_share_an_endpoint_evenly():
    async def main():
        scheduler = LimitScheduler(Limits(requests_per_minute=600))
        served: list[str] = []

        async def one(group: str) -> None:
            permit = await scheduler.admit(100, group=group)
            served.append(group)
            await asyncio.sleep(0.5)
            scheduler.settle(permit, None)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(1000):
                tasks.create_task(one("large"))
            for _ in range(100):
                tasks.create_task(one("small"))
        return served

    with VirtualClock() as clock:
        served = clock.run(main())
    both = Counter(served[:200])
    assert abs(both["large"] - both["small"]) <= 10
