"""Interrupts: bounds, policies, and that each recorded one is delivered exactly once."""

import asyncio
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual import virtual

from agentflow import Agent, Context, Limits, RunError, Runtime, UserError, tool
from agentflow.runtime.inbox import CAPACITY, PER_SOURCE, Inbox, Interrupt
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply

HERE = Path(__file__).parent


def put(inbox: Inbox, *items: Interrupt) -> None:
    for item in items:
        inbox.put(item)


def texts(inbox: Inbox) -> list[str]:
    return [item.text for item in inbox.take()]


async def test_a_source_that_is_full_waits_and_others_do_not():
    inbox = Inbox()
    put(inbox, *(Interrupt("user", str(n)) for n in range(PER_SOURCE)))
    waiting = asyncio.create_task(inbox.room(Interrupt("user", "more")))
    await inbox.room(Interrupt("agent.a", "here"))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert len(texts(inbox)) == PER_SOURCE
    await waiting


async def test_the_inbox_is_bounded_in_all():
    inbox = Inbox()
    put(inbox, *(Interrupt(f"s{n}", "x", policy="coalesce") for n in range(CAPACITY)))
    await inbox.room(Interrupt("s0", "newer", policy="coalesce"))
    waiting = [
        asyncio.create_task(inbox.room(Interrupt("other", "x", policy=policy)))
        for policy in ("block", "drop_oldest", "coalesce")
    ]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    inbox.close()
    await asyncio.gather(*waiting)


async def test_drop_oldest_drops_the_oldest_of_its_own_source():
    inbox = Inbox()
    put(inbox, Interrupt("user", "hello"))
    for n in range(PER_SOURCE + 2):
        await inbox.room(Interrupt("log", "", policy="drop_oldest"))
        dropped = inbox.put(Interrupt("log", str(n), policy="drop_oldest"))
        assert (dropped and dropped.text) == (None if n < PER_SOURCE else str(n - PER_SOURCE))
    assert texts(inbox) == ["hello", *(str(n) for n in range(2, PER_SOURCE + 2))]


async def test_coalesce_takes_the_place_of_its_own_source_alone():
    inbox = Inbox()
    put(
        inbox,
        Interrupt("price", "1", policy="coalesce"),
        Interrupt("user", "hello"),
        Interrupt("user", "mine", policy="coalesce"),
        Interrupt("price", "2", "silent", policy="coalesce"),
    )
    assert len(inbox) == 3
    assert texts(inbox) == ["hello", "mine", "2"]  # by priority, then arrival
    put(inbox, Interrupt("price", "3", policy="coalesce"))
    assert inbox.take()[0].seq == 4


POLICIES = st.sampled_from(["block", "drop_oldest", "coalesce"])
PUTS = st.tuples(st.sampled_from("abc"), POLICIES, st.sampled_from(["now", "next", "silent"]))


@given(st.lists(PUTS | st.none(), max_size=40), st.data())
def test_what_the_journal_knows_is_what_waits(steps, data):
    """Take at random (None), stop anywhere, and restore from the facts."""
    from agentflow.runtime import inbox as module

    async def run_it():
        inbox, facts, delivered = Inbox(), {}, {}
        for number, step in enumerate(steps):
            if step is None:
                delivered |= {item.seq: item.text for item in inbox.take()}
                continue
            source, policy, priority = step
            item = Interrupt(source, str(number), priority, policy=policy)
            if not inbox._takes(item):
                continue
            dropped = inbox.put(item)
            if dropped:
                facts[dropped.seq] = None
            facts[item.seq] = item
        again = Inbox()
        kept = [fact for _, fact in sorted(facts.items()) if fact is not None]
        again.restore(kept, set(delivered), max(facts, default=0))
        assert again.last_seq == inbox.last_seq
        replayed = again.take_seqs(list(delivered))
        assert {item.seq: item.text for item in replayed} == delivered
        assert sorted(item.seq for item in again.take()) == sorted(item.seq for item in inbox.take())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PER_SOURCE", data.draw(st.integers(1, 4)))
        patch.setattr(module, "CAPACITY", data.draw(st.integers(3, 8)))
        asyncio.run(run_it())


@tool(reply="interrupt")
async def look() -> str:
    await asyncio.sleep(3600)
    return "seen"


