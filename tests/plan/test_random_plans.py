"""Random plans of every kind of step and failure: each ends, in order, with a state for every step."""

from __future__ import annotations

import asyncio
import random

import pytest

from agentflow import Runtime
from agentflow.errors import PlanFailed
from agentflow.plan import LivePlan, Outputs, Plan, Step
from agentflow.plan.states import FINAL
from agentflow.testing import VirtualClock

_KINDS = ("call", "call", "call", "map", "any", "skip", "instead", "when", "retry")


def _plan(chance: random.Random, began: dict[str, float], ended: dict[str, float]) -> Plan:
    async def work(name: str, seconds: float, fails: bool, *before: object) -> str:
        loop = asyncio.get_running_loop()
        began.setdefault(name, loop.time())
        await asyncio.sleep(seconds)
        if fails:
            raise ValueError(f"{name} is broken")
        ended[name] = loop.time()
        return name

    async def item(value: int) -> int:
        await asyncio.sleep(value)
        if value == 7:
            raise ValueError("seven")
        return value

    plan = Plan(
        resources={"a": 2, "b": 1},
        on_failure=chance.choice(["finish", "cancel"]),
        window=chance.choice([2, 5, 2000]),
    )
    free: list[Step[object]] = []  # steps that others may come after
    for number in range(chance.randint(1, 25)):
        kind = chance.choice(_KINDS)
        before = chance.sample(free, min(len(free), chance.randint(0, 3)))
        outputs = [step.output for step in before]
        name, seconds, fails = f"s{number}", float(chance.randint(0, 5)), chance.random() < 0.15
        step: Step[object]
        if kind == "map":
            step = plan.map(item, [chance.randint(0, 7) for _ in range(chance.randint(0, 5))])  # type: ignore[assignment]
            step.options(name=name, after=before)
        elif kind == "any" and before:
            step = plan.any_of(*before, losers=chance.choice(["cancel", "leave"])).options(name=name)
        else:
            step = plan.step(work, name, seconds, fails, *outputs).options(name=name)
        if chance.random() < 0.4 and kind != "any":
            step.options(resources={chance.choice("ab"): 1})
        if kind == "skip":
            step.options(on_error="skip")
        elif kind == "instead":
            spare = plan.step(work, f"spare{number}", 1.0, chance.random() < 0.3).options(
                name=f"spare{number}"
            )
            step.options(on_error=spare)
        elif kind == "when" and before:
            wanted = chance.random() < 0.5
            step.options(when=lambda outputs, wanted=wanted: wanted)
        elif kind == "retry":
            step.options(retries=1, timeout=chance.choice([2.5, 100.0]))
        free.append(step)
    return plan


@pytest.mark.parametrize("seed", range(150))
def test_a_random_plan_ends(seed: int) -> None:
    chance = random.Random(seed)
    began: dict[str, float] = {}
    ended: dict[str, float] = {}
    plan = _plan(chance, began, ended)

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            await asyncio.sleep(0)
            live = LivePlan.of(run)
            outputs: Outputs | None = None
            failed: PlanFailed | None = None
            try:
                async with asyncio.timeout(10_000):
                    outputs = (await run.result()).output
            except PlanFailed as error:
                failed = error
            if failed is not None:
                assert failed.faults
                assert set(failed.states.values()) <= FINAL
            bars = {bar.name: bar for bar in live.gantt()}
            assert all(bar.state in FINAL for bar in bars.values())
            if outputs is not None:
                assert all(bars[name].state in ("done", "skipped", "failed") for name in outputs)
            for step in plan.steps:
                bar = bars[step.name]
                if bar.start is None or step.kind == "any":
                    continue
                for earlier in step.waits_for():
                    assert bars[earlier.name].state in FINAL
                    end = bars[earlier.name].end
                    assert end is not None
                    assert end <= bar.start
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    with VirtualClock() as clock:
        clock.run(main())
