"""Random plans of every kind of step, failure, change and end: each ends, in order, and goes on after."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from agentflow import Context, Runtime
from agentflow.errors import PlanFailed, RunError, UserError
from agentflow.plan import LivePlan, Outputs, Plan, Step
from agentflow.plan.states import FINAL
from agentflow.testing import VirtualClock

_KINDS = (
    "call", "call", "call", "child", "map", "nested", "any", "any", "skip", "instead", "when", "retry",
    "stubborn",
)  # fmt: skip
_UNITS = {"a": 2, "b": 1}


class Kitchen:
    """Where the steps of a plan do their work; it knows what they did, and what they held."""

    def __init__(self, *, mended: bool = False) -> None:
        self.mended = mended  # what has failed once ends well
        self.began: dict[str, float] = {}
        self.ended: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.held: Counter[str] = Counter()

    async def work(self, name: str, seconds: float, fails: bool, needs: str, *before: object) -> str:
        loop = asyncio.get_running_loop()
        self.began.setdefault(name, loop.time())
        self.held[needs] += 1
        try:
            assert not needs or self.held[needs] <= _UNITS[needs]
            await asyncio.sleep(seconds)
        finally:
            self.held[needs] -= 1
        if fails and not (self.mended and self.failed[name]):
            self.failed[name] += 1
            raise ValueError(f"{name} is broken")
        self.ended[name] += 1
        return name

    async def stubborn(self, name: str, seconds: float, fails: bool, needs: str, *before: object) -> str:
        """Do not listen to who ends it."""
        try:
            return await self.work(name, seconds, False, needs)
        except asyncio.CancelledError:
            if fails:
                raise ValueError(f"{name} is clumsy") from None
            return name

    async def child(
        self, context: Context[object], name: str, seconds: float, fails: bool, needs: str, *before: object
    ) -> str:
        return await self.work(name, seconds, fails, needs)

    async def item(self, value: int) -> int:
        await asyncio.sleep(value)
        if value == 7:
            raise ValueError("seven")
        return value

    def inner(self, chance: random.Random) -> Plan:
        """Return a plan that is a step, or the job of a map."""
        plan = Plan(name="inner", resources={"c": 1}, window=chance.choice([1, 2000]))
        items = plan.map(self.item, [chance.randint(0, 5) for _ in range(3)])
        plan.step(len, items.output).options(resources={"c": 1})
        if chance.random() < 0.2:
            plan.step(self.item, 7)
        return plan


def _plan(chance: random.Random, kitchen: Kitchen) -> Plan:
    plan = Plan(
        resources=_UNITS,
        on_failure=chance.choice(["finish", "cancel"]),
        window=chance.choice([1, 2, 5, 2000]),
        library={"work": kitchen.work},
    )
    free: list[Step[object]] = []  # steps that others may come after
    for number in range(chance.randint(1, 25)):
        kind = chance.choice(_KINDS)
        before = chance.sample(free, min(len(free), chance.randint(0, 3)))
        outputs = [step.output for step in before]
        name, seconds, fails = f"s{number}", float(chance.randint(0, 5)), chance.random() < 0.15
        needs = chance.choice("ab") if chance.random() < 0.4 else ""
        step: Step[object]
        if kind == "map":
            items = [chance.randint(0, 7) for _ in range(chance.randint(0, 5))]
            step = plan.map(kitchen.item, items, max_parallel=chance.choice([None, 1, 2]))  # type: ignore[assignment]
            step.options(name=name, after=before, on_error=chance.choice(["fail", "skip"]))
        elif kind == "nested" and chance.random() < 0.5:
            step = plan.step(kitchen.inner(chance)).options(name=name, after=before)
        elif kind == "nested":
            step = plan.map(kitchen.inner(chance), [1, 2], max_parallel=chance.choice([None, 1]))  # type: ignore[assignment]
            step.options(name=name, after=before)
        elif kind == "any" and before:
            step = plan.any_of(*before, losers=chance.choice(["cancel", "leave"])).options(name=name)
        else:
            job = {"child": kitchen.child, "stubborn": kitchen.stubborn}.get(kind, kitchen.work)
            step = plan.step(job, name, seconds, fails, needs, *outputs).options(name=name)
            step.options(resources={needs: 1} if needs else {})
        _more(plan, step, kind, before, chance, kitchen)
        free.append(step)
    return plan


def _more(
    plan: Plan,
    step: Step[object],
    kind: str,
    before: list[Step[object]],
    chance: random.Random,
    kitchen: Kitchen,
) -> None:
    """Say how a step is run."""
    if kind == "skip":
        step.options(on_error="skip")
    elif kind == "instead":
        name, fails = f"spare_{step.name}", chance.random() < 0.3
        spare = plan.step(kitchen.work, name, 1.0, fails, "").options(name=name)
        spare.options(after=[one for one in before if chance.random() < 0.5])
        if chance.random() < 0.2:
            spare.options(when=lambda _: False)
        elif chance.random() < 0.2:
            spare.options(on_error="skip")
        step.options(on_error=spare)
    elif kind == "when" and before:
        wanted = chance.random() < 0.5
        step.options(when=lambda outputs, wanted=wanted: wanted)
    elif kind == "retry":
        step.options(retries=1, timeout=chance.choice([2.5, 100.0]))


def _in_order(plan: Plan, live: LivePlan) -> None:
    """Check that no step began before what it waits for had ended."""
    bars = {bar.name: bar for bar in live.gantt()}
    for step in plan.steps:
        bar = bars[step.name]
        if bar.start is None or step.kind == "any":
            continue
        for earlier in step.waits_for():
            assert bars[earlier.name].state in FINAL
            end = bars[earlier.name].end
            assert end is not None
            assert end <= bar.start


@pytest.mark.parametrize("seed", range(150))
def test_a_random_plan_ends(seed: int) -> None:
    chance = random.Random(seed)
    kitchen = Kitchen()
    plan = _plan(chance, kitchen)

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
            waited = {one.name for step in plan.steps for one in step.waits_for()}
            spares = {id(step.said.on_error) for step in plan.steps}
            last = [step.name for step in plan.steps if step.name not in waited and id(step) not in spares]
            given = live._executor.outputs
            assert (failed is None) == all(name in given for name in last), "it gives all, or it fails"
            _in_order(plan, live)
            assert live._executor.queue.free == _UNITS, "each unit is given back once"
            assert not any(kitchen.held.values())
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    with VirtualClock() as clock:
        clock.run(main())


async def _change(live: LivePlan, chance: random.Random, changes: int) -> None:
    """Change a plan under way, where that is allowed."""
    for number in range(changes):
        await asyncio.sleep(chance.choice([0, 0.5, 1]))
        steps = live.steps
        one = chance.choice(steps)
        with suppress(UserError):
            match chance.choice(["add", "add", "drop", "replace"]):
                case "add":
                    name = f"added{number}"
                    after = chance.sample(steps, min(len(steps), 2))
                    live.add("work", name, 1.0, False, "", name=name, after=after)
                case "drop":
                    live.drop(one)
                case "replace":
                    other = chance.choice(steps).output
                    live.replace(one, "work", one.name, 1.0, False, "", other)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_plan_is_changed_while_it_runs(seed: int) -> None:
    chance = random.Random(seed)
    kitchen = Kitchen()
    plan = _plan(chance, kitchen)

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            await asyncio.sleep(0)
            live = LivePlan.of(run)
            await _change(live, chance, 12)
            with suppress(PlanFailed):
                async with asyncio.timeout(10_000):
                    await run.result()
            assert all(bar.state in FINAL for bar in live.gantt())
            assert live._executor.queue.free == _UNITS
            with pytest.raises(UserError, match="has ended"):
                live.add("work", "late", 1.0, False, "", name="late")

    with VirtualClock() as clock:
        clock.run(main())


@pytest.mark.parametrize("seed", range(40))
def test_a_random_plan_is_cancelled_at_any_moment(seed: int) -> None:
    chance = random.Random(seed)
    kitchen = Kitchen()
    plan = _plan(chance, kitchen)

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            for _ in range(chance.randint(0, 4)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice([0, 1, 2, 3.5, 6]))
            if run.status == "running":
                await run.cancel("enough")
            begun = dict(kitchen.began)
            await asyncio.sleep(60)
            assert kitchen.began == begun, "nothing begins after the end"
            with suppress(RunError, PlanFailed):
                await run.result()
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    with VirtualClock() as clock:
        clock.run(main())


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_a_random_plan_goes_on_after_a_crash(seed: int, changed: bool, tmp_path: Path) -> None:
    """What ended is not done again, what failed and was passed over neither, and no input differs."""
    kitchen = Kitchen(mended=True)
    known: dict[str, int] = {}
    faults: dict[str, str] = {}

    async def main(seconds: float | None) -> None:
        plan = _plan(random.Random(seed), kitchen)
        async with Runtime(tmp_path / "runs.db") as runtime, runtime.start(plan, key="k") as run:
            if seconds is not None:
                await asyncio.sleep(seconds)
                with suppress(RunError):  # it had ended before, and was read
                    await _change(LivePlan.of(run), chance, 6 * changed)
                if run.status == "running":
                    await run.cancel("a crash")
                with suppress(RunError):  # it had ended before, and was read
                    for bar in LivePlan.of(run).gantt():
                        if bar.state == "done":
                            known.setdefault(bar.name, kitchen.ended[bar.name])
                return
            try:
                await run.result()
            except PlanFailed as error:
                faults.update(error.faults)

    chance = random.Random(seed)
    for seconds in (chance.randint(0, 12) + 0.25, chance.randint(0, 6) + 0.25, None):
        with VirtualClock() as clock:
            clock.run(main(seconds))
    assert not any("another input" in fault for fault in faults.values()), faults
    assert {name: kitchen.ended[name] for name in known} == known
