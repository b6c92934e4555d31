"""Steps that run in the place of others that fail: which may, and what becomes of those that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from agentflow import Runtime, UserError
from agentflow.plan import LivePlan, Plan
from agentflow.testing import VirtualClock


async def wait(minutes: float, name: str = "") -> str:
    await asyncio.sleep(60 * minutes)
    return name


async def broken(minutes: float = 0) -> str:
    await asyncio.sleep(60 * minutes)
    raise ValueError("no")


async def join(*parts: str) -> str:
    return " ".join(map(str, parts))


def _chain(plan: Plan) -> None:
    third = plan.step(wait, 1).options(name="third")
    second = plan.step(wait, 1).options(name="second", on_error=third)
    plan.step(wait, 1).options(name="first", on_error=second)


def _for_two(plan: Plan) -> None:
    spare = plan.step(wait, 1).options(name="spare")
    plan.step(wait, 1).options(name="a", on_error=spare)
    plan.step(wait, 1).options(name="b", on_error=spare)


def _itself(plan: Plan) -> None:
    a = plan.step(wait, 1).options(name="a")
    a.options(on_error=a)


def _join(plan: Plan) -> None:
    first = plan.any_of(plan.step(wait, 1)).options(name="first")
    plan.step(wait, 1).options(name="a", on_error=first)


def _waits_for_a_dependent(plan: Plan) -> None:
    a = plan.step(wait, 1).options(name="a")
    later = plan.step(join, a.output).options(name="later")
    far = plan.step(join, later.output).options(name="far")
    a.options(on_error=plan.step(join, far.output).options(name="spare"))


def _each_waits_for_the_other(plan: Plan) -> None:
    a = plan.step(wait, 1).options(name="a")
    b = plan.step(wait, 1).options(name="b")
    a.options(on_error=plan.step(join, b.output).options(name="spare_a"))
    b.options(on_error=plan.step(join, a.output).options(name="spare_b"))


@pytest.mark.parametrize(
    ("add", "told"),
    [
        (_chain, "`second` has a step that stands in for it, so it can't stand in for `first`"),
        (_for_two, "`spare` stands in for `a`; write a step for each"),
        (_itself, "a -> a|`a` can't stand in for itself"),
        (_join, "`first` can't stand in for `a`: it has steps of its own to wait for"),
        (_waits_for_a_dependent, "later -> far -> spare -> later; .* waits for its stand-in, too"),
        (_each_waits_for_the_other, "spare_a -> spare_b -> spare_a"),
    ],
)
def test_stand_ins_that_can_not_be(add: Callable[[Plan], None], told: str) -> None:
    plan = Plan()
    add(plan)
    with pytest.raises(UserError, match=told):
        plan.check()


def test_a_stand_in_may_say_that_it_comes_after_its_step() -> None:
    plan = Plan()
    soup = plan.step(broken).options(name="soup")
    soup.options(on_error=plan.step(wait, 1, "spare").options(name="spare", after=soup))
    with VirtualClock() as clock:

        async def main() -> object:
            async with Runtime() as runtime:
                return (await runtime.run(plan)).output[soup]

        assert clock.run(main()) == "spare"


def test_a_change_makes_no_stand_in_that_can_not_be() -> None:
    plan = Plan()
    first = plan.step(wait, 5).options(name="first")
    spare = plan.step(wait, 1, "spare").options(name="spare")
    a = plan.step(broken, 1).options(name="a", after=first, on_error=spare)
    later = plan.step(join, a.output).options(name="later")

    async def main() -> None:
        async with Runtime() as runtime, runtime.start(plan) as run:
            await asyncio.sleep(60)
            live = LivePlan.of(run)
            with pytest.raises(UserError, match="cycle: spare -> later -> spare"):
                live.replace("spare", join, later.output)
            live.replace("spare", wait, 2, "bread")  # still in the place of `a`, and only then
            outputs = (await run.result()).output
            assert outputs[a] == outputs[later] == outputs[spare] == "bread"
            assert run.virtual_s == 60 * (5 + 1 + 2)

    with VirtualClock() as clock:
        clock.run(main())
