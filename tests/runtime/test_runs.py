"""Runs: structure, cancellation, deadlines, events, children, map, commands."""

import asyncio
import json
import time

import pytest
from blockbuster import BlockBuster
from virtual import virtual

from agentflow import Agent, Context, LimitExceeded, Limits, RunError, Runtime, UserError, tool
from agentflow.runtime.bus import KEPT, QUEUED
from agentflow.runtime.control import command
from agentflow.testing import FakeEndpoint, ScriptedCall, assert_nothing_left
from agentflow_protocols.trace import (
    ApprovalNeeded,
    Custom,
    Lagged,
    RunFinished,
    RunStarted,
    TextDelta,
    event_from_line,
    event_to_line,
)


async def nap(context: Context[object], seconds: float) -> float:
    await context.sleep(seconds)
    return seconds


@virtual
async def test_a_job_its_children_and_their_tree():
    async def job(context: Context[str], text: str) -> list[float]:
        later = context.spawn(nap, 30, key="later")
        first = await context.run(nap, 10, key="first")
        return [first.output, (await later).output, len(context.deps)]

    async with Runtime() as runtime, runtime.start(job, "x", deps="abc") as run:
        await asyncio.sleep(5)
        tree = run.tree()
        result = await run.result()
    assert result.output == [10, 30, 3]
    assert result.virtual_s == 30
    assert [line.split()[:2] for line in tree.splitlines()] == [
        ["job", "[running]"],
        ["nap", "[running]"],
        ["nap", "[running]"],
    ]


@virtual
async def test_an_error_comes_out_as_it_is_and_ends_the_children():
    async def job(context: Context[object], text: str) -> None:
        context.spawn(nap, 1000, key="child")
        await context.sleep(1)
        raise ValueError("as it is")

    async with Runtime() as runtime:
        with pytest.raises(ValueError, match="as it is"):
            await runtime.run(job, "x")
        async with runtime.start(job, "x") as run:
            events = [event async for event in run]
    assert [event.status for event in events if isinstance(event, RunFinished)] == ["cancelled", "failed"]
    assert events[-1].time - events[0].time == 1


@virtual
async def test_leaving_the_block_ends_the_run():
    ended = []

    async def job(context: Context[object], text: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(text)

    async with Runtime() as runtime:
        async with runtime.start(job, "break") as run:
            async for _ in run:
                break
        assert run.status == "cancelled"
        with pytest.raises(RunError, match=r"was cancelled: its block was left"):
            await run.result()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), runtime.start(job, "timeout") as run:
                await run.result()
        with pytest.raises(KeyError):  # noqa: PT012
            async with runtime.start(job, "error"):
                await asyncio.sleep(1)
                raise KeyError
        async with runtime.start(job, "by hand") as run:
            await asyncio.sleep(1)
            await run.cancel("enough")
            assert run.status == "cancelled"
        open_run = runtime.start(job, "runtime")
        await open_run.__aenter__()
        await asyncio.sleep(1)
    assert ended == ["break", "timeout", "error", "by hand", "runtime"]
    with pytest.raises(RunError, match="not open"):
        runtime.start(job, "x")


@virtual
async def test_a_run_cancelled_at_once_has_begun_and_ended():
    async with Runtime() as runtime:
        async with runtime.start(nap, 5) as run:
            pass
        assert run.status == "cancelled"
        assert [type(event).__name__ async for event in run] == ["RunStarted", "RunFinished"]


@virtual
async def test_deadlines_go_down_and_are_never_widened():
    async def outer(context: Context[object], text: str) -> None:
        await context.run(nap, 100, key="inner", limits=Limits(time=1000))

    async with Runtime() as runtime:
        with pytest.raises(LimitExceeded, match="limit of time"):
            await runtime.run(outer, "x", limits=Limits(time=7))
        async with runtime.start(nap, 50, limits=Limits(time=3)) as run:
            with pytest.raises(LimitExceeded):
                await run.result()
            assert (run.status, run.virtual_s) == ("limit", 3)


