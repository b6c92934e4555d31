"""One agent: what its run costs, how well its tools overlap the model, how fast it leaves."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from agentflow_bench.foundation.wire import loopback
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["AGENT_COST", "LEAVING", "OVERLAP"]


async def _agent_cost(setting: Setting) -> Sequence[Figure]:
    """Compare the CPU of a run with that of its two requests sent by bare httpx2."""
    import httpx2

    from agentflow import Agent, Endpoint, Runtime, tool

    count, rounds = (50, 3) if setting.quick else (200, 7)
    look = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
    }

    @tool(name="look", idempotent=True)
    async def looking() -> str:
        """Look."""
        return "seen"

    async with AsyncExitStack() as stack:
        url = stack.enter_context(loopback("--scenario", "tool-then-answer"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = Agent(Endpoint("m", base_url=url), tools=[looking])
        plain = await stack.enter_async_context(Runtime())
        durable = await stack.enter_async_context(Runtime(folder / "runs.db"))
        client = await stack.enter_async_context(httpx2.AsyncClient())

        async def bare() -> None:
            for _ in range(2):
                body = {
                    "model": "m",
                    "messages": [{"role": "user", "content": "go"}],
                    "tools": [look],
                    "stream": True,
                }
                async with client.stream("POST", f"{url}/chat/completions", json=body) as response:
                    async for line in response.aiter_lines():
                        if line.startswith("data: {"):
                            json.loads(line[6:])

        sides: list[Callable[[], Awaitable[object]]] = [
            bare,
            lambda: plain.run(agent, "go"),
            lambda: durable.run(agent, "go"),
        ]
        costs: list[list[float]] = [[], [], []]
        for turn in range(rounds + 1):
            for side, into in zip(sides, costs, strict=True):
                began = time.process_time()
                for _ in range(count):
                    await side()
                if turn:
                    into.append((time.process_time() - began) / count)
    base, without, with_journal = (median(c) * 1000 for c in costs)
    return [
        Figure("a run / two requests by bare httpx2", median(_ratios(costs[1], costs[0])), "x", Bar("<=", 2)),
        Figure("the same with a journal", median(_ratios(costs[2], costs[0])), "x", Bar("<=", 2)),
        Figure("a run", without, "ms CPU"),
        Figure("a run with a journal", with_journal, "ms CPU", note="the writer's thread included"),
        Figure("two requests by bare httpx2", base, "ms CPU"),
    ]


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


async def _overlap(setting: Setting) -> Sequence[Figure]:
    """Three calls streamed at 50 tokens a second, tools of 0.8, 0.5 and 0.3 s, then an answer."""
    from agentflow import Agent, Endpoint, Runtime, tool
    from agentflow.testing import LoopbackServer, ScriptedCall, ScriptedReply

    seconds = {"a": 0.8, "b": 0.5, "c": 0.3}

    def napping(name: str) -> Callable[..., object]:
        async def nap(text: str) -> str:
            """Work for a while."""
            await asyncio.sleep(seconds[name])
            return "done"

        return tool(name=name, idempotent=True)(nap)

    calls = [ScriptedCall(name, {"text": "w" * 60}) for name in seconds]
    answer = ScriptedReply(text="The three are done, and this is what came of them, in a few words more.")

    def reply(body: object) -> ScriptedReply:
        assert isinstance(body, dict)
        return answer if body["messages"][-1]["role"] == "tool" else ScriptedReply(calls=calls)

    with LoopbackServer(reply, tokens_per_second=50, first_token_s=0.5) as server:
        agent = Agent(Endpoint("m", base_url=server.url), tools=[napping(name) for name in seconds])
        async with Runtime() as runtime:
            await runtime.run(agent, "warm up")
            pairs = []
            for _ in range(1 if setting.quick else 5):
                ideal = await _ideal(server.url, list(seconds.values()))
                began = time.perf_counter()
                await runtime.run(agent, "go")
                pairs.append((time.perf_counter() - began, ideal))
    return [
        Figure("a run / its ideal", median(ours / ideal for ours, ideal in pairs), "x", Bar("<=", 1.02)),
        Figure("a run", median(ours for ours, _ in pairs), "s"),
        Figure(
            "its ideal",
            median(ideal for _, ideal in pairs),
            "s",
            note="read off the same streams by bare aiohttp",
        ),
    ]


async def _ideal(url: str, seconds: Sequence[float]) -> float:
    """Return the least seconds of the task: each tool starts with the last byte of its arguments."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def read(role: str) -> tuple[float, dict[int, float]]:
            body = {"model": "m", "messages": [{"role": role, "content": "go"}], "stream": True}
            began, closed = time.perf_counter(), dict[int, float]()
            async with session.post(f"{url}/chat/completions", json=body) as response:
                async for line in response.content:
                    if line.startswith(b"data: {"):
                        for choice in json.loads(line[6:])["choices"]:
                            for piece in choice["delta"].get("tool_calls") or ():
                                closed[piece["index"]] = time.perf_counter() - began
            return time.perf_counter() - began, closed

        first, closed = await read("user")
        second, _ = await read("tool")
    return max([first, *(closed[n] + each for n, each in enumerate(seconds))]) + second


async def _leaving(setting: Setting) -> Sequence[Figure]:
    """Leave a run in mid-reply in three ways; look when the server sees it and what is left."""
    from agentflow import Agent, Endpoint, Runtime, TextDelta
    from agentflow.testing import LoopbackServer

    async def by_break(runtime: Runtime, agent: Agent[object, str]) -> float:
        async with runtime.start(agent, "go") as run:
            async for event in run:
                if isinstance(event, TextDelta):
                    break
            return time.monotonic()

    async def by_error(runtime: Runtime, agent: Agent[object, str]) -> float:
        left = 0.0
        try:
            async with runtime.start(agent, "go") as run:
                async for event in run:
                    if isinstance(event, TextDelta):
                        left = time.monotonic()
                        raise KeyError
        except KeyError:
            pass
        return left

    async def by_timeout(runtime: Runtime, agent: Agent[object, str]) -> float:
        try:
            async with asyncio.timeout(0.1) as limit, runtime.start(agent, "go") as run:
                await run.result()
        except TimeoutError:
            pass
        when = limit.when()
        assert when is not None
        return time.monotonic() - (asyncio.get_running_loop().time() - when)

    figures = []
    rounds = 3 if setting.quick else 20
    with LoopbackServer("word " * 500, tokens_per_second=100) as server:
        agent = Agent(Endpoint("m", base_url=server.url))
        async with Runtime() as runtime:
            tasks = len(asyncio.all_tasks())
            for name, leave in (("break", by_break), ("an error", by_error), ("a timeout", by_timeout)):
                slowest = 0.0
                for _ in range(rounds):
                    before = len(server.disconnects)
                    left = await leave(runtime, agent)
                    await server.until(lambda n=before: len(server.disconnects) > n)  # type: ignore[misc]
                    slowest = max(slowest, (server.disconnects[-1].left_at or 0.0) - left)
                figures.append(Figure(f"left by {name}: seen within", slowest * 1000, "ms", Bar("<=", 100)))
            figures.append(Figure("tasks left", len(asyncio.all_tasks()) - tasks, bar=Bar("==", 0)))
    return figures


AGENT_COST = Measure(
    "agent_cost", "CPU of an agent's run: two requests and a tool, one after another.", _agent_cost
)
OVERLAP = Measure("overlap", "Three tools that start while the reply streams, then an answer.", _overlap)
LEAVING = Measure("leaving", "Leaving a run in mid-reply closes its request on the wire.", _leaving)
