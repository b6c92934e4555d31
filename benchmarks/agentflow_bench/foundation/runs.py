"""What the Runtime itself costs: child runs, and the memory of an agent that waits."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from statistics import median

from agentflow.runtime import Context, Runtime
from agentflow.runtime.budget import Limits
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["CHILDREN", "WAITING"]


async def _nothing(context: Context[None], n: int) -> int:
    return n


async def _children(setting: Setting) -> Sequence[Figure]:
    count = 500 if setting.quick else 2000

    async def parent(context: Context[None], round: int) -> float:
        began = time.process_time()
        for n in range(count):
            await context.run(_nothing, n, key=f"{round}-{n}")
        return (time.process_time() - began) / count

    async with Runtime() as runtime:
        costs = [(await runtime.run(parent, round)).output for round in range(5)]
    return [Figure("a child run, begun and ended", median(costs) * 1e6, "µs CPU", Bar("<=", 50))]


async def _waiting(setting: Setting) -> Sequence[Figure]:
    """Count the memory of agents that all wait for a tool, by tracemalloc."""
    import tracemalloc

    from agentflow.agent import Agent
    from agentflow.testing import FakeEndpoint
    from agentflow.tools import tool
    from agentflow_protocols.chat import ChatRequest

    count = 200 if setting.quick else 1000
    waiting = 0
    all_wait, go = asyncio.Event(), asyncio.Event()

    @tool
    async def hold() -> str:
        nonlocal waiting
        waiting += 1
        if waiting == count:
            all_wait.set()
        await go.wait()
        return "done"

    def answer(request: ChatRequest) -> object:
        return (
            "done" if request.messages[-1].role == "tool" else {"calls": [{"name": "hold", "arguments": {}}]}
        )

    endpoint = FakeEndpoint(answer)  # type: ignore[arg-type]
    agent = Agent(endpoint, tools=[hold], limits=Limits(turns=5))
    async with Runtime() as runtime:
        go.set()
        await runtime.run(agent, "warm up")
        go.clear()
        all_wait.clear()
        waiting = 0
        endpoint.requests.clear()
        gc.collect()
        tracemalloc.start()
        async with asyncio.TaskGroup() as group:
            for n in range(count):
                group.create_task(runtime.run(agent, f"wait {n}"))
            await all_wait.wait()
            endpoint.requests.clear()
            gc.collect()
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            go.set()
    return [Figure("an agent that waits for a tool", held / count / 1000, "kB", Bar("<=", 20))]


CHILDREN = Measure("children", "Child runs that do nothing, one after another, without a journal.", _children)
WAITING = Measure("waiting", "Memory of agents that all wait for their tools at once.", _waiting)