@virtual
async def test_a_slow_reader_lags_and_never_slows_the_run():
    async def chatter(context: Context[object], n: int) -> None:
        for i in range(n):
            context.emit("tick", i)
            context.emit(TextDelta("a"))
            context.emit(TextDelta("b"))

    async with Runtime() as runtime:
        async with runtime.start(chatter, 5000) as run:
            reader = aiter(run)
            await run.result()
            events = [event async for event in reader]
    assert isinstance(events[0], Lagged)
    assert isinstance(events[-1], RunFinished)
    assert len(events) <= QUEUED + 1
    told = sum(event.n for event in events if isinstance(event, Lagged))
    shown = sum(len(event.text) if isinstance(event, TextDelta) else 1 for event in events[1:])
    assert told + shown == 5000 * 3 + 2


@virtual
async def test_attach_goes_on_after_the_seq_that_was_seen():
    async def chatter(context: Context[object], text: str) -> None:
        for letter in text:
            context.emit(TextDelta(letter))
            await context.sleep(1)

    async with Runtime() as runtime, runtime.start(chatter, "abcdefghij") as run:
        first, seen = "", 0
        async for event in run:
            first, seen = first + getattr(event, "text", ""), event.seq
            if len(first) >= 4:
                break
        await asyncio.sleep(3)
        rest = "".join([getattr(event, "text", "") async for event in runtime.attach(run.id, after=seen)])
        with pytest.raises(RunError, match="no run r0"):
            runtime.attach("r0")
    assert first + rest == "abcdefghij"
    assert KEPT > 100


@virtual
async def test_pause_lets_nothing_new_start():
    async def job(context: Context[object], n: int) -> int:
        for i in range(n):
            await context.step(f"s{i}", asyncio.sleep, 1)
        return n

    async with Runtime() as runtime, runtime.start(job, 5) as run:
        await asyncio.sleep(1.5)
        await run.pause()
        await asyncio.sleep(100)
        assert run.status == "running"
        run.resume()
        assert (await run.result()).virtual_s == 104.5  # step 2 had ended at 2 s


@virtual
async def test_pause_and_stop_does_not_wait_for_a_person(tmp_path):
    @tool(needs_approval=True)
    async def pay() -> str:
        return "paid"

    agent = Agent(FakeEndpoint([ScriptedCall("pay"), "done"]), tools=[pay])
    async with Runtime(tmp_path / "runs.db") as runtime:
        async with runtime.start(agent, "Go.") as run:
            async for event in run:
                if isinstance(event, ApprovalNeeded):
                    break
            await run.pause(stop=True)
            assert run.status == "paused"
            with pytest.raises(RunError, match="was paused: it can be resumed"):
                await run.result()
        async with runtime.resume(run.id, agent) as again:
            async for event in again:
                if isinstance(event, ApprovalNeeded):
                    await again.approve(event.call)
            assert (await again.result()).output == "done"


async def test_the_loop_is_never_blocked_by_the_journal(tmp_path):
    @tool(reply="wait")
    async def look() -> str:
        return "seen"

    @tool(reply="wait")
    def think() -> str:
        time.sleep(0.01)
        return "thought"

    async with Runtime(tmp_path / "runs.db") as runtime:
        script = [[ScriptedCall("look"), ScriptedCall("think")], "done"]
        agent = Agent(FakeEndpoint(script * 2), tools=[look, think])
        await runtime.run(agent, "Go.")  # imports what is imported when it is first used
        blocking = BlockBuster("agentflow")
        blocking.activate()
        try:
            assert (await runtime.run(agent, "Go.")).output == "done"
        finally:
            blocking.deactivate()


