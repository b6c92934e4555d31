"""Ends that are hard: of the process, of a deep plan, of an open one, of one that is resumed twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import agentflow
from agentflow import Context, Runtime, UserError
from agentflow.errors import PlanFailed, RunError
from agentflow.plan import LivePlan, Plan
from agentflow.testing import VirtualClock


async def wait(minutes: float, name: str = "") -> str:
    await asyncio.sleep(60 * minutes)
    return name


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_ends_the_plan(error: type[BaseException]) -> None:
    ended: list[str] = []

    async def stop() -> None:
        await asyncio.sleep(1)
        raise error

    async def beside() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("beside")

    plan = Plan()
    plan.step(beside)
    plan.step(stop).options(on_error="skip", retries=3)
    with pytest.raises(error):
        agentflow.run(plan, clock="virtual")
    assert ended == ["beside"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_thousand_plans_inside_one_another(durable: bool, tmp_path: Path) -> None:
    plan = Plan()
    plan.step(wait, 1, "deep").options(name="deep")
    for _ in range(220 if durable else 1_000):
        outer = Plan()
        outer.step(plan).options(name="inner")
        plan = outer

    async def main() -> None:
        async with Runtime(tmp_path / "runs.db" if durable else None) as runtime:
            output: object = (await runtime.run(plan, key="k")).output
            if durable:  # and is read
                assert (await runtime.run(plan, key="k")).output == output
            while isinstance(output, dict) and "inner" in output:
                output = output["inner"]
            assert output == {"deep": "deep"}
            async with runtime.start(plan) as run:
                await asyncio.sleep(30)
                await run.cancel()
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    with VirtualClock() as clock:
        clock.run(main())


def test_an_open_plan_ends_by_cancel_by_failure_and_is_closed_twice() -> None:
    async def broken() -> None:
        raise ValueError("no")

    async def main() -> None:
        async with Runtime() as runtime:
            async with runtime.start(Plan(open=True)) as run:
                await asyncio.sleep(60)
                await run.cancel()
            failing = Plan(open=True, on_failure="cancel")
            failing.step(broken)
            failing.step(wait, 60)
            with pytest.raises(PlanFailed, match="broken"):
                await runtime.run(failing)
            async with runtime.start(Plan(open=True)) as run:
                await asyncio.sleep(0)
                live = LivePlan.of(run)
                live.add(wait, 1, "x")
                live.close()
                live.close()
                assert (await run.result()).virtual_s == 60
                live.close()
                with pytest.raises(UserError, match="has ended"):
                    live.add(wait, 1, "late")

    with VirtualClock() as clock:
        clock.run(main())


def test_plans_inside_maps_inside_plans_in_a_window_of_one() -> None:
    inner = Plan(window=1)
    inner.map(wait, [1, 2, 3])
    middle = Plan(window=1)
    middle.map(inner, [None, None], max_parallel=1)
    outer = Plan(window=1)
    outer.map(middle, [None, None])

    async def main() -> float | None:
        async with Runtime() as runtime:
            return (await runtime.run(outer)).virtual_s

    with VirtualClock() as clock:
        assert clock.run(main()) == 60 * 6 * 4


def test_steps_that_wait_for_a_resource_are_dropped_replaced_and_paused() -> None:
    plan = Plan(resources={"stove": 1})
    for name in ("soup", "tea", "rice", "eggs"):
        plan.step(wait, 10, name).options(name=name, resources={"stove": 1})

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            await asyncio.sleep(60)
            live = LivePlan.of(run)
            assert live.state("tea").state == "ready"
            live.drop("tea")
            live.replace("rice", wait, 1, "less rice")
            pausing = asyncio.create_task(run.pause())
            await asyncio.sleep(1200)
            await pausing
            states = [bar.state for bar in live.gantt()]
            assert states.count("done") == 1
            assert "running" not in states
            run.resume()
            result = await run.result()
            assert result.output["rice"] == "less rice"
            assert "tea" not in result.output
            assert live._executor.queue.free == {"stove": 1}

    with VirtualClock() as clock:
        clock.run(main())


async def test_what_a_journal_can_not_hold_is_told(tmp_path: Path) -> None:
    async def odd() -> object:
        return object()

    async def child(context: Context[object]) -> object:
        return object()

    async def circle() -> list[object]:
        made: list[object] = []
        made.append(made)
        return made

    for step, told in ((odd, "can't be put into the journal"), (child, "can't be put"), (circle, "circle")):
        plan = Plan()
        plan.step(step).options(retries=2)
        async with Runtime(tmp_path / "runs.db") as runtime:
            with pytest.raises(PlanFailed, match=told):
                await runtime.run(plan)


async def test_one_process_goes_on_with_a_plan(tmp_path: Path) -> None:
    plan = Plan()
    plan.step(wait, 0, "x")
    async with Runtime(tmp_path / "runs.db") as runtime:
        await runtime.run(plan, key="k")
        with pytest.raises(RunError, match=r"runs\.db"):
            async with Runtime(tmp_path / "runs.db") as other:
                await other.run(plan, key="k")


def test_a_map_called_change_is_no_change(tmp_path: Path) -> None:
    def make() -> Plan:
        plan = Plan()
        plan.map(wait, [0, 0, 0]).options(name="change")
        return plan

    async def main() -> None:
        for _ in range(2):
            async with Runtime(tmp_path / "runs.db") as runtime, runtime.start(make(), key="k") as run:
                assert (await run.result()).output["change"] == ["", "", ""]

    with VirtualClock() as clock:
        clock.run(main())
