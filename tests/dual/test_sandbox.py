"""MontySandbox: what a policy is told and answers, and that its worker's end is ours."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentflow.dual import MontySandbox, PolicyFault, PolicySandbox, TrustedPython
from agentflow.errors import ToolRetry, UserError
from agentflow.testing import assert_nothing_left

pytest.importorskip("pydantic_monty")

BUSY = "def policy(state):\n    while state: pass\n    return 'idle'\n"


@pytest.fixture
async def sandbox() -> AsyncIterator[MontySandbox]:
    async with MontySandbox() as made:
        yield made


def stop(pid: int) -> None:
    """Stop a child, and see that it has."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


@pytest.mark.parametrize("backend", [MontySandbox, TrustedPython])
async def test_state_goes_in_as_json_and_an_action_comes_out(backend: type[PolicySandbox]) -> None:
    sandbox = backend()
    try:
        policy = await sandbox.load(
            "def policy(state):\n    state['pot'] = 1\n    return {'a': state['orders'].pop(), 'b': (1,)}"
        )
        state = {"pot": "é", "orders": ["soup"]}
        assert await policy.call(state, seconds=1) == {"a": "soup", "b": [1]}
        assert state == {"pot": "é", "orders": ["soup"]}
        with pytest.raises(UserError, match="must be JSON"):
            await policy.call({1, 2}, seconds=1)  # type: ignore[arg-type]
        await policy.aclose()
        await policy.aclose()
        with pytest.raises(UserError, match="closed"):
            await policy.call(state, seconds=1)
    finally:
        await sandbox.aclose()
        await sandbox.aclose()


@pytest.mark.parametrize("backend", [MontySandbox, TrustedPython])
@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("def policy(state:", "syntax"),
        ("def act(state): return 1", "syntax"),
        ("x" * 70_000, "syntax"),
        ("# \ud800", "syntax"),
        ("1 / 0", "raised"),
        ("def policy(): return 1", "raised"),
        ("def policy(state):\n    return state['nothing']", "raised"),
        ("def policy(state): return policy(state)", "depth"),
        ("def policy(state): return {1, 2}", "result"),
        ("def policy(state): return {(1, 2): 3}", "result"),
        ("def policy(state): return float('nan')", "result"),
        ("def policy(state): return 'x' * 70000", "result"),
        ("def policy(state): return policy", "result"),
        ("def policy(state):\n    a = []\n    for n in range(40): a = [a]\n    return a", "result"),
    ],
)
async def test_a_fault_says_what_kind_it_is(backend: type[PolicySandbox], source: str, kind: str) -> None:
    sandbox = backend()
    try:
        with pytest.raises(PolicyFault) as caught:
            await (await sandbox.load(source)).call({}, seconds=1)
        assert caught.value.kind == kind
        assert isinstance(caught.value, ToolRetry)
        assert len(str(caught.value)) < 300
    finally:
        await sandbox.aclose()


async def test_names_that_are_nowhere_are_told_at_once_and_others_are_left_to_trials() -> None:
    wrong = "def policy(state):\n    return state or heap.pop()"
    sound = """from __future__ import annotations
def policy(state):
    best = None
    for one in map(abs, state):
        if best is None or one < best:
            best = one
    return best + 1"""
    async with MontySandbox() as sandbox:
        with pytest.raises(PolicyFault, match="syntax: line 2: name 'heap' is not defined"):
            await sandbox.load(wrong)
        with pytest.raises(PolicyFault, match="forbidden: line 1: there is no module 'numpy'"):
            await sandbox.load("import numpy as np\ndef policy(state): return 1")
        assert await (await sandbox.load(sound)).call([-3, 2], seconds=1) == 3
    async with MontySandbox(check_names=False) as sandbox:
        assert await (await sandbox.load(wrong)).call(1, seconds=1) == 1


async def test_a_fault_names_its_line_and_not_the_source(sandbox: MontySandbox) -> None:
    policy = await sandbox.load("def policy(state):\n    soup = state['soup']\n    return 1 / soup\n")
    with pytest.raises(PolicyFault) as caught:
        await policy.call({"soup": 0}, seconds=1)
    assert str(caught.value) == "raised: line 3: ZeroDivisionError: division by zero"
    assert await policy.call({"soup": 2}, seconds=1) == 0.5


async def test_what_a_fault_tells_of_the_policys_own_words_is_plain(sandbox: MontySandbox) -> None:
    policy = await sandbox.load("def policy(state): raise ValueError('a\\n' + chr(27) + '[31m' + 'x' * 999)")
    with pytest.raises(PolicyFault) as caught:
        await policy.call(None, seconds=1)
    assert str(caught.value).startswith("raised: line 1: ValueError: a ?[31mxxx")
    assert len(str(caught.value)) < 300


