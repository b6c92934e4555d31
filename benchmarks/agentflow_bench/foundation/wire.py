"""Requests over real connections: what an Endpoint adds to bare aiohttp."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median

from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["REQUEST_COST", "loopback"]

_AT_ONCE = 32


@contextmanager
def loopback(*options: str) -> Iterator[str]:
    """Run the loopback server in a process of its own; yield its base address."""
    command = [sys.executable, "-m", "agentflow.testing.server", "--with-stdin", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(10)


async def _cpu(one: Callable[[], Awaitable[object]], count: int) -> float:
    """Return the processor seconds of one request, `_AT_ONCE` in flight."""

    async def lane() -> None:
        for _ in range(count // _AT_ONCE):
            await one()

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(lane())
    return (time.process_time() - began) / (count // _AT_ONCE * _AT_ONCE)


async def _request_cost(setting: Setting) -> Sequence[Figure]:
    import aiohttp

    from agentflow.endpoints import Endpoint

    count, rounds = (320, 3) if setting.quick else (1280, 7)
    messages = [{"role": "user", "content": "Say hello."}]
    with loopback("--scenario", "text") as url:
        payload = json.dumps({"model": "m", "messages": messages, "stream": True}).encode()
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            Endpoint("m", base_url=url) as endpoint,
            aiohttp.ClientSession(connector=connector) as session,
        ):

            async def ours() -> None:
                await endpoint.complete("Say hello.")

            async def bare() -> None:
                headers = {"content-type": "application/json"}
                text = ""
                async with session.post(f"{url}/chat/completions", data=payload, headers=headers) as response:
                    async for line in response.content:
                        if line.startswith(b"data: {"):
                            for choice in json.loads(line[6:])["choices"]:
                                text += choice["delta"].get("content") or ""

            await _cpu(ours, count), await _cpu(bare, count)
            pairs = [(await _cpu(ours, count), await _cpu(bare, count)) for _ in range(rounds)]
    return [
        Figure("Endpoint / bare aiohttp", median(a / b for a, b in pairs), "x", Bar("<=", 1.6)),
        Figure("Endpoint", median(a for a, _ in pairs) * 1000, "ms CPU", Bar("<=", 0.45)),
        Figure(
            "bare aiohttp",
            median(b for _, b in pairs) * 1000,
            "ms CPU",
            note="reads lines, parses JSON, joins the text",
        ),
    ]


REQUEST_COST = Measure(
    "request_cost", "CPU of a streamed request, 32 at once, against bare aiohttp.", _request_cost
)
