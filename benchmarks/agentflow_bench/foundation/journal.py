"""The journal: steps a second of many runs at once, and what one durable step costs."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from agentflow.runtime import Context, Runtime
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["LONE_STEP", "STEPS"]

_RUNS = 64
_PAGE = b"x" * 4096


def _double(n: int) -> int:
    return 2 * n


async def _steps(setting: Setting) -> Sequence[Figure]:
    each = 50 if setting.quick else 200

    async def job(context: Context[None], n: int) -> int:
        for i in range(each):
            await context.step(f"step-{i}", _double, i)
        return n

    rates = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            async with Runtime(Path(folder) / "runs.db") as runtime:
                began = time.perf_counter()
                async with asyncio.TaskGroup() as group:
                    for n in range(_RUNS):
                        group.create_task(runtime.run(job, n))
                rates.append(_RUNS * each / (time.perf_counter() - began))
    return [Figure(f"steps of {_RUNS} runs at once", max(rates), "/s", Bar(">=", 12_000), note="best of 3")]


async def _lone_step(setting: Setting) -> Sequence[Figure]:
    """Time single durable steps in turn with appending a page to a file and syncing it."""
    rounds = 50 if setting.quick else 200
    ratios: list[float] = []
    steps: list[float] = []

    async def job(context: Context[None], folder: str) -> None:
        page = os.open(Path(folder) / "page", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            for i in range(rounds):
                began = time.perf_counter()
                os.write(page, _PAGE)
                os.fsync(page)
                written = time.perf_counter()
                await context.step(f"step-{i}", _double, i)
                done = time.perf_counter()
                steps.append(done - written)
                ratios.append((done - written) / (written - began))
        finally:
            os.close(page)

    with tempfile.TemporaryDirectory() as folder:
        async with Runtime(Path(folder) / "runs.db") as runtime:
            await runtime.run(job, folder)
    return [
        Figure("a lone step / a 4 kB write and fsync", median(ratios), "x", Bar("<=", 2.5)),
        Figure("a lone step", median(steps) * 1000, "ms"),
    ]


STEPS = Measure("steps", "Durable steps a second, 64 runs at once on one journal.", _steps)
LONE_STEP = Measure("lone_step", "One durable step against one 4 kB append with fsync.", _lone_step)
