"""A plan is changed while it runs, and the same plan goes on after a crash."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from agentflow import Context, Runtime, UserError
from agentflow.errors import PlanFailed, RunError
from agentflow.plan import LivePlan, Plan
from agentflow.testing import VirtualClock
from agentflow_protocols.trace import Event, PlanChanged


async def wait(minutes: float, name: str = "") -> str:
    await asyncio.sleep(60 * minutes)
    return name


async def join(*parts: str) -> str:
    return " ".join(parts)


def test_steps_are_added_dropped_and_replaced() -> None:
    plan = Plan()
    soup = plan.step(wait, 10, "soup").options(name="soup")
    bread = plan.step(wait, 5, "bread").options(name="bread", after=soup)
    plan.step(wait, 5, "salad").options(name="salad", after=soup)
    serve = plan.step(join, soup.output, bread.output).options(name="serve")
    events: list[Event] = []

    async def main() -> float:
        async with Runtime(sinks=[events.append]) as runtime, runtime.start(plan) as run:
            await asyncio.sleep(300)
            live = LivePlan.of(run)
            live.replace("bread", wait, 1, "toast")
            live.drop("salad")
            tea = live.add(wait, 30, "tea", name="tea", after=[serve])
            last = live.add(join, tea.output, serve.output, name="last")
            assert live.state("soup").state == "running"
            result = await run.result()
            assert result.output[last] == "tea soup toast"
            assert "salad" not in result.output
            assert [bar.state for bar in live.gantt()] == ["done", "done", "dropped", "done", "done", "done"]
            return result.virtual_s or 0.0

    with VirtualClock() as clock:
        assert clock.run(main()) == 41 * 60
    changes = [(event.change, event.step) for event in events if isinstance(event, PlanChanged)]
    assert changes == [("replace", "bread"), ("drop", "salad"), ("add", "tea"), ("add", "last")]


def test_a_step_changes_its_own_plan() -> None:
    async def look(context: Context[object]) -> int:
        live = LivePlan.of(context)
        for minutes in (1, 2, 3):
            live.add(wait, minutes, name=f"extra_{minutes}")
        return 3

    plan = Plan()
    plan.step(look)

    async def main() -> set[str]:
        async with Runtime() as runtime:
            return set((await runtime.run(plan)).output)

    with VirtualClock() as clock:
        assert clock.run(main()) == {"look", "extra_1", "extra_2", "extra_3"}


def test_changes_that_can_not_be() -> None:
    plan = Plan(resources={"stove": 1}, library={"wait": wait})
    first = plan.step(wait, 10, "a").options(name="first")
    plan.step(join, first.output).options(name="second")
    plan.step(join).options(name="third", after=plan.steps[1])

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            await asyncio.sleep(60)
            live = LivePlan.of(run)
            for change, told in (
                (lambda: live.drop("frist"), "did you mean `first`"),
                (lambda: live.drop("first"), "under way|running"),
                (
                    lambda: live.replace("second", join, plan.find("third").output),
                    "cycle: second -> third -> second",
                ),
                (lambda: live.add(wait, 1, name="third"), "there is a step 'third' already"),
                (lambda: live.add("wiat", 1), "did you mean `wait`"),
                (lambda: live.add(5), "can't be run"),
                (lambda: live.add(wait, 1, resources={"stove": 2}), "could never start"),
                (lambda: live.add(join, Plan().step(wait, 1).output), "no step 'wait'"),
            ):
                with pytest.raises(UserError, match=told):
                    change()
            live.drop("third")
            assert set((await run.result()).output) == {"first", "second"}

    with VirtualClock() as clock:
        clock.run(main())


def test_what_takes_an_output_keeps_its_step() -> None:
    plan = Plan()
    first = plan.step(wait, 10, "a").options(name="first")
    second = plan.step(join, first.output).options(name="second")
    plan.step(join, second.output).options(name="third")

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            await asyncio.sleep(60)
            with pytest.raises(UserError, match="third takes the output of second"):
                LivePlan.of(run).drop("second")

    with VirtualClock() as clock:
        clock.run(main())


async def test_a_run_without_a_plan() -> None:
    async def job(context: Context[object], input: None) -> None:
        await asyncio.sleep(30)

    async with Runtime() as runtime, runtime.start(job) as run:
        with pytest.raises(RunError, match="runs no plan"):
            LivePlan.of(run)


def test_an_open_plan_ends_when_it_is_closed() -> None:
    plan = Plan(open=True)

    async def main() -> float:
        async with Runtime() as runtime, runtime.start(plan) as run:
            live = LivePlan.of(run)
            await asyncio.sleep(60)
            first = live.add(wait, 5, "x")
            await asyncio.sleep(60)
            live.add(join, first.output)
            live.close()
            return (await run.result()).virtual_s or 0.0

    with VirtualClock() as clock:
        assert clock.run(main()) == 360


async def test_changes_survive_a_crash(tmp_path: Path) -> None:
    ran: list[str] = []
    crash = True

    async def work(name: str) -> str:
        ran.append(name)
        await asyncio.sleep(0.01)
        return name

    async def boss(context: Context[object]) -> str:
        ran.append("boss")
        live = LivePlan.of(context)
        extra = live.add("work", "extra", name="extra")
        live.add("join", extra.output, name="joined")
        live.drop("unwanted")
        live.replace("old", "work", "new")
        return "done"

    async def last() -> str:
        if crash:
            raise OSError("a crash")
        return "end"

    def make() -> Plan:
        plan = Plan(library={"work": work, "join": join})
        first = plan.step(boss)
        plan.step(work, "unwanted").options(name="unwanted", after=first)
        old = plan.step(work, "old").options(name="old", after=first)
        plan.step(last).options(after=old)
        return plan

    with pytest.raises(PlanFailed):
        async with Runtime(tmp_path / "runs.db") as runtime:
            await runtime.run(make(), key="k")
    crash = False
    async with Runtime(tmp_path / "runs.db") as runtime:
        outputs = (await runtime.run(make(), key="k")).output
    assert outputs["joined"] == "extra"
    assert outputs["old"] == "new"
    assert "unwanted" not in outputs
    assert sorted(ran) == ["boss", "extra", "new"]


async def test_what_ended_before_a_crash_can_not_be_changed(tmp_path: Path) -> None:
    """It is read when its turn comes; until then it looks as if it had not begun."""
    crash = True

    async def gate() -> str:
        if crash:
            raise OSError("a crash")
        return "open"

    async def boss(context: Context[object]) -> str:
        if not crash:
            live = LivePlan.of(context)
            assert live.state("late").state == "ready"  # it waits for its turn
            with pytest.raises(UserError, match="step late is begun, before a crash"):
                live.drop("late")
        return "done"

    def make() -> Plan:
        plan = Plan(window=1)
        first = plan.step(boss).options(estimate=0 if crash else 9)
        plan.step(join, "late").options(name="late", estimate=1)
        plan.step(gate).options(after=first, estimate=0)
        return plan

    with pytest.raises(PlanFailed, match="a crash"):
        async with Runtime(tmp_path / "runs.db") as runtime:
            await runtime.run(make(), key="k")
    crash = False
    async with Runtime(tmp_path / "runs.db") as runtime, runtime.start(make(), key="k") as run:
        assert (await run.result()).output["late"] == "late"


async def test_a_journal_needs_names(tmp_path: Path) -> None:
    plan = Plan(open=True)
    async with Runtime(tmp_path / "runs.db") as runtime, runtime.start(plan) as run:
        with pytest.raises(UserError, match="library"):
            LivePlan.of(run).add(wait, 1)


def test_many_changes_under_load_lose_no_step_and_no_order() -> None:
    chance = random.Random(3)
    ended: list[str] = []

    async def work(name: str, seconds: float, *before: str) -> str:
        await asyncio.sleep(seconds)
        assert all(one in ended for one in before)
        ended.append(name)
        return name

    plan = Plan(resources={"hand": 5}, open=True)

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            live = LivePlan.of(run)
            names: list[str] = []
            dropped: set[str] = set()
            for number in range(400):
                earlier = chance.sample(names, min(len(names), chance.randint(0, 3)))
                outputs = [step.output for step in live.steps if step.name in earlier]
                name = f"s{number}"
                live.add(work, name, chance.random() * 9, *outputs, name=name, resources={"hand": 1})
                names.append(name)
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.random())
                if chance.random() < 0.2:
                    victim = chance.choice(names)
                    try:
                        live.drop(victim)
                    except UserError:
                        continue
                    dropped.add(victim)
                    names.remove(victim)
            live.close()
            outputs_by_name = (await run.result()).output
            assert set(outputs_by_name) == set(names) == set(ended)
            assert dropped

    with VirtualClock() as clock:
        clock.run(main())
