"""Asks prompts by bare httpx or aiohttp: `http_driver.py httpx|aiohttp URL COUNT AT_ONCE`; prints figures."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

from meter import peak_mb, used  # type: ignore[import-not-found]

__all__ = ["main"]

Ask = Callable[[str], Awaitable[str]]


def _body(prompt: str) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}]}


async def _crowd(ask: Ask, count: int, at_once: int) -> dict[str, float]:
    await ask("warm")
    start, cpu = peak_mb("VmRSS"), used()
    waiting = iter(range(count))
    right = 0

    async def lane() -> None:
        nonlocal right
        for n in waiting:
            answer = await ask(f"p{n}")
            right += answer == f"answer to p{n}"

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(lane())
    return {"cpu_s": used() - cpu, "whole_cpu_s": used(), "grown_mb": peak_mb() - start, "right": right}


async def _httpx(url: str, count: int, at_once: int) -> dict[str, float]:
    import httpx  # type: ignore[import-not-found]

    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(limits=limits, timeout=120) as client:

        async def ask(prompt: str) -> str:
            response = await client.post(f"{url}/chat/completions", json=_body(prompt))
            return str(response.json()["choices"][0]["message"]["content"])

        return await _crowd(ask, count, at_once)


async def _aiohttp(url: str, count: int, at_once: int) -> dict[str, float]:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(prompt: str) -> str:
            async with session.post(f"{url}/chat/completions", json=_body(prompt)) as response:
                return str((await response.json())["choices"][0]["message"]["content"])

        return await _crowd(ask, count, at_once)


def main() -> None:
    """Ask, and print the figures."""
    by, url, count, at_once = sys.argv[1:]
    ask = _httpx if by == "httpx" else _aiohttp
    print(json.dumps(asyncio.run(ask(url, int(count), int(at_once)))))


if __name__ == "__main__":
    main()
