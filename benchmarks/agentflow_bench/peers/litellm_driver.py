"""Asks by litellm's Router: `litellm_driver.py URL COUNT AT_ONCE RETRIES RPM` (0: none); prints figures."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from meter import peak_mb, used  # type: ignore[import-not-found]

__all__ = ["main"]


async def _ask_all(url: str, count: int, at_once: int, retries: int, rpm: int) -> dict[str, float]:
    import litellm  # type: ignore[import-not-found]

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    served = {"model": "openai/m", "api_base": url, "api_key": "sk-none", **({"rpm": rpm} if rpm else {})}
    router = litellm.Router(
        model_list=[{"model_name": "m", "litellm_params": served}],
        num_retries=retries,
        timeout=60,
        **({"routing_strategy": "usage-based-routing-v2"} if rpm else {}),
    )
    errors: dict[str, int] = {}

    async def ask(prompt: str) -> bool:
        try:
            reply = await router.acompletion("m", messages=[{"role": "user", "content": prompt}])
        except Exception as error:
            errors[type(error).__name__] = errors.get(type(error).__name__, 0) + 1
            return False
        return bool(reply.choices[0].message.content == f"answer to {prompt}")

    await ask("warm")
    start, cpu, began = peak_mb("VmRSS"), used(), time.monotonic()
    waiting = iter(range(count))
    right = 0

    async def lane() -> None:
        nonlocal right
        for n in waiting:
            good = await ask(f"p{n}")
            right += good

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(lane())
    return {
        "cpu_s": used() - cpu,
        "whole_cpu_s": used(),
        "grown_mb": peak_mb() - start,
        "right": right,
        "wall_s": time.monotonic() - began,
        "failed": sum(errors.values()),
    }


def main() -> None:
    """Ask, and print the figures."""
    url, *numbers = sys.argv[1:]
    count, at_once, retries, rpm = map(int, numbers)
    print(json.dumps(asyncio.run(_ask_all(url, count, at_once, retries, rpm))))


if __name__ == "__main__":
    main()