@pytest.mark.parametrize("durable", [False, True])
def test_a_flood_neither_hangs_nor_loses_anything(durable, tmp_path):
    @virtual
    async def run_it():
        left = 10_000
        most = 0

        def answer(request):
            nonlocal left, most
            text = request.messages[-1].text if len(request.messages) > 2 else ""
            most = max(most, text.count("[INTR]"))
            left -= text.count("[INTR]")
            if len(request.messages) == 2:
                return ScriptedReply(calls=[ScriptedCall("look"), ScriptedCall("wait")])
            return ScriptedReply(calls=[ScriptedCall("wait")]) if left > 0 else ScriptedReply(text="done")

        agent = Agent(FakeEndpoint(answer, delay=1), tools=[look], on_finish="cancel")
        path = tmp_path / "runs.db" if durable else None
        async with Runtime(path) as runtime, runtime.start(agent, "Go.") as run:
            sends = (run.interrupt(f"n{n}", source=f"s{n % 100}") for n in range(10_000))
            await asyncio.gather(*sends)
            result = await run.result()
        found = Counter(re.findall(r"\[HEAD\] (n\d+) \[END\]", "".join(m.text for m in result.messages)))
        assert len(found) == 10_000
        assert set(found.values()) == {1}
        assert most == CAPACITY

    run_it()


@virtual
async def test_a_sender_that_waits_for_room_hears_that_the_run_has_ended():
    async def job(context: Context[object], text: str) -> str:
        await asyncio.sleep(10)
        return text

    async with Runtime() as runtime, runtime.start(job, "x") as run:
        await asyncio.sleep(1)
        for n in range(PER_SOURCE):
            await run.interrupt(str(n))
        waiting = asyncio.create_task(run.interrupt("more"))
        await run.interrupt("a stream", source="feed", policy="coalesce")
        with pytest.raises(UserError, match=r"policy is one of block, .*did you mean `coalesce`"):
            await run.interrupt("x", policy="coalesc")
        await run.result()
        with pytest.raises(RunError, match="nothing can be sent to it"):
            await waiting


@virtual
async def test_runs_send_to_one_another_by_priority_and_policy():
    async def listener(context: Context[object], text: str) -> list[str]:
        await asyncio.sleep(5)
        return [f"{item.source} {item.text} {item.priority}" for item in context.inbox.take()]

    async def boss(context: Context[object], text: str) -> object:
        child = context.spawn(listener, "", key="child")
        await asyncio.sleep(1)
        for n in range(3):
            await context.send("child", f"level {n}", policy="coalesce")
        await context.send("child", "stop", priority="now")
        with pytest.raises(UserError, match="priority is one of now, next, silent"):
            await context.send("child", "x", priority="soon")
        result = (await child).output
        with pytest.raises(RunError, match="has succeeded"):
            await context.send("child", "late")
        return result

    async with Runtime() as runtime:
        assert (await runtime.run(boss, "")).output == ["agent.boss stop now", "agent.boss level 2 next"]


@virtual
async def test_an_interrupt_that_comes_while_calls_are_cancelled_is_not_lost():
    @tool(reply="interrupt")
    async def slow() -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(5)
        return ""

    model = FakeEndpoint([ScriptedReply(text="On.", calls=[ScriptedCall("slow")]), "Over.", "Heard."])
    agent = Agent(model, tools=[slow], on_finish="cancel")
    async with Runtime() as runtime, runtime.start(agent, "Go.") as run:
        await asyncio.sleep(2)
        await run.interrupt("Wait!")
        assert (await run.result()).output == "Heard."


async def test_what_waited_when_a_run_was_stopped_is_delivered_once_it_goes_on(tmp_path):
    started = asyncio.Event()

    def answer(request):
        started.set()
        return ScriptedReply(text="slow " * 40)

    agent = Agent(FakeEndpoint(answer, tokens_per_second=1), limits=Limits(turns=9))
    async with Runtime(tmp_path / "runs.db") as runtime, runtime.start(agent, "Go.") as run:
        await started.wait()
        for n in range(PER_SOURCE + 3):
            await run.interrupt(f"log {n}", source="log", policy="drop_oldest")
            await run.interrupt(f"price {n}", source="price", policy="coalesce")
        await run.interrupt("Faster.")
        await run.cancel()
    quick = FakeEndpoint(["one", "two"])
    agent = Agent(quick)
    async with Runtime(tmp_path / "runs.db") as runtime, runtime.resume(run.id, agent) as again:
        await again.result()
    blocks = quick.requests[-1].messages[-1].text.splitlines()
    logs = [block for block in blocks if "[INTR] log " in block]
    assert len(logs) == PER_SOURCE
    assert "log 3 " in logs[0]
    assert [block for block in blocks if block not in logs] == [
        f"[INTR] price [HEAD] price {PER_SOURCE + 2} [END]",
        "[INTR] user [HEAD] Faster. [END]",
    ]


def killed_twice(folder: Path, rng: random.Random) -> None:
    """Start the worker and kill it, twice at random, and let a third one end the work."""
    command = [sys.executable, str(HERE / "interrupted_worker.py"), str(folder)]
    for _ in range(2):
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.3))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    out = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert out.stdout.splitlines()[-1:] == ["right"], out.stdout + out.stderr


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_delivers_each_recorded_interrupt_exactly_once(tmp_path, seed):
    killed_twice(tmp_path, random.Random(seed))
