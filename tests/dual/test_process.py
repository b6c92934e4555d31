"""DualProcess: ticks that never wait, slow processes beside them, and what becomes of what they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TypeVar

import pytest

from agentflow import Agent, Context, InvalidAction, Runtime
from agentflow.dual.brief import Brief, Now, Update
from agentflow.dual.guard import GuardedPolicy
from agentflow.dual.process import DualProcess
from agentflow.dual.report import DualReport
from agentflow.dual.slots import Slot
from agentflow.dual.slow import InFlight, Slow, every, on, when
from agentflow.dual.stale import StalePolicy, Verdict
from agentflow.errors import RunError
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import FakeEndpoint
from agentflow_protocols.trace import Custom, Event

T = TypeVar("T")
Thought = Callable[[Context[object], Brief[object, object]], Coroutine[object, object, object]]


class Crash(BaseException):
    """The process ends."""


class Road:
    """A road on which one drives left, right or straight on. `weather` changes at tick 40."""

    def __init__(self, ticks: int = 100) -> None:
        self.length = ticks
        self.driven: list[str] = []

    def reset(self, seed: int | None = None) -> str:
        self.driven = []
        return self.observe()

    def observe(self) -> str:
        return "sun" if len(self.driven) < 40 else "rain"

    def valid_actions(self) -> list[str]:
        return ["left", "right", "on"]

    def act(self, action: str) -> str:
        if action not in self.valid_actions():
            raise InvalidAction(f"{action!r} is no way to drive")
        self.driven.append(action)
        return self.observe()

    @property
    def done(self) -> bool:
        return len(self.driven) >= self.length

    def snapshot(self) -> list[str]:
        return list(self.driven)

    def restore(self, snapshot: list[str]) -> None:
        self.driven = list(snapshot)


def obey(now: Now[str]) -> str:
    """Drive as the slot says."""
    return str(now.slots.get("guideline", "on"))


def play(dual: DualProcess[str, str, list[str]], **more: object) -> DualReport:
    """Play a game on the virtual clock."""

    async def work() -> DualReport:
        async with Runtime() as runtime:
            return (await runtime.run(dual, **more)).output  # type: ignore[arg-type]

    return run_in(lambda: new_loop("virtual"), work())


def drive(think: Thought, road: Road | None = None, **more: object) -> tuple[list[str], DualReport]:
    """Play with one slow process, and return what was driven, and the report."""
    road = road or Road()
    own = {name: more.pop(name) for name in list(more) if name in Slow.__slots__}
    slow = Slow("guide", think, **{"into": "guideline", **own})  # type: ignore[arg-type]
    report = play(DualProcess(road, fast=obey, default="on", slow=[slow], **more))  # type: ignore[arg-type]
    return road.driven, report


def says(text: object, seconds: float = 1.0) -> Thought:
    """Return a slow process that takes its time and says the same each time."""

    async def think(context: Context[object], brief: Brief[object, object]) -> object:
        await asyncio.sleep(seconds)
        return text

    return think


def test_the_loop_goes_on_while_somebody_thinks() -> None:
    driven, report = drive(says("left", 1.1), triggers=[every(20)])
    assert driven[:6] == ["on"] * 5 + [
        "left"
    ]  # a tick is a quarter of a second; 1.1 s arrive before the fifth
    assert (report.ticks, report.done, report.missed, report.late) == (100, True, 0, 0)
    guide = report.slow["guide"]
    assert (guide.calls, guide.applied, guide.dropped) == (5, 5, 0)
    assert report.staleness == {5: 5}
    assert report.by == {"fast": 100, "policy": 0, "default": 0}


def test_what_never_answers_holds_nobody_up_and_is_gone_at_the_end() -> None:
    driven, report = drive(says("left", 1e9), triggers=[every(20)])
    assert driven == ["on"] * 100
    assert (report.missed, report.slow["guide"].calls) == (0, 1)
    _, report = drive(says("left", 1e9), triggers=[every(20)], timeout=2.0)
    assert report.slow["guide"].timed_out == 5
    assert "no answer in 2 s" in report.slow["guide"].faults[0]


@pytest.mark.parametrize(
    ("inflight", "calls", "applied"), [("coalesce", 4, 3), ("restart", 10, 0), ("queue", 4, 3)]
)
def test_triggers_while_one_is_under_way(inflight: InFlight, calls: int, applied: int) -> None:
    # Triggered each 10 ticks, 2.5 s; thinking takes 7.4 s.
    _, report = drive(says("left", 7.4), triggers=[every(10)], inflight=inflight)
    guide = report.slow["guide"]
    assert (guide.calls, guide.applied) == (calls, applied)


def test_merged_triggers_are_of_the_present_and_queued_ones_of_their_own() -> None:
    told: dict[InFlight, list[int]] = {"coalesce": [], "queue": []}
    for inflight, ticks in told.items():

        async def think(context: Context[object], brief: Brief[object, object]) -> str:
            ticks.append(brief.tick)  # noqa: B023
            await asyncio.sleep(6)
            return "on"

        drive(think, triggers=[every(10)], inflight=inflight)
    assert told["coalesce"] == [0, 23, 47, 71, 95]  # the tick that was the last one then
    assert told["queue"] == [0, 10, 20, 30, 40]


def test_a_line_is_bounded() -> None:
    _, report = drive(says("left", 10.0), triggers=[every(1)], inflight="queue", line=3)
    assert report.slow["guide"].calls == 3
    assert report.slow["guide"].merged == 100 - 3 - 3


def test_a_failure_is_counted_and_delays_nothing() -> None:
    async def think(context: Context[object], brief: Brief[object, object]) -> str:
        if brief.tick < 50:
            raise ValueError("no idea")
        return "left"

    driven, report = drive(think, triggers=[every(25)])
    guide = report.slow["guide"]
    assert (guide.failed, guide.applied, report.missed) == (2, 2, 0)
    assert guide.faults == ["ValueError: no idea", "ValueError: no idea"]
    assert driven[51] == "left"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (17, "slot guideline: Input should be a valid string"),
        ({"a": 1}, "slot guideline: Input should be"),
        (Update({"guidelin": "left"}), "no slot 'guidelin' (did you mean 'guideline'?)"),
        (Update({"assignment": "prose"}), "slot assignment: Input should be a valid list"),
        (Update({"guideline": "left", "assignment": 3}), "slot assignment"),
        (Update({}, policy=[{"when": "True", "do": 1}]), "the game has no policy="),
    ],
)
def test_what_is_no_value_of_its_slot_changes_nothing(answer: object, fault: str) -> None:
    driven, report = drive(says(answer), triggers=[every(50)])
    assert report.slow["guide"].invalid == 2
    assert fault in report.slow["guide"].faults[0]
    assert driven == ["on"] * 100  # the valid half of an update is not applied either


def test_an_empty_value_clears() -> None:
    road = Road()
    values = iter([["left"], []])

    async def think(context: Context[object], brief: Brief[object, object]) -> object:
        return next(values, None)

    def fast(now: Now[str]) -> str:
        orders = now.slots.get("assignment")
        return orders[0] if isinstance(orders, list) and orders else "on"

    slow = Slow("guide", think, [every(10)], into="assignment")
    play(DualProcess(road, fast=fast, default="on", slow=[slow]))
    assert road.driven[1:11] == ["left"] * 10
    assert set(road.driven[11:]) == {"on"}


def test_older_never_takes_the_place_of_newer() -> None:
    road = Road()

    async def quick(context: Context[object], brief: Brief[object, object]) -> str:
        return "right"

    slow = [
        Slow("sage", says("left", 6.0), [every(1000)], into="guideline"),
        Slow("scout", quick, [every(1000, first=10)], into="guideline"),
    ]
    report = play(DualProcess(road, fast=obey, default="on", slow=slow))
    assert set(road.driven[11:]) == {"right"}
    assert report.slow["sage"].dropped == 1


@pytest.mark.parametrize(
    ("changed", "applied", "dropped", "rebased", "last"),
    [("apply", 1, 0, 0, "sun"), ("drop", 0, 1, 0, "on"), ("rebase", 1, 0, 1, "rain")],
)
def test_when_the_world_changes_meanwhile(
    changed: Verdict, applied: int, dropped: int, rebased: int, last: str
) -> None:
    """Asked at tick 35, in the sun; answered at tick 43, in the rain."""
    told: list[str] = []

    async def think(context: Context[object], brief: Brief[object, object]) -> str:
        if brief.rebase is not None:
            told.append(f"{brief.rebase.seen} then, {brief.seen} now")
        await asyncio.sleep(2)
        return str(brief.seen)

    road = Road()
    heard: list[str] = []

    def fast(now: Now[str]) -> str:
        heard.append(str(now.slots.get("guideline", "on")))
        return "on"

    stale = StalePolicy(keys=lambda seen: seen, changed=changed)
    slow = Slow("guide", think, [every(1000, first=35)], into="guideline")
    report = play(DualProcess(road, fast=fast, default="on", slow=[slow], stale=stale))
    guide = report.slow["guide"]
    assert (guide.applied, guide.dropped, guide.rebased) == (applied, dropped, rebased)
    assert heard[-1] == last
    assert told == (["sun then, rain now"] if changed == "rebase" else [])


def test_too_old_and_no_longer_true() -> None:
    _, report = drive(says("left", 5.0), triggers=[every(50)], stale=StalePolicy(max_age=10))
    assert report.slow["guide"].dropped == 2
    update = Update({"guideline": "left"}, holds=lambda seen: seen == "rain")
    _, report = drive(says(update), triggers=[every(50)])
    assert (report.slow["guide"].dropped, report.slow["guide"].applied) == (1, 1)

    def broken(seen: object) -> bool:
        raise KeyError("weather")

    _, report = drive(says(Update({"guideline": "left"}, holds=broken)), triggers=[every(50)])
    assert report.slow["guide"].dropped == 2
    assert "KeyError" in report.slow["guide"].faults[0]


def test_a_value_lives_its_time() -> None:
    road = Road()
    slow = Slow("guide", says("left", 1.0), [every(1000)], into="guideline")
    play(DualProcess(road, fast=obey, default="on", slow=[slow], slots={"guideline": Slot(str, ttl=20)}))
    assert road.driven[5:21] == ["left"] * 16  # it is of tick 0
    assert set(road.driven[21:]) == {"on"}


def test_a_slot_tells_what_its_last_value_changed() -> None:
    slot: Slot[object] = Slot(list[str])
    assert slot.diff() == []
    slot.put(["soup", "tea"], based_on=1, tick=2, source="a")
    assert slot.diff() == ["+ [", '+  "soup",', '+  "tea"', "+ ]"]
    slot.put(["soup", "stew"], based_on=3, tick=4, source="b")
    assert slot.diff() == ['-  "tea"', '+  "stew"']
    assert [entry.version for entry in slot.history] == [1, 2]
    text: Slot[object] = Slot(str)
    for value in ("go left", "go right\nslowly"):
        text.put(value, based_on=1, tick=1, source="a")
    assert text.diff() == ["- go left", "+ go right", "+ slowly"]


def test_a_brief_has_history_and_the_fast_side_reads_what_is_being_written() -> None:
    read: list[str] = []

    async def think(context: Context[object], brief: Brief[object, object]) -> str:
        assert [scene.tick for scene in brief.history] == list(range(max(0, brief.tick - 4), brief.tick))
        for word in ("turn ", "left ", "soon"):
            await asyncio.sleep(1)
            brief.say(word)
        await asyncio.sleep(1)
        return "left"

    def fast(now: Now[str]) -> str:
        if "guide" in now.partial:
            read.append(now.partial["guide"].text)
        return "on"

    slow = Slow("guide", think, [every(50)], into="guideline", window=4)
    play(DualProcess(Road(), fast=fast, default="on", slow=[slow]))
    assert list(dict.fromkeys(read)) == ["turn ", "turn left ", "turn left soon"]


def test_an_agent_thinks_and_is_read_while_it_writes() -> None:
    model = FakeEndpoint(lambda request: "go left at the next corner", tokens_per_second=2)
    read: list[str] = []

    def fast(now: Now[str]) -> str:
        if "guide" in now.partial:
            read.append(now.partial["guide"].text)
        return "on" if "guideline" not in now.slots else "left"

    road = Road()
    slow = Slow(
        "guide", Agent(model), [every(50)], into="guideline", prompt=lambda brief: f"It is {brief.seen}."
    )
    report = play(DualProcess(road, fast=fast, default="on", slow=[slow]))
    assert report.slow["guide"].applied == 2
    assert "go left" in "".join(read)
    assert any(text and text != "go left at the next corner" for text in read)
    assert road.driven[-1] == "left"
    assert [request.messages[-1].text for request in model.requests] == ["It is sun.", "It is rain."]


def test_triggers() -> None:
    ticks: dict[str, list[int]] = {"rain": [], "corner": [], "both": []}

    def noting(name: str) -> Thought:
        async def think(context: Context[object], brief: Brief[object, object]) -> None:
            ticks[name].append(brief.tick)

        return think

    slow = [
        Slow("rain", noting("rain"), [when(lambda now: now.seen == "rain" and now.tick % 20 == 0)]),
        Slow("corner", noting("corner"), [on("corner")]),
        Slow("both", noting("both"), [every(60), on("corner")]),
    ]
    play(
        DualProcess(
            Road(), fast=obey, default="on", slow=slow,
            events=lambda now: ["corner"] if now.tick in (7, 60) else [],
        )
    )  # fmt: skip
    assert ticks == {"rain": [40, 60, 80], "corner": [7, 60], "both": [0, 7, 60]}


def test_a_persons_words_reach_both_sides() -> None:
    heard: list[tuple[int, list[str]]] = []
    told: list[tuple[int, list[str]]] = []

    async def think(context: Context[object], brief: Brief[object, object]) -> None:
        told.append((brief.tick, list(brief.messages)))
        await asyncio.sleep(5)

    def fast(now: Now[str]) -> str:
        if now.messages:
            heard.append((now.tick, list(now.messages)))
        return "on"

    async def work() -> None:
        dual = DualProcess(Road(), fast=fast, default="on", slow=[Slow("guide", think, [on("message")])])
        async with Runtime() as runtime, runtime.start(dual) as run:
            for text in ("Slower!", "Much slower!"):
                await asyncio.sleep(1.1)
                await run.interrupt(text)
            await run.result()

    run_in(lambda: new_loop("virtual"), work())
    assert heard == [(5, ["Slower!"]), (9, ["Much slower!"])]
    assert told == [(5, ["Slower!"]), (24, ["Much slower!"])]  # merged: told when the first call has ended


def test_a_fast_function_that_fails_costs_its_tick_the_default() -> None:
    road = Road()

    def fast(now: Now[str]) -> str | None:
        if now.tick == 3:
            raise ZeroDivisionError("at the corner")
        return None if now.tick == 5 else "fly" if now.tick == 7 else "left"

    report = play(DualProcess(road, fast=fast, default="on"))
    assert [tick for tick, action in enumerate(road.driven) if action == "on"] == [3, 5, 7]
    assert (report.raised, report.refused, report.by["default"]) == (1, 1, 3)
    assert report.faults == ["tick 3: ZeroDivisionError: at the corner", "tick 7: 'fly' is no way to drive"]


def test_what_else_fails_is_told_and_ends_no_game() -> None:
    def fail(*told: object) -> list[str]:
        raise ValueError("not today")

    for what, more in (("events", {"events": fail}), ("draw", {"draw": fail}), ("when", {})):
        driven, report = drive(says("left", 0.1), ticks=3, triggers=[when(fail), every(1)], **more)
        assert (report.ticks, driven) == (3, ["on", "left", "left"])
        assert f"tick 0: {what}: ValueError: not today" in report.faults


def test_a_brief_is_not_written_on() -> None:
    async def think(context: Context[object], brief: Brief[object, object]) -> str:
        brief.tick = 10**9  # type: ignore[misc]
        return "left"

    driven, report = drive(think)
    assert set(driven) == {"on"}
    assert "FrozenInstanceError" in report.slow["guide"].faults[0]


def test_a_policy_whose_sandbox_fails_ends_no_game() -> None:
    class Broken:
        async def load(self, source: str, *, uses: object = None) -> object:
            raise OSError("no worker")

    async def think(context: Context[object], brief: Brief[object, object]) -> str:
        return "def policy(state):\n    return 1"

    policy = GuardedPolicy(Broken(), allowed=lambda action: None)  # type: ignore[arg-type]
    _, report = drive(think, policy=policy, state=lambda seen: None, into="policy")
    assert (report.ticks, report.slow["guide"].invalid) == (100, 5)
    assert report.slow["guide"].faults[0] == "OSError: no worker"


async def test_a_fast_function_that_is_late_costs_its_tick_the_default() -> None:
    road = Road(20)

    def fast(now: Now[str]) -> str:
        if now.tick == 5:
            time.sleep(0.06)
        return "left"

    dual = DualProcess(road, fast=fast, default="on", tick=0.02, deadline=0.018)
    async with Runtime() as runtime:
        report = (await runtime.run(dual)).output
    assert report.late >= 1
    assert road.driven[5] == "on"
    assert report.missed >= 1
    assert len(road.driven) == 20  # late ticks are made up for, none is left out
    assert report.decision_ms["most"] >= 60


async def test_no_tick_is_missed_on_the_wall_clock() -> None:
    slow = Slow("guide", says("left", 0.3), [every(5)], into="guideline")
    dual = DualProcess(Road(40), fast=obey, default="on", slow=[slow], tick=0.025)
    async with Runtime() as runtime:
        report = (await runtime.run(dual)).output
    assert report.missed == 0
    assert report.slow["guide"].applied >= 1


def test_events_tell_what_happens() -> None:
    events: list[Event] = []

    async def work() -> None:
        slow = Slow("guide", says("left"), [every(50)], into="guideline")
        async with Runtime(sinks=[events.append]) as runtime:
            await runtime.run(DualProcess(Road(), fast=obey, default="on", slow=[slow]))

    run_in(lambda: new_loop("virtual"), work())
    told = [event for event in events if isinstance(event, Custom)]
    assert sum(event.name == "tick" for event in told) == 100
    assert next(event.data for event in told if event.name == "slow") == {
        "name": "guide", "based_on": 0, "verdict": "apply",
    }  # fmt: skip


async def test_a_game_is_not_gone_on_with(tmp_path: object) -> None:
    crash = True

    async def think(context: Context[object], brief: Brief[object, object]) -> str:
        return "left"

    def fast(now: Now[str]) -> str:
        if crash and now.tick == 2:
            raise Crash
        return "on"

    dual = DualProcess(
        Road(5), fast=fast, default="on", slow=[Slow("guide", think, into="guideline")], tick=0.01
    )
    async with Runtime(tmp_path / "g.db") as runtime:  # type: ignore[operator]
        with pytest.raises(Crash):
            await runtime.run(dual, key="game")
        crash = False
        with pytest.raises(RunError, match="begin a new one"):
            await runtime.run(dual, key="game")
        assert (await runtime.run(dual, key="another")).output.done
