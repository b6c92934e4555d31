"""1,000 agents at once over real connections, against bare aiohttp doing the same.

Each side runs in a fresh process, in turn, against one server in a third, so that
neither warms the other's caches and each has a peak of memory of its own.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

from agentflow_bench.foundation.wire import loopback
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["CROWD", "main"]


async def _crowd(setting: Setting) -> Sequence[Figure]:
    count, rounds = (100, 1) if setting.quick else (1000, 3)
    told: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
    with loopback("--scenario", "tool-then-answer", "--first-token", "0.5") as url:
        for _ in range(rounds):
            for side in told:
                command = [sys.executable, "-m", __name__, side, url, str(count)]
                done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
                told[side].append(json.loads(done.stdout))
    pairs = list(zip(told["ours"], told["bare"], strict=True))
    ratio = median(ours["wall"] / bare["wall"] for ours, bare in pairs)

    def middle(side: str, name: str) -> float:
        return median(run[name] for run in told[side])

    return [
        Figure("agentflow / bare aiohttp", ratio, "x", Bar("<=", 1.4)),
        Figure(
            "agentflow",
            middle("ours", "wall"),
            "s",
            note="two requests of 0.5 s and a tool of 1 s: 2 s at best",
        ),
        Figure("bare aiohttp", middle("bare", "wall"), "s"),
        Figure("CPU an agent", middle("ours", "cpu") * 1000, "ms"),
        Figure("the same by bare aiohttp", middle("bare", "cpu") * 1000, "ms"),
        Figure("agents that went wrong", sum(run["wrong"] for run in told["ours"]), bar=Bar("==", 0)),
        Figure("peak of memory above the start, an agent", middle("ours", "kb"), "kB", Bar("<=", 60)),
    ]


async def _measure(one: Callable[[int], Awaitable[bool]], count: int) -> dict[str, float]:
    """Run `count` at once; return wall and CPU seconds, how many went wrong, and kB of memory each."""
    await one(-1)
    start = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1000
    began, cpu = time.perf_counter(), time.process_time()
    right = await asyncio.gather(*(one(n) for n in range(count)))
    # Not ru_maxrss, which keeps the peak of the process that this one was forked from.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1.024
    return {
        "wall": time.perf_counter() - began,
        "cpu": (time.process_time() - cpu) / count,
        "wrong": right.count(False),
        "kb": (peak - start) / count,
    }


async def _ours(url: str, count: int) -> dict[str, float]:
    from agentflow import Agent, Endpoint, Runtime, tool

    @tool(idempotent=True)
    async def look() -> str:
        """Look."""
        await asyncio.sleep(1)
        return "seen"

    agent = Agent(Endpoint("m", base_url=url), tools=[look])
    async with Runtime() as runtime:

        async def one(n: int) -> bool:
            result = await runtime.run(agent, f"go {n}")
            return result.usage.requests == 2 and result.messages[2].text == "seen"

        return await _measure(one, count)


async def _bare(url: str, count: int) -> dict[str, float]:
    import aiohttp

    look = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
    }
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(messages: list[object]) -> tuple[str, list[dict[str, str]]]:
            body = json.dumps({"model": "m", "messages": messages, "tools": [look], "stream": True}).encode()
            text, calls = "", list[dict[str, str]]()
            async with session.post(f"{url}/chat/completions", data=body, headers=headers) as response:
                async for line in response.content:
                    if line.startswith(b"data: {"):
                        for choice in json.loads(line[6:])["choices"]:
                            text += choice["delta"].get("content") or ""
                            for piece in choice["delta"].get("tool_calls") or ():
                                if piece.get("id"):
                                    calls.append({"id": piece["id"], "arguments": ""})
                                calls[-1]["arguments"] += piece["function"].get("arguments") or ""
            return text, calls

        async def one(n: int) -> bool:
            messages: list[object] = [{"role": "user", "content": f"go {n}"}]
            _, calls = await ask(messages)
            await asyncio.sleep(1)
            written = [
                {"id": c["id"], "type": "function", "function": {"name": "look", "arguments": c["arguments"]}}
                for c in calls
            ]
            messages.append({"role": "assistant", "content": None, "tool_calls": written})
            messages += [{"role": "tool", "tool_call_id": c["id"], "content": "seen"} for c in calls]
            return bool((await ask(messages))[0])

        return await _measure(one, count)


def main() -> None:
    """Run one side: `python -m agentflow_bench.foundation.crowd bare|ours URL COUNT`."""
    side, url, count = sys.argv[1:]
    print(json.dumps(asyncio.run((_ours if side == "ours" else _bare)(url, int(count)))))


CROWD = Measure(
    "thousand_agents", "1,000 agents at once over real connections, against bare aiohttp.", _crowd
)

if __name__ == "__main__":
    main()