async def test_a_policy_that_overruns_is_ended_in_time_and_begins_anew(sandbox: MontySandbox) -> None:
    policy = await sandbox.load(BUSY)
    (first,) = sandbox.pids
    began = time.monotonic()
    with pytest.raises(PolicyFault, match=r"time: no answer within 0\.05 s"):
        await policy.call(True, seconds=0.05)
    assert time.monotonic() - began < 0.3
    assert await policy.call(False, seconds=0.5) == "idle"
    assert sandbox.pids != [first]


async def test_a_policy_may_not_change_the_program_round_it(sandbox: MontySandbox) -> None:
    source = """def policy(state):
    global _agentflow_call
    _agentflow_call = lambda text: %s
    return 1"""
    policy = await sandbox.load(source % "[1, 2]")
    assert await policy.call(10, seconds=1) == 1
    assert await policy.call(10, seconds=1) == [1, 2]  # still text, still read as JSON
    wild = await sandbox.load(source % "print")
    assert await wild.call(None, seconds=1) == 1
    with pytest.raises(PolicyFault, match="result: it returned what is not JSON"):
        await wild.call(None, seconds=1)


async def test_chance_and_the_clock_are_the_same_each_time(sandbox: MontySandbox) -> None:
    source = """import random, time, datetime
def policy(state):
    time.sleep(60)
    return [random.random(), str(datetime.datetime.now())]"""
    one, two = await sandbox.load(source), await sandbox.load(source)
    assert await one.call(None, seconds=1) == await two.call(None, seconds=1)


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process by its id")
async def test_a_worker_that_hangs_is_killed(sandbox: MontySandbox) -> None:
    policy = await sandbox.load(BUSY)
    stop(*sandbox.pids)
    with pytest.raises(PolicyFault, match="time"):
        await policy.call(False, seconds=0.1)
    assert await policy.call(False, seconds=0.5) == "idle"


async def test_a_killed_worker_is_replaced(sandbox: MontySandbox) -> None:
    policy = await sandbox.load(BUSY)
    os.kill(sandbox.pids[0], signal.SIGKILL)
    with pytest.raises(PolicyFault) as caught:
        await policy.call(False, seconds=0.5)
    assert caught.value.kind == "worker"
    assert await policy.call(False, seconds=0.5) == "idle"


async def test_a_call_that_is_cancelled_or_closed_under_way_leaves_nothing() -> None:
    async with assert_nothing_left():
        async with MontySandbox() as sandbox:
            policy, other = await sandbox.load(BUSY), await sandbox.load(BUSY)
            call = asyncio.ensure_future(policy.call(True, seconds=30))
            closed = asyncio.ensure_future(other.call(True, seconds=30))
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await policy.call(False, seconds=0.5) == "idle"
            await other.aclose()
            with pytest.raises(PolicyFault):
                await closed


async def test_calls_of_one_policy_happen_one_after_another(sandbox: MontySandbox) -> None:
    policy = await sandbox.load("n = [0]\ndef policy(state):\n    n[0] += 1\n    return n[0]")
    assert sorted(await asyncio.gather(*(policy.call(None, seconds=1) for _ in range(20)))) == list(
        range(1, 21)
    )


async def test_more_policies_than_workers_are_an_error() -> None:
    async with MontySandbox(max_processes=1) as sandbox:
        first = await sandbox.load(BUSY)
        with pytest.raises(UserError, match="max_processes"):
            await sandbox.load(BUSY)
        await first.aclose()
        await (await sandbox.load(BUSY)).aclose()
    with pytest.raises(UserError, match="closed"):
        await sandbox.load(BUSY)


@pytest.mark.parametrize("wrong", [{"max_processes": 0}, {"memory": 10}, {"request_timeout": 0}])
def test_wrong_arguments(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        MontySandbox(**wrong)  # type: ignore[arg-type]


async def test_without_the_extra_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    with pytest.raises(UserError, match=r"agentflow-async\[sandbox\]"):
        await MontySandbox().load(BUSY)


@pytest.mark.skipif(sys.platform != "linux", reason="watches processes that are not ours by pidfd")
def test_no_worker_outlives_a_parent_that_is_killed() -> None:
    program = [sys.executable, str(Path(__file__).with_name("sandbox_parent.py"))]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        watched = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(watched) == 3
    for one in watched:
        ended, _, _ = select.select([one], [], [], 20)
        os.close(one)
        assert ended, "a worker goes on without its parent"


async def test_a_model_is_told_what_is_true(sandbox: MontySandbox) -> None:
    modules = sandbox.dialect.rpartition("imported: ")[2].rstrip(".")
    lines = [f"import {modules}", "class Best:", "    def __init__(self): self.at = 1", "def policy(state):"]
    policy = await sandbox.load("\n".join([*lines, "    return [Best().at + n for n in state]"]))
    assert await policy.call([1, 2], seconds=1) == [2, 3]
    for absent in ("def g(): yield 1", "del x", "class A(Exception): pass", "super", "open('x')"):
        with pytest.raises(PolicyFault):
            await sandbox.load(absent)
