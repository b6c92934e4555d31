"""The sandbox: what gets out, what a bomb does to the loop, what a tick pays, what a killed worker costs."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from agentflow.dual import GuardedPolicy, MontySandbox, RulePolicy, TrustedPython
from agentflow.testing.sandbox_suite import try_bombs, try_escapes
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_protocols.chat import Json

__all__ = ["BOMBS", "COST", "ESCAPES", "KILLS"]

_TICK_S = 0.25
_GRID: Json = {
    "orders": [{"dish": "soup", "left": 40}, {"dish": "salad", "left": 90}],
    "grid": [[0] * 20 for _ in range(20)],
    "pot": "ready",
}
_RULES = RulePolicy.from_json(
    [
        *({"when": f"state['orders'][0]['left'] < {n}", "do": ["serve", n]} for n in range(9)),
        {"when": "state['pot'] == 'ready'", "do": ["serve", "soup"]},
    ]
)
_PYTHON = """def policy(state):
    best = None
    for order in state["orders"]:
        if best is None or order["left"] < best["left"]:
            best = order
    return ["serve", best["dish"]] if state["pot"] == "ready" else None
"""
_BUSY = "def policy(state):\n    while state['busy']: pass\n    return 'work'\n"


def _sandbox(*, check_names: bool = True) -> MontySandbox:
    try:
        import pydantic_monty  # noqa: F401
    except ImportError:
        raise Skipped("pydantic-monty is not installed: the extra `sandbox`") from None
    return MontySandbox(check_names=check_names)


def _any(action: Json) -> None:
    return None


async def _escapes(setting: Setting) -> Sequence[Figure]:
    plain = await try_escapes(TrustedPython())
    async with _sandbox(check_names=False) as sandbox:  # so that all of them run
        report = await try_escapes(sandbox)
    total = len(report.outcomes)
    return [
        Figure("ways out that were tried", total, "", Bar(">=", 24)),
        Figure(
            "that got out of the sandbox", len(report.escaped), "", Bar("==", 0), ", ".join(report.escaped)
        ),
        Figure(
            "that get out of plain Python", len(plain.escaped), "", Bar(">=", 23), "it copies the state too"
        ),
    ]


async def _bombs(setting: Setting) -> Sequence[Figure]:
    async with _sandbox() as sandbox:
        report = await try_bombs(sandbox, seconds=0.1 if setting.quick else 0.5)
    slowest = max(report.outcomes, key=lambda one: one.seconds)
    left = ", ".join(report.uncontained)
    return [
        Figure("bombs", len(report.outcomes), "", Bar(">=", 10)),
        Figure("that were not contained", len(report.uncontained), "", Bar("==", 0), left),
        Figure("the slowest to end", report.slowest, "s", Bar("<=", 1.6), slowest.case.name),
        Figure("a tick of the loop came late by, p99", report.late_ms, "ms", Bar("<=", 20)),
        Figure("this process grew by", report.grown_mib, "MiB", Bar("<=", 100)),
    ]


async def _cost(setting: Setting) -> Sequence[Figure]:
    calls = 200 if setting.quick else 2_000
    figures: list[Figure] = []
    async with _sandbox() as sandbox:
        for name, proposal in (("ten rules", _RULES), ("Python", _PYTHON)):
            began = time.perf_counter()
            guard = GuardedPolicy(sandbox, allowed=_any, states=[_GRID] * 3, seconds=0.1)
            await guard.propose(proposal, tick=0)
            figures.append(Figure(f"{name}: accepted in", 1000 * (time.perf_counter() - began), "ms"))
            took: list[float] = []
            for tick in range(calls):
                began = time.perf_counter()
                chosen = await guard.act(_GRID, tick)
                took.append(time.perf_counter() - began)
                assert chosen.action == ["serve", "soup"], chosen
            took.sort()
            typical, high = took[calls // 2], took[int(0.99 * calls)]
            figures += [
                Figure(f"{name}: a call, p50", 1e6 * typical, "µs"),
                Figure(f"{name}: a call, p99", 1e6 * high, "µs"),
                Figure(f"{name}: share of a tick of 250 ms", 100 * typical / _TICK_S, "%", Bar("<=", 1)),
            ]
            await guard.aclose()
    return figures


async def _kills(setting: Setting) -> Sequence[Figure]:
    kills = 5 if setting.quick else 20
    worst = 0
    async with (
        _sandbox() as sandbox,
        GuardedPolicy(sandbox, allowed=_any, seconds=0.3, strikes=1000) as guard,
    ):
        await guard.propose(_BUSY, tick=0)
        for tick in range(kills):
            (pid,) = sandbox.pids
            call = asyncio.ensure_future(guard.act({"busy": True}, tick))
            asyncio.get_running_loop().call_later(0.01, os.kill, pid, signal.SIGKILL)
            defaults = int((await call).by == "default")
            while (await guard.act({"busy": False}, tick)).action != "work":
                defaults += 1
            worst = max(worst, defaults)
    figures = [
        Figure(f"{kills} workers killed in mid-call: default actions each, at most", worst, "", Bar("<=", 1))
    ]
    ended = await asyncio.to_thread(_programs, 5 if setting.quick else 30)
    figures.append(Figure("programs that used it and did not end by themselves", ended, "", Bar("==", 0)))
    if sys.platform == "linux":
        left = await asyncio.to_thread(_orphans)
        figures.append(Figure("workers alive 5 s after their program was killed", left, "", Bar("==", 0)))
    return figures


def _program(*, busy: bool) -> list[str]:
    return [sys.executable, "-m", "agentflow_bench.dual.program", "busy" if busy else "idle"]


def _programs(count: int) -> int:
    """Return how many of some programs ended by a signal or with a fault."""
    return sum(
        subprocess.run(_program(busy=False), capture_output=True).returncode != 0 for _ in range(count)
    )


def _orphans() -> int:
    """Kill a program whose policy is under way, and return how many of its workers live on."""
    alive = 0
    with subprocess.Popen(_program(busy=True), stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        workers = [os.pidfd_open(int(pid)) for pid in program.stdout.readline().split()]
        program.kill()
    assert len(workers) == 3
    ends = time.monotonic() + 5
    for worker in workers:
        alive += not select.select([worker], [], [], max(0.0, ends - time.monotonic()))[0]
        os.close(worker)
    return alive


ESCAPES = Measure("escapes", "Ways out of the sandbox, each of which works in plain Python.", _escapes)
BOMBS = Measure("bombs", "Policies that loop or grow for ever, while the loop ticks every 5 ms.", _bombs)
COST = Measure("policy", "What a policy adds to a tick, with a state of 20 times 20 cells.", _cost)
KILLS = Measure("kills", "Workers that are killed, programs that end, programs that are killed.", _kills)
