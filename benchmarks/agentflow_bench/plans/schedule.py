"""How long plans take: on random graphs, with enough of everything and with too little."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from agentflow.plan import Graph, Plan
from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["LONGEST_PATH", "SCARCE"]


def _random(chance: random.Random, most: int) -> Graph:
    size = chance.randint(2, most)
    after = [sorted(chance.sample(range(n), min(n, chance.randint(0, 3)))) for n in range(size)]
    durations = [float(chance.randint(1, 60)) for _ in range(size)]
    return Graph([f"s{number}" for number in range(size)], after, durations)


def _plan(graph: Graph, resources: dict[str, int]) -> Plan:
    plan = Plan(resources=resources)
    for number, duration in enumerate(graph.durations):
        step = plan.step(asyncio.sleep, duration).options(name=f"s{number}", estimate=duration)
        step.options(
            after=[plan.steps[one] for one in graph.after[number]], resources=dict.fromkeys(resources, 1)
        )
    return plan


def _longest_path(setting: Setting) -> Sequence[Figure]:
    count = 300 if setting.quick else 10_000
    chance = random.Random(11)

    async def work() -> tuple[int, float]:
        off = 0
        farthest = 0.0
        async with Runtime() as runtime:
            for _ in range(count):
                graph = _random(chance, 25)
                took = (await runtime.run(_plan(graph, {}))).virtual_s or 0.0
                off += took != graph.makespan
                farthest = max(farthest, abs(took - graph.makespan))
        return off, farthest

    off, farthest = run_in(lambda: new_loop("virtual"), work())
    return [
        Figure("random plans run on the virtual clock", count),
        Figure("not exactly as long as their longest path", off, bar=Bar("==", 0)),
        Figure("farthest from it", farthest, "s"),
    ]


def _scarce(setting: Setting) -> Sequence[Figure]:
    count = 100 if setting.quick else 1_000
    chance = random.Random(12)
    figures: list[Figure] = []
    for units in (2, 4, 8):
        ours = fifo = bound = 0.0
        worst = 0.0
        for _ in range(count):
            graph = _random(chance, 80)
            needs, resources = [{"hand": 1}] * len(graph.names), {"hand": units}
            took = max(slot.end for slot in graph.schedule(needs, resources))
            order = [-float(number) for number in range(len(graph.names))]
            other = max(slot.end for slot in graph.schedule(needs, resources, urgency=order))
            ours, fifo, bound = ours + took, fifo + other, bound + graph.lower_bound(needs, resources)
            worst = max(worst, took / other)
        figures.append(Figure(f"{units} units: makespan / lower bound", ours / bound, "x", Bar("<=", 1.10)))
        figures.append(
            Figure(f"{units} units: makespan / first come, first served", ours / fifo, "x", Bar("<=", 1.02))
        )
        figures.append(Figure(f"{units} units: the same, worst plan", worst, "x"))
    return figures


async def _executed(count: int) -> float:
    """Return how long executed plans take, in their schedules' times: they differ where steps end at once."""
    chance = random.Random(13)
    all_planned = all_took = 0.0
    async with Runtime() as runtime:
        for _ in range(count):
            plan = _plan(_random(chance, 40), {"hand": 3})
            planned = max(slot.end for slot in plan.schedule())
            took = (await runtime.run(plan)).virtual_s or 0.0
            all_planned, all_took = all_planned + planned, all_took + took
    return all_took / all_planned


def _all(setting: Setting) -> Sequence[Figure]:
    count = 30 if setting.quick else 500
    ratio = run_in(lambda: new_loop("virtual"), _executed(count))
    executed = Figure("executed plans / their schedules", ratio, "x", Bar("<=", 1.01))
    return [*_scarce(setting), executed]


LONGEST_PATH = Measure(
    "longest_path", "With enough of everything a plan takes its longest path.", _longest_path
)
SCARCE = Measure("scarce", "One resource of 2, 4 and 8 units that every step needs.", _all)
