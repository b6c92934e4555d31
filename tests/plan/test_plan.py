"""Plans: an order drawn by values, typed results, conditions, failures, resources."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agentflow import Agent, Context, Runtime, UserError, tool
from agentflow.endpoints import Retry
from agentflow.errors import PlanFailed
from agentflow.plan import Outputs, Plan, Step
from agentflow.testing import FakeEndpoint, VirtualClock
from agentflow_protocols.trace import (
    Event,
    StepFailed,
    StepFinished,
    StepProgress,
    StepReady,
    StepSkipped,
    StepStarted,
)

Sinks = Sequence[Callable[[Event], object]]


async def wait(minutes: float, name: str = "") -> str:
    """Take some minutes."""
    await asyncio.sleep(60 * minutes)
    return name


async def double(number: int) -> int:
    return 2 * number


def run(plan: Plan, input: object = None, sinks: Sinks = ()) -> tuple[Outputs, float]:
    """Run a plan on the virtual clock; return its outputs and its seconds."""

    async def main() -> tuple[Outputs, float]:
        async with Runtime(sinks=sinks) as runtime:
            result = await runtime.run(plan, input)
            return result.output, result.virtual_s or 0.0

    with VirtualClock() as clock:
        return clock.run(main())


def test_values_draw_the_order() -> None:
    async def shop(meal: str) -> list[str]:
        await asyncio.sleep(60)
        return [meal, "salt"]

    async def cook(things: list[str], *, pots: int) -> str:
        await asyncio.sleep(60 * pots)
        return " and ".join(things)

    plan = Plan()
    things = plan.step(shop, "leek")
    soup = plan.step(cook, things.output, pots=2)
    both = plan.step(cook, [soup.output, "bread"], pots=1)
    outputs, seconds = run(plan)
    dish: str = outputs[both]
    assert dish == "leek and salt and bread"
    assert outputs[things] == ["leek", "salt"]
    assert seconds == 240
    assert [step.name for step in plan.steps] == ["shop", "cook", "cook_2"]


def test_what_can_run_together_does() -> None:
    plan = Plan()
    steps = [plan.step(wait, minutes) for minutes in (5, 20, 10)]
    plan.step(wait, 1).options(after=steps)
    assert run(plan)[1] == 21 * 60


def test_an_output_is_only_passed_on() -> None:
    plan = Plan()
    step = plan.step(double, 1)
    uses: list[Callable[[Any], object]] = [
        str,
        bool,
        len,
        iter,
        lambda x: x + 1,
        lambda x: x.y,
        lambda x: f"{x}",
    ]
    for use in uses:
        with pytest.raises(UserError, match="not there yet"):
            use(step.output)
    assert "double" in repr(step.output)


def test_map_fans_out_and_keeps_the_order() -> None:
    async def list_items(name: str) -> list[int]:
        return [3, 1, 2]

    async def chop(minutes: int) -> int:
        await asyncio.sleep(60 * minutes)
        return 10 * minutes

    plan = Plan()
    items = plan.step(list_items, "soup")
    cut = plan.map(chop, items.output)
    total = plan.step(lambda values: sum(values), cut.output)
    outputs, seconds = run(plan)
    assert outputs[cut] == [30, 10, 20]
    assert outputs[total] == 60
    assert seconds == 180
    plan = Plan()
    plan.map(chop, [3, 1, 2], max_parallel=1)
    assert run(plan)[1] == 360
    plan = Plan(resources={"knife": 2})
    plan.map(chop, [3, 1, 2]).options(resources={"knife": 1})
    assert run(plan)[1] == 180
    plan = Plan()
    empty = plan.map(chop, [])
    assert run(plan)[0][empty] == []


def test_a_map_over_no_list() -> None:
    plan = Plan()
    text = plan.step(wait, 0, "text")
    plan.map(double, text.output)  # type: ignore[arg-type]
    with pytest.raises(PlanFailed, match="maps over a list, not str"):
        run(plan)


def test_the_first_of_several() -> None:
    plan = Plan()
    slow, fast = plan.step(wait, 60, "slow"), plan.step(wait, 5, "fast")
    first = plan.any_of(slow, fast)
    after = plan.step(wait, 1, "end").options(after=first)
    outputs, seconds = run(plan)
    assert outputs[first] == "fast"
    assert outputs[after] == "end"
    assert seconds == 360
    assert "wait" not in outputs


def test_losers_may_be_left_to_themselves() -> None:
    plan = Plan()
    slow, fast = plan.step(wait, 60, "slow"), plan.step(wait, 5, "fast")
    plan.any_of(slow, fast, losers="leave")
    outputs, seconds = run(plan)
    assert outputs[slow] == "slow"
    assert seconds == 3600


def test_when_none_of_several_ends_well() -> None:
    async def broken() -> str:
        raise ValueError("no")

    plan = Plan()
    first = plan.any_of(plan.step(broken), plan.step(broken))
    with pytest.raises(PlanFailed, match=r"step broken failed \(and 2 more\)") as caught:
        run(plan)
    assert caught.value.states[first.name] == "failed"


def test_a_condition_skips_and_what_follows_goes_on() -> None:
    plan = Plan()
    ok = plan.step(lambda: False)
    cook = plan.step(wait, 10, "soup").options(when=ok.output)
    serve = plan.step(lambda dish: dish or "nothing", cook.output)
    rest = plan.step(wait, 1, "x").options(after=ok, when=lambda outputs: outputs[ok])
    events: list[Event] = []
    outputs, seconds = run(plan, sinks=[events.append])
    assert outputs[cook] is None
    assert outputs[serve] == "nothing"
    assert outputs[rest] is None
    assert seconds == 0
    assert [event.key for event in events if isinstance(event, StepSkipped)] == ["wait", "wait_2"]


def test_a_failure_ends_what_depends_on_it_and_nothing_else() -> None:
    ran: list[str] = []

    async def note(name: str, minutes: float = 1) -> str:
        await asyncio.sleep(60 * minutes)
        ran.append(name)
        return name

    async def broken() -> str:
        await asyncio.sleep(30)
        raise ValueError("the pot is gone")

    plan = Plan()
    bad = plan.step(broken)
    plan.step(note, bad.output)
    plan.step(note, "far").options(after=plan.steps[1], name="far")
    fine = plan.step(note, "fine", 5).options(name="fine")
    events: list[Event] = []
    with pytest.raises(
        PlanFailed, match=r"step broken failed: ValueError: the pot is gone; 2 steps were not run"
    ) as caught:
        run(plan, sinks=[events.append])
    assert ran == ["fine"]
    states = caught.value.states
    assert states == {"broken": "failed", "note": "cancelled", "far": "cancelled", "fine": "done"}
    assert [event.key for event in events if isinstance(event, StepFailed)] == ["broken"]
    assert isinstance(caught.value.__cause__, ValueError)
    plan.on_failure = "cancel"
    ran.clear()
    with pytest.raises(PlanFailed) as caught:
        run(plan)
    assert ran == []
    assert caught.value.states[fine.name] == "cancelled"


def test_an_error_may_be_skipped_or_stood_in_for() -> None:
    async def broken() -> str:
        raise ValueError("no")

    plan = Plan()
    soup = plan.step(broken).options(on_error="skip")
    serve = plan.step(lambda dish: dish or "bread", soup.output)
    assert run(plan)[0][serve] == "bread"
    plan = Plan()
    spare = plan.step(wait, 2, "spare soup")
    soup = plan.step(broken).options(on_error=spare)
    serve = plan.step(lambda dish: dish, soup.output)
    outputs, seconds = run(plan)
    assert outputs[serve] == "spare soup"
    assert outputs[soup] == "spare soup"
    assert seconds == 120
    plan = Plan()
    spare = plan.step(wait, 2, "spare soup")
    soup = plan.step(wait, 1, "soup").options(on_error=spare)
    outputs, seconds = run(plan)
    assert outputs[soup] == "soup"
    assert seconds == 60
    assert "spare" not in outputs


def test_retries_and_time_outs() -> None:
    tries = 0

    async def sometimes() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("busy")
        return "at last"

    plan = Plan()
    step = plan.step(sometimes).options(retries=2)
    assert run(plan)[0][step] == "at last"
    tries = -5
    plan = Plan()
    import tenacity

    step = plan.step(sometimes).options(
        retries=Retry(stop=tenacity.stop_after_attempt(9), wait=tenacity.wait_fixed(60))
    )
    assert run(plan)[1] == 7 * 60
    plan = Plan()
    plan.step(wait, 10).options(timeout="2m", retries=1)
    with pytest.raises(PlanFailed, match="not done within 120 s"):
        run(plan)


def test_the_most_urgent_of_the_ready_goes_first() -> None:
    plan = Plan(resources={"stove": 1})
    short = plan.step(wait, 5).options(resources={"stove": 1}, estimate="5m", name="short")
    long = plan.step(wait, 5).options(resources={"stove": 1}, estimate="5m", name="long")
    plan.step(wait, 30).options(after=long, estimate="30m", name="rest")
    events: list[Event] = []
    _, seconds = run(plan, sinks=[events.append])
    started = [event.key for event in events if isinstance(event, StepStarted)]
    assert started[0] == "long"
    assert seconds == 35 * 60
    assert [event.key for event in events if isinstance(event, StepReady)] == ["short"]
    assert plan.makespan() == 35 * 60
    assert [step.name for step in plan.critical_path()] == ["long", "rest"]
    assert plan.slack()["short"] == 30 * 60
    assert short.name == "short"


def test_no_resource_is_held_by_who_waits_for_another() -> None:
    plan = Plan(resources={"stove": 1, "cook": 2})
    plan.step(wait, 10).options(resources={"stove": 1, "cook": 1}, name="a")
    plan.step(wait, 10).options(resources={"stove": 1, "cook": 1}, name="b")
    plan.step(wait, 10).options(resources={"cook": 1}, name="c")
    assert run(plan)[1] == 20 * 60


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda p: p.step(double, 1).options(resources={"stov": 1}),
            r"'stov', which is no resource \(did you mean `stove`",
        ),
        (
            lambda p: p.step(double, 1).options(resources={"stove": 3}),
            "there are 2: it could never start",
        ),
        (lambda p: p.step(double, 1).options(resources={"stove": -1}), "0 or more"),
        (lambda p: p.step(double, 1).options(estimate=-5), "estimate must be 0 or more"),
        (lambda p: p.step(double, 1).options(estimate="soon"), "estimate"),
        (lambda p: p.step(double, 1).options(timeout=0), "timeout must be above 0"),
        (lambda p: p.step(double, 1).options(name="a b"), "can't be named"),
        (lambda p: [p.step(double, 1).options(name="x") for _ in range(2)], "two steps are called 'x'"),
        (lambda p: p.step(double, Plan().step(double, 1).output), "a step of another plan"),
        (lambda p: p.step(5), "int can't be run"),
        (lambda p: p.find("dobule"), "no step 'dobule'"),
        (lambda p: Plan(window=0), "window"),
    ],
)
def test_what_can_not_be_a_plan(make: Callable[[Plan], object], told: str) -> None:
    plan = Plan(resources={"stove": 2})

    def both() -> None:
        make(plan)
        run(plan)

    with pytest.raises(UserError, match=told):
        both()


def test_a_cycle_is_named() -> None:
    plan = Plan()
    a, b, c = (plan.step(double, 1).options(name=name) for name in "abc")
    b.options(after=a)
    c.options(after=b)
    a.options(after=c)
    plan.step(double, 1).options(name="d", after=a)
    with pytest.raises(UserError, match=r"cycle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)"):
        run(plan)


def test_a_step_that_gives_the_wrong_type() -> None:
    async def wrong() -> int:
        return "five"  # type: ignore[return-value]

    async def nested() -> list[int]:
        return [1, "two"]  # type: ignore[list-item]

    for function in (wrong, nested):
        plan = Plan()
        plan.step(function)
        with pytest.raises(PlanFailed, match=r"gave .*, where it says that it returns"):
            run(plan)


def test_functions_agents_tools_and_plans_are_steps(tmp_path: Path) -> None:
    @tool
    async def weigh(grams: int, unit: str = "g") -> str:
        """Weigh."""
        return f"{grams} {unit}"

    async def inside(context: Context[object], name: str) -> str:
        return f"{name} in {context.run_id.rpartition('/')[2]}"

    inner = Plan(name="inner")
    inner.step(lambda text: text.upper(), inner.input(str))
    agent = Agent(FakeEndpoint(["An answer."]), name="cook")
    plan = Plan()
    weighed = plan.step(weigh, 5)
    answered = plan.step(agent, "Cook.")
    nested = plan.step(inner, weighed.output)
    here = plan.step(inside, "x")
    blocking = plan.step(time.sleep, 0.01)
    outputs, _ = run(plan)
    assert outputs[weighed] == "5 g"
    assert outputs[answered] == "An answer."
    assert outputs[nested]["lambda"] == "5 G"
    assert outputs[here] == "x in inside"
    assert outputs[blocking] is None


def test_deep_and_wide() -> None:
    plan = Plan()
    step: Step[int] = plan.step(double, 0)
    for _ in range(5_000):
        step = plan.step(double, step.output)
    assert run(plan)[0][step] == 0
    plan = Plan(window=100)
    steps = [plan.step(wait, 1, "x") for _ in range(1_000)]
    assert len(run(plan)[0]) == len(steps)
    inner = Plan(name="p")
    inner.step(double, 2)
    for _ in range(40):
        outer = Plan(name="p")
        outer.step(inner)
        inner = outer
    run(inner)


async def test_a_cancelled_plan_leaves_nothing() -> None:
    plan = Plan()
    for _ in range(20):
        plan.step(asyncio.sleep, 60)
    async with Runtime() as runtime:
        before = asyncio.all_tasks()
        async with runtime.start(plan) as started:
            async for event in started:
                if isinstance(event, StepStarted):
                    break
        assert asyncio.all_tasks() == before


async def test_finished_steps_are_not_run_again(tmp_path: Path) -> None:
    ran: list[int] = []

    async def work(number: int) -> int:
        ran.append(number)
        if number == 3 and ran.count(3) == 1:
            raise OSError("the gas is out")
        return number

    def make() -> Plan:
        plan = Plan()
        step = plan.step(work, 0)
        for number in range(1, 6):
            step = plan.step(work, number).options(after=step)
        plan.map(work, [10, 11])
        return plan

    plan = make()
    key = "kitchen"
    with pytest.raises(PlanFailed):
        async with Runtime(tmp_path / "runs.db") as runtime:
            await runtime.run(plan, key=key)
    async with Runtime(tmp_path / "runs.db") as runtime:
        outputs = (await runtime.run(make(), key=key)).output
        assert outputs["work_6"] == 5
    assert sorted(ran) == [0, 1, 2, 3, 3, 4, 5, 10, 11]


def test_events_have_their_times() -> None:
    plan = Plan()
    first = plan.step(wait, 5)
    plan.step(wait, 10).options(after=first)
    events: list[Event] = []
    run(plan, sinks=[events.append])
    told = [
        (type(event).__name__, event.key, event.time)
        for event in events
        if isinstance(event, StepStarted | StepFinished)
    ]
    assert told == [
        ("StepStarted", "wait", 0.0),
        ("StepFinished", "wait", 300.0),
        ("StepStarted", "wait_2", 300.0),
        ("StepFinished", "wait_2", 900.0),
    ]


async def test_durations_are_learned_from_earlier_runs(tmp_path: Path) -> None:
    order: list[str] = []

    async def work(name: str, seconds: float) -> str:
        order.append(name)
        await asyncio.sleep(seconds)
        return name

    def make() -> Plan:
        plan = Plan(name="learns", resources={"hand": 1})
        for name, seconds in (("short", 0.01), ("middle", 0.05), ("long", 0.15)):
            plan.step(work, name, seconds).options(name=name, resources={"hand": 1})
        return plan

    async with Runtime(tmp_path / "runs.db") as runtime:
        await runtime.run(make())
        await runtime.run(make())
    assert order == ["short", "middle", "long", "long", "middle", "short"]


def test_a_step_tells_how_far_it_is() -> None:
    async def work(context: Context[object]) -> None:
        context.progress({"percent": 50})

    plan = Plan()
    plan.step(work)
    events: list[Event] = []
    run(plan, sinks=[events.append])
    assert [(event.key, event.data) for event in events if isinstance(event, StepProgress)] == [
        ("work", {"percent": 50})
    ]
