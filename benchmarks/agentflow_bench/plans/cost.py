"""What a step of a plan costs, next to langgraph; and a plan of a hundred thousand."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agentflow.plan import Plan
from agentflow.runtime import Runtime
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.peers import Absent, drive, plain_environment

__all__ = ["DURABLE", "LARGE", "STEPS"]

_N = 1_000
_DURABLE_N = 300


async def _nothing(before: object = None) -> int:
    return 1


def _chain(steps: int) -> Plan:
    plan = Plan(name="chain")
    step = plan.step(_nothing)
    for _ in range(steps - 1):
        step = plan.step(_nothing, step.output)
    return plan


def _fan(steps: int) -> Plan:
    plan = Plan(name="fan")
    for _ in range(steps):
        plan.step(_nothing)
    return plan


async def _run(make: Callable[[int], Plan], steps: int, journal: Path | None) -> float:
    """Return microseconds a step, checking the plan and putting it in order included."""
    plan = make(steps)
    async with Runtime(journal) as runtime:
        began = time.perf_counter()
        outputs = (await runtime.run(plan)).output
        took = time.perf_counter() - began
    assert len(outputs) == steps
    return took / steps * 1e6


def _peer(file: str, steps: int) -> dict[str, float] | str:
    try:
        return drive("langgraph", "langgraph_driver", (steps, file), plain_environment(""), 600)
    except Absent as why:
        return str(why)


async def _steps(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    peer = {"chain": 0.0} if setting.quick else await asyncio.to_thread(_peer, "-", _N)
    for name, make in (("chain", _chain), ("fan", _fan)):
        took = min([await _run(make, _N, None) for _ in range(9)])
        figures.append(Figure(f"{name} of {_N:,}: a step", took, "µs", Bar("<=", 20)))
        if isinstance(peer, str):
            figures.append(Figure(f"{name}: langgraph", 0, note=peer))
        elif not setting.quick:
            figures.append(Figure(f"{name}: langgraph / agentflow", peer[name] / took, "x", Bar(">=", 20)))
            figures.append(Figure(f"{name}: langgraph, a step", peer[name], "µs"))
    return figures


def _fsync(folder: Path) -> float:
    """Return microseconds of a 4 kB write and its fsync."""
    took = []
    with open(folder / "probe", "wb", buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return sorted(took)[25] * 1e6


async def _durable(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures.append(Figure("a 4 kB write and fsync", await asyncio.to_thread(_fsync, folder), "µs"))
        file = str(folder / "peer")
        peer = None if setting.quick else await asyncio.to_thread(_peer, file, _DURABLE_N)
        for kind, make, times in (("chain", _chain, 3.0), ("fan", _fan, 10.0)):
            runs = [await _run(make, _DURABLE_N, folder / f"{kind}{n}.db") for n in range(3)]
            took = min(runs)
            figures.append(Figure(f"{kind} of {_DURABLE_N}, each step durable: a step", took, "µs"))
            if isinstance(peer, dict):
                ratio = peer[kind] / took
                figures.append(Figure(f"{kind}: langgraph / agentflow", ratio, "x", Bar(">=", times)))
                figures.append(Figure(f"{kind}: langgraph, a step", peer[kind], "µs"))
                figures.append(Figure(f"{kind}: langgraph's file", peer[f"{kind}_bytes"] / 1e6, "MB"))
            elif peer is not None:
                figures.append(Figure(f"{kind}: langgraph", 0, note=peer))
        sizes = []
        for steps in (_DURABLE_N, 2 * _DURABLE_N):
            path = folder / f"size{steps}.db"
            await _run(_chain, steps, path)
            sizes.append(path.stat().st_size)
        figures.append(Figure(f"the journal of a chain of {_DURABLE_N}", sizes[0] / 1e6, "MB"))
        figures.append(Figure("the journal of twice the chain", sizes[1] / sizes[0], "x", Bar("<=", 2.1)))
    return figures


def _resident() -> float:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4.096


async def _large(setting: Setting) -> Sequence[Figure]:
    steps = 10_000 if setting.quick else 100_000
    figures: list[Figure] = []
    for name, make in (("chain", _chain), ("fan", _fan)):
        plan = make(steps)
        before = _resident()
        async with Runtime() as runtime:
            began = time.perf_counter()
            outputs = (await runtime.run(plan)).output
            took = time.perf_counter() - began
        after = _resident()
        assert len(outputs) == steps
        figures.append(Figure(f"{name} of {steps:,}: a step", took / steps * 1e6, "µs"))
        kept = (after - before) / steps
        figures.append(Figure(f"{name} of {steps:,}: memory kept after it", kept, "kB a step", Bar("<=", 1)))
        del plan, outputs
    return figures


STEPS = Measure("steps", "A step that does nothing, in a chain and in a fan-out.", _steps)
DURABLE = Measure("durable", "The same, each step on the disk before the next begins.", _durable)
LARGE = Measure("large", "A plan of a hundred thousand steps.", _large)
