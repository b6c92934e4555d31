"""`any_of`: who is the first, and what becomes of the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentflow import Runtime
from agentflow.errors import PlanFailed
from agentflow.plan import LivePlan, Outputs, Plan, Step
from agentflow.testing import VirtualClock


async def wait(minutes: float, name: str = "") -> str:
    await asyncio.sleep(60 * minutes)
    return name


async def broken(minutes: float = 0) -> str:
    await asyncio.sleep(60 * minutes)
    raise ValueError("no")


async def join(*parts: str) -> str:
    return " ".join(map(str, parts))


def run(plan: Plan, seconds: float | None = None) -> tuple[Outputs, dict[str, str]]:
    """Return what a plan gives, and how each of its steps ended; it takes `seconds`."""

    async def main() -> tuple[Outputs, dict[str, str]]:
        async with Runtime() as runtime, runtime.start(plan) as under_way:
            await asyncio.sleep(0)
            live = LivePlan.of(under_way)
            result = await under_way.result()
            assert seconds is None or result.virtual_s == seconds
            return result.output, {bar.name: bar.state for bar in live.gantt()}

    with VirtualClock() as clock:
        return clock.run(main())


def test_a_step_that_was_skipped_is_not_the_first() -> None:
    plan = Plan()
    passed = plan.step(wait, 1, "passed").options(when=lambda _: False)
    excused = plan.step(broken).options(on_error="skip")
    first = plan.any_of(passed, excused, plan.step(wait, 5, "fine"))
    assert run(plan, seconds=300)[0][first] == "fine"


def test_a_join_of_skipped_steps_is_skipped_and_gives_none() -> None:
    plan = Plan()
    passed = plan.step(wait, 1, "passed").options(when=lambda _: False)
    excused = plan.step(broken).options(on_error="skip")
    first = plan.any_of(passed, excused).options(name="first")
    last = plan.step(join, first.output)
    outputs, states = run(plan)
    assert outputs[first] is None
    assert states["first"] == "skipped"
    assert outputs[last] == "None"


def test_a_join_fails_where_one_failed_and_the_rest_was_skipped() -> None:
    plan = Plan()
    passed = plan.step(wait, 1, "passed").options(when=lambda _: False)
    plan.any_of(passed, plan.step(broken, 1)).options(name="first")
    with pytest.raises(PlanFailed) as caught:
        run(plan)
    assert caught.value.faults["first"] == "none of the steps that it takes the first of ended well"
    assert caught.value.states["first"] == "failed"


def test_a_failure_that_only_a_join_waits_for_is_the_joins() -> None:
    """Directly, or through other steps; the plan fails when the join does, and when more waits for it."""
    for on_failure in ("finish", "cancel"):
        plan = Plan(on_failure="cancel" if on_failure == "cancel" else "finish")
        far = plan.step(broken, 1).options(name="far")
        near = plan.step(join, far.output).options(name="near")
        first = plan.any_of(near, plan.step(broken, 2), plan.step(wait, 5, "fine")).options(name="first")
        last = plan.step(join, first.output)
        outputs, states = run(plan, seconds=300)
        assert outputs[last] == "fine"
        assert (states["far"], states["near"], states["broken_2"]) == ("failed", "cancelled", "failed")
        assert "near" not in outputs
        plan.step(join, near.output).options(name="more")  # and now it is missed
        with pytest.raises(PlanFailed, match="step far failed"):
            run(plan)


def test_a_join_that_fails_may_be_skipped_or_stood_in_for() -> None:
    plan = Plan()
    first = plan.any_of(plan.step(broken), plan.step(broken, 1)).options(on_error="skip")
    assert run(plan)[0][first] is None
    first.options(on_error=plan.step(wait, 1, "bread"))
    last = plan.step(join, first.output)
    assert run(plan, seconds=120)[0][last] == "bread"


def test_a_join_of_joins_has_the_first_of_all() -> None:
    plan = Plan()
    inner = plan.any_of(plan.step(broken), plan.step(broken, 1))
    outer = plan.any_of(inner, plan.step(wait, 3, "fine"))
    assert run(plan, seconds=180)[0][outer] == "fine"
    plan.any_of(inner).options(name="all")
    with pytest.raises(PlanFailed) as caught:
        run(plan)
    assert list(caught.value.faults) == ["broken", "broken_2", inner.name, "all"]
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_stand_in_can_make_its_step_the_first_and_ends_with_it() -> None:
    plan = Plan()
    spare = plan.step(wait, 2, "spare").options(name="spare")
    first = plan.any_of(plan.step(broken, 1).options(on_error=spare), plan.step(wait, 9, "slow"))
    assert run(plan, seconds=180)[0][first] == "spare"
    spare.args = (20, "spare")
    outputs, states = run(plan, seconds=540)
    assert outputs[first] == "slow"
    assert states["spare"] == "cancelled"
    # A stand-in that is skipped gives its step nothing, and so no first.
    spare.options(when=lambda _: False)
    assert run(plan)[0][first] == "slow"


def test_a_map_that_loses_ends_with_all_its_items() -> None:
    plan = Plan()
    slow = plan.map(wait, [9, 9, 9, 9], max_parallel=1).options(name="slow")
    first = plan.any_of(slow, plan.step(wait, 1, "quick"))
    outputs, states = run(plan, seconds=60)
    assert outputs[first] == "quick"
    assert states["slow"] == "cancelled"
    assert {state for name, state in states.items() if name.startswith("slow/")} == {"cancelled"}


def test_a_loser_that_fails_on_its_way_out_fails_nothing() -> None:
    async def clumsy() -> str:
        try:
            await asyncio.sleep(600)
        finally:
            raise ValueError("dropped the pot")

    async def stubborn() -> str:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            return "done anyway"
        return "done"

    plan = Plan()
    first = plan.any_of(
        plan.step(wait, 1, "quick"),
        plan.step(clumsy).options(name="clumsy"),
        plan.step(stubborn).options(name="stubborn"),
    )
    last = plan.step(wait, 5, "last").options(after=first)
    outputs, states = run(plan, seconds=360)
    assert outputs[first] == "quick"
    assert outputs[last] == "last"
    assert (states["clumsy"], states["stubborn"]) == ("cancelled", "done")


def test_a_thousand_joins_one_after_the_other() -> None:
    for skipped in (False, True):
        plan = Plan()
        step: Step[str] = plan.step(wait, 0, "x").options(when=lambda _, here=skipped: not here)
        for _ in range(1_000):
            step = plan.any_of(step)
        assert run(plan)[0][step] == (None if skipped else "x")


async def test_who_was_the_first_is_the_first_after_a_crash(tmp_path: Path) -> None:
    """`b` came first, and what followed saw it: that `a` is more urgent does not matter later."""
    crash = True
    came = asyncio.Event()

    async def quick() -> str:
        return "b"

    async def slow() -> str:
        await came.wait()
        return "a"

    async def seen(what: str) -> str:
        came.set()
        return f"saw {what}"

    async def last(what: str, also: str) -> str:
        if crash:
            raise OSError("a crash")
        return f"{what}, not {also}"

    def make() -> Plan:
        plan = Plan()
        a = plan.step(slow).options(name="a", estimate=100)
        b = plan.step(quick).options(name="b", estimate=1)
        look = plan.step(seen, plan.any_of(a, b, losers="leave").output).options(name="look")
        plan.step(last, look.output, a.output).options(name="last")
        return plan

    with pytest.raises(PlanFailed, match="a crash"):
        async with Runtime(tmp_path / "runs.db") as runtime:
            await runtime.run(make(), key="k")
    crash = False
    async with Runtime(tmp_path / "runs.db") as runtime:
        outputs = (await runtime.run(make(), key="k")).output
    assert outputs["last"] == "saw b, not a"


async def test_what_went_on_without_a_step_goes_on_without_it_after_a_crash(tmp_path: Path) -> None:
    """A failure that later steps have seen stays one: they are not run again with something else."""
    crash = True
    ran: list[str] = []

    async def shaky(name: str, *_: object) -> str:
        ran.append(name)
        if crash:
            raise ValueError(f"{name} is shaky")
        return name

    async def last(*before: object) -> list[object]:
        if crash:
            raise OSError("a crash")
        return list(before)

    async def seen(what: object) -> object:
        return what

    def make() -> Plan:
        plan = Plan()
        a = plan.step(shaky, "a").options(name="a", on_error="skip")
        spare = plan.step(seen, "spare").options(name="spare")
        b = plan.step(shaky, "b").options(name="b", on_error=spare)
        c = plan.map(shaky, ["c", "d"]).options(name="c", on_error="skip")
        looks = [plan.step(seen, one.output).options(name=f"saw_{one.name}") for one in (a, b, c)]
        plan.step(last, *(look.output for look in looks)).options(name="last")
        return plan

    with pytest.raises(PlanFailed, match="a crash"):
        async with Runtime(tmp_path / "runs.db") as runtime:
            await runtime.run(make(), key="k")
    crash = False
    async with Runtime(tmp_path / "runs.db") as runtime:
        outputs = (await runtime.run(make(), key="k")).output
    assert outputs["last"] == [None, "spare", [None, None]]
    assert sorted(ran) == ["a", "b", "c", "d"]
