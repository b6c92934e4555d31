"""Random graphs: the shortest time, the scarce resource, and the executor's own times."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow import Runtime
from agentflow.plan import Graph, Plan
from agentflow.testing import VirtualClock


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[list[int]], list[float]]:
    """Return what each step comes after, and durations in whole seconds."""
    size = draw(st.integers(1, 30))
    after = [
        sorted(draw(st.sets(st.integers(0, number - 1), max_size=4))) if number else []
        for number in range(size)
    ]
    return after, [float(draw(st.integers(0, 50))) for _ in range(size)]


def _graph(after: list[list[int]], durations: list[float]) -> Graph:
    return Graph([f"s{number}" for number in range(len(after))], after, durations)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_a_plan_takes_its_longest_path(drawn: tuple[list[list[int]], list[float]]) -> None:
    after, durations = drawn
    graph = _graph(after, durations)
    plan = Plan()
    for number, duration in enumerate(durations):
        step = plan.step(asyncio.sleep, duration).options(name=f"s{number}", estimate=duration)
        step.options(after=[plan.steps[earlier] for earlier in after[number]])

    async def main() -> float:
        async with Runtime() as runtime:
            return (await runtime.run(plan)).virtual_s or 0.0

    with VirtualClock() as clock:
        took = clock.run(main())
    assert took == graph.makespan == plan.makespan()
    path = graph.critical_path
    assert sum(durations[step] for step in path) == graph.makespan
    assert all(graph.slack[step] == 0 for step in path)
    assert all(slack >= 0 for slack in graph.slack)


@given(graphs(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_schedule_keeps_to_the_resource_and_to_the_order(
    drawn: tuple[list[list[int]], list[float]], units: int
) -> None:
    after, durations = drawn
    graph = _graph(after, durations)
    needs = [{"stove": number % (units + 1)} for number in range(len(after))]
    slots = {slot.step: slot for slot in graph.schedule(needs, {"stove": units})}
    assert len(slots) == len(after)
    for step, earlier in enumerate(after):
        assert all(slots[one].end <= slots[step].start for one in earlier)
    for slot in slots.values():
        held = sum(
            needs[other.step]["stove"] for other in slots.values() if other.start <= slot.start < other.end
        )
        assert held <= units
    end = max(slot.end for slot in slots.values())
    assert end >= graph.lower_bound(needs, {"stove": units})


def test_the_most_urgent_first_is_near_the_best_there_is() -> None:
    chance = random.Random(7)
    ours = fifo = bound = 0.0
    for _ in range(100):
        size = chance.randint(20, 60)
        after = [sorted(chance.sample(range(n), min(n, chance.randint(0, 3)))) for n in range(size)]
        durations = [float(chance.randint(1, 60)) for _ in range(size)]
        graph = _graph(after, durations)
        needs, units = [{"stove": 1}] * size, {"stove": chance.randint(2, 8)}
        ours += max(slot.end for slot in graph.schedule(needs, units))
        order = [-float(number) for number in range(size)]
        fifo += max(slot.end for slot in graph.schedule(needs, units, urgency=order))
        bound += graph.lower_bound(needs, units)
    assert ours <= 1.10 * bound
    assert ours <= 1.02 * fifo