@virtual
async def test_map_gives_every_row_once_with_back_pressure():
    alive = most = read = 0

    async def row(context: Context[object], n: int) -> int:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        await context.sleep(n % 7)
        alive -= 1
        if n % 100 == 13:
            raise ValueError(n)
        return n

    def rows():
        nonlocal read
        for n in range(1000):
            read += 1
            yield n

    async with Runtime() as runtime:
        async with runtime.map(row, rows(), concurrency=20) as results:
            first = await anext(results)
            await asyncio.sleep(1000)
            assert read <= 60  # nobody read on, so no more was taken
            got = [first, *[result async for result in results]]
        assert most == 20
        assert sorted(r.output for r in got if r.error is None) == [n for n in range(1000) if n % 100 != 13]
        assert sorted(r.error.args[0] for r in got if r.error) == list(range(13, 1000, 100))
        async with runtime.map(row, range(100), concurrency=5) as results:
            async for _ in results:
                break

        async def broken():
            yield 1
            raise OSError("the source broke")

        with pytest.raises(OSError, match="the source broke"):  # noqa: PT012
            async with runtime.map(row, broken()) as results:
                async for _ in results:
                    pass


@virtual
async def test_outside_events_and_messages_between_runs():
    async def listener(context: Context[object], text: str) -> list[str]:
        await context.inbox.changed.wait()
        return [item.source + ":" + item.text for item in context.inbox.take()]

    async def job(context: Context[object], text: str) -> object:
        child = context.spawn(listener, "", key="child")
        answer = await context.wait_for("question", {"why": "x"})
        await context.send("child", "hello")
        with pytest.raises(UserError, match="no run 'nobody' in this tree"):
            await context.send("nobody", "x")
        return [answer, (await child).output]

    async with Runtime() as runtime, runtime.start(job, "x") as run:
        await asyncio.sleep(5)
        await run.signal("question", {"answer": 42})
        assert (await run.result()).output == [{"answer": 42}, ["agent.job:hello"]]


async def test_commands_reach_the_owner_over_its_socket(tmp_path):
    path = tmp_path / ("deep" * 30) / "runs.db"

    async def job(context: Context[object], text: str) -> object:
        answer = await context.wait_for("go")
        await asyncio.sleep(60)
        return answer

    async with assert_nothing_left():
        async with Runtime(path) as runtime, runtime.start(job, "x") as run:

            async def ask(**asked):
                return await asyncio.to_thread(command, path, {"run": run.id, **asked})

            assert "job [running]" in await ask(command="tree")
            await ask(command="send", name="go", value=[1])
            with pytest.raises(RunError, match="unknown command 'dance'"):
                await ask(command="dance")
            with pytest.raises(RunError, match="no run r9 is under way"):
                await ask(command="tree", run="r9")
            await ask(command="cancel", reason="enough")
            with pytest.raises(RunError, match="was cancelled: enough"):
                await run.result()
    with pytest.raises(RunError, match="no process has it open"):
        command(path, {"command": "tree", "run": "x"})


def test_events_have_a_line_each():
    started = RunStarted("agent", "cook", run="r1", seq=1, time=0.5)
    line = event_to_line(started)
    assert json.loads(line)["type"] == "RunStarted"
    assert event_from_line(line) == started
    assert event_from_line(event_to_line(Custom("x", {"a": [1]}))) == Custom("x", {"a": [1]})


async def test_ten_thousand_runs_at_once_are_cheap():
    async with Runtime() as runtime:
        began = time.perf_counter()
        async with runtime.map(nap, [0.5] * 10_000, concurrency=10_000) as results:
            assert len([result async for result in results]) == 10_000
        assert time.perf_counter() - began < 20


@virtual
async def test_a_second_cancellation_while_a_run_ends_leaves_nothing():
    ends = []

    async def job(context: Context[object], text: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            try:
                await asyncio.sleep(500)
            finally:
                ends.append(asyncio.get_running_loop().time())

    async def outer():
        async with Runtime() as runtime:
            await runtime.run(job, "x")

    task = asyncio.create_task(outer())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.sleep(1)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ends == [2.0]
