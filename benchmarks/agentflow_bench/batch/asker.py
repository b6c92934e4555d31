"""Asks prompts by an Endpoint: `python -m agentflow_bench.batch.asker URL COUNT AT_ONCE`; prints figures."""

from __future__ import annotations

import asyncio
import json
import sys

from agentflow import Endpoint
from agentflow_bench.peers.meter import peak_mb, used

__all__ = ["main"]


async def _ask_all(url: str, count: int, at_once: int) -> dict[str, float]:
    async with Endpoint("openai:m", base_url=url, api_key="sk-none", stream=False) as endpoint:
        await endpoint.complete("warm")
        start, cpu = peak_mb("VmRSS"), used()
        waiting = iter(range(count))
        right = 0

        async def lane() -> None:
            nonlocal right
            for n in waiting:
                reply = await endpoint.complete(f"p{n}")
                right += reply.message.text == f"answer to p{n}"

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(lane())
        return {"cpu_s": used() - cpu, "whole_cpu_s": used(), "grown_mb": peak_mb() - start, "right": right}


def main() -> None:
    """Ask, and print the figures."""
    url, *numbers = sys.argv[1:]
    print(json.dumps(asyncio.run(_ask_all(url, *map(int, numbers)))))


if __name__ == "__main__":
    main()
