"""How a call runs: retries, time-outs on both clocks, and cancellation."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentflow.errors import ToolFailed
from agentflow.runtime.loop import new_loop, run_in
from agentflow.tools import Tool, tool


def virtual(main):
    return run_in(lambda: new_loop("virtual"), main)


async def called(made: Tool[..., object], arguments: str = "{}"):
    return await made.run(None, made.validate(arguments))


def test_retries_wait_on_the_loops_clock() -> None:
    tries: list[float] = []

    @tool(retries=2)
    async def flaky() -> str:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) < 3:
            raise OSError("busy")
        return "ok"

    assert virtual(called(flaky)) == "ok"
    assert tries == [0.0, 0.5, 1.5]
    tries.clear()
    with pytest.raises(ToolFailed, match="flaky: OSError: busy"):
        virtual(called(flaky.with_options(retries=1)))
    assert len(tries) == 2


def test_a_timeout_counts_virtual_time() -> None:
    @tool(timeout="1h")
    async def slow(hours: float) -> str:
        await asyncio.sleep(hours * 3600)
        return "done"

    assert virtual(called(slow, '{"hours": 0.9}')) == "done"
    with pytest.raises(ToolFailed, match="slow: timed out after 3600 s"):
        virtual(called(slow, '{"hours": 2}'))


@pytest.mark.parametrize("kind", ["wall", "virtual"])
def test_a_timeout_of_a_thread_counts_wall_time_and_waits_for_it(kind) -> None:
    left = threading.Event()

    @tool(timeout=0.05)
    def block() -> None:
        time.sleep(0.1)
        left.set()

    async def main() -> None:
        with pytest.raises(ToolFailed, match=r"block: timed out after 0.05 s"):
            await called(block)
        assert left.is_set()

    run_in(lambda: new_loop(kind), main())


async def test_a_cancelled_thread_is_waited_for_and_a_queued_one_never_runs() -> None:
    go, began, runs = threading.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()

    @tool
    def block(n: int) -> None:
        runs.append(n)
        loop.call_soon_threadsafe(began.set)
        go.wait(5)

    loop.set_default_executor(ThreadPoolExecutor(1))
    tasks = [asyncio.create_task(called(block, f'{{"n": {n}}}')) for n in range(2)]
    await began.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait([tasks[1]])
    assert not tasks[0].done()
    tasks[0].cancel()
    go.set()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert runs == [0]


async def test_cancelling_a_generator_closes_it() -> None:
    closed = asyncio.Event()

    @tool
    async def endless() -> AsyncIterator[object]:
        try:
            while True:
                await asyncio.Event().wait()
                yield 1
        finally:
            closed.set()

    task = asyncio.create_task(called(endless))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
