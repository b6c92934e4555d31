"""What interrupts a run by itself: timers and async iterators."""

import asyncio
import json

import pytest
from carriers import CARRIERS, Turn, spoken
from virtual import virtual

from agentflow import Agent, Context, LimitExceeded, Runtime, Timer, UserError, tool
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.trace import Interrupted


def told(model: FakeEndpoint) -> list[str]:
    """Return the last message of each request but the first."""
    return [request.messages[-1].text for request in model.requests[1:]]


@virtual
async def test_a_trap_waits_for_a_timer_and_is_exact():
    model = FakeEndpoint([ScriptedCall("wait"), ScriptedCall("wait"), "Enough."])

    @tool(reply="interrupt")
    async def boil() -> str:
        return "boils"

    agent = Agent(model, tools=[boil]).listen(Timer("10m", "ten minutes", after=60), name="timer")
    async with Runtime() as runtime:
        result = await runtime.run(agent, "Go.")
    assert result.virtual_s == 660
    assert told(model) == ["[INTR] timer [HEAD] ten minutes [END]"] * 2


@pytest.mark.parametrize("carrier", CARRIERS)
def test_every_carrier_waits_for_a_source_and_hears_that_it_ended(carrier):
    @virtual
    async def run_it():
        said = spoken(carrier, [Turn(wait=True), Turn(wait=True), Turn("Enough.")])

        @tool
        async def look() -> str:
            return "seen"

        agent = Agent(said.carrier, tools=[look]).listen(Timer(5, "tick", times=1), name="clock")
        events = []
        async with Runtime() as runtime, runtime.start(agent, "Go.") as run:
            events += [event async for event in run if isinstance(event, Interrupted)]
            result = await run.result()
        assert result.output == "Enough."
        assert result.virtual_s == pytest.approx(5, abs=1)
        assert (events[0].source, events[0].text) == ("clock", "tick")
        whole = "\n".join(message.text for message in result.messages)
        assert "nothing is running" in whole

    run_it()


@virtual
async def test_a_run_whose_source_has_ended_does_not_trap_for_ever():
    model = FakeEndpoint(lambda request: ScriptedReply(calls=[ScriptedCall("wait")]))

    async def news(context: Context[object]):
        await asyncio.sleep(1)
        yield {"price": 3}
        await asyncio.sleep(100)

    @tool
    async def look() -> str:
        return "seen"

    async with Runtime() as runtime:
        with pytest.raises(LimitExceeded, match="nothing ran"):
            await runtime.run(Agent(model, tools=[look]).listen(news, name="news"), "Go.")
    assert '{"price":3}' in told(model)[0]
    assert json.loads(model.requests[2].messages[-1].text)["error"].startswith("nothing is running")


@virtual
async def test_the_newest_of_a_source_takes_the_place_of_the_one_that_waits():
    model = FakeEndpoint(["one two three four", "ok"], tokens_per_second=1)
    agent = Agent(model).listen(Timer(0.5, "tick", times=6), name="timer")

    async def prices():
        for price in range(8):
            await asyncio.sleep(0.25)
            yield price

    class Prices:
        def __aiter__(self):
            return prices()

    agent = agent.listen(Prices(), name="price")
    async with Runtime() as runtime:
        await runtime.run(agent, "Go.")
    assert told(model) == ["[INTR] price [HEAD] 7 [END]\n[INTR] timer [HEAD] tick [END]"]


@virtual
async def test_a_source_of_priority_now_cuts_and_silent_ones_only_ride_along():
    async def alarm(context: Context[object]):
        await asyncio.sleep(2)
        yield "fire"

    model = FakeEndpoint(["one two three four five six seven eight", "Gone."], tokens_per_second=1)
    agent = Agent(model).listen(alarm, name="alarm", priority="now")
    agent = agent.listen(Timer(1, "psst"), name="timer", priority="silent")
    async with Runtime() as runtime:
        result = await runtime.run(agent, "Read.")
    assert result.virtual_s < 8
    assert told(model) == ["[INTR] alarm [HEAD] fire [END]\n[INTR] timer [HEAD] psst [END]"]


@virtual
async def test_every_value_of_a_blocking_source_goes_in_and_it_is_held_back():
    sent = 0

    async def rows(context: Context[object]):
        nonlocal sent
        for number in range(500):
            yield str(number)
            sent = number

    seen = []

    def answer(request):
        last = request.messages[-1].text
        values = [line.split()[3] for line in last.splitlines() if line.startswith("[INTR] rows")]
        seen.extend(values)
        assert len(values) <= 100
        assert sent <= len(seen) + 100
        return "done" if len(seen) == 500 else ScriptedReply(calls=[ScriptedCall("wait")])

    @tool
    async def look() -> str:
        return "seen"

    agent = Agent(FakeEndpoint(answer, delay=1), tools=[look]).listen(rows, name="rows", policy="block")
    async with Runtime() as runtime:
        assert (await runtime.run(agent, "Go.")).output == "done"
    assert seen == [str(number) for number in range(500)]


@virtual
async def test_a_source_that_fails_is_told_and_the_run_goes_on():
    async def broken(context: Context[object]):
        await asyncio.sleep(1)
        yield "one"
        await asyncio.sleep(1)
        raise OSError("the line\nis dead")

    async def no_json(context: Context[object]):
        await asyncio.sleep(3)
        yield object()

    def not_made(context: Context[object]):
        raise ValueError("no such feed")

    @tool
    async def look() -> str:
        return "seen"

    model = FakeEndpoint([*[ScriptedCall("wait")] * 4, "ok"])
    agent = Agent(model, tools=[look]).listen(broken, name="feed").listen(no_json, name="odd")
    async with Runtime() as runtime:
        assert (await runtime.run(agent.listen(not_made, name="gone"), "Go.")).output == "ok"
    failed = "this source failed, and says nothing more:"
    texts = [text for text in told(model) if text.startswith("[INTR]")]
    assert texts[0] == f"[INTR] gone [HEAD] {failed} ValueError: no such feed [END]"
    assert texts[1] == "[INTR] feed [HEAD] one [END]"
    assert texts[2] == f"[INTR] feed [HEAD] {failed} OSError: the line is dead [END]"
    assert texts[3].startswith(f"[INTR] odd [HEAD] {failed} UserError: source odd can't be put")


@virtual
async def test_sources_end_with_their_run_and_each_run_has_its_own():
    opened, closed = [], []

    async def watch(context: Context[object]):
        opened.append(context.run_id)
        try:
            while True:
                await asyncio.sleep(10)
                yield "tick"
        finally:
            await asyncio.sleep(1)
            closed.append(context.run_id)

    plain = Agent(FakeEndpoint(lambda request: "ok", delay=25))
    agent = plain.listen(watch, name="watch", priority="silent")
    async with Runtime() as runtime:
        await asyncio.gather(runtime.run(agent, "a"), runtime.run(agent, "b"), runtime.run(plain, "c"))
        assert len(set(opened)) == 2
        assert sorted(opened) == sorted(closed)
        async with runtime.start(agent, "d") as run:
            await asyncio.sleep(15)
            await run.cancel()
    assert sorted(opened) == sorted(closed)


async def test_what_can_not_be_listened_to():
    agent = Agent(FakeEndpoint(["ok"]), name="cook")

    async def values():
        yield 1

    iterator = values()
    for source, options, match in (
        (iterator, {"name": "x"}, "an iterator can be read by one run only"),
        ([1, 2], {"name": "x"}, "listen to an async iterable"),
        (Timer(1), {"name": "user"}, "can't be named 'user'"),
        (Timer(1), {"name": "agent.boss"}, "can't be named"),
        (Timer(1), {"name": "two words"}, "can't be named"),
        (Timer(1), {"name": "x", "policy": "colesce"}, "did you mean `coalesce`"),
        (Timer(1), {"name": "x", "priority": "soon"}, "priority is one of now, next, silent"),
    ):
        with pytest.raises(UserError, match=match):
            agent.listen(source, **options)
    with pytest.raises(UserError, match="agent cook: two sources are named 'x'"):
        agent.listen(Timer(1), name="x").listen(Timer(2), name="x")
    await iterator.aclose()
    for every in ("soon", 0, -1, float("inf"), None):
        with pytest.raises(UserError, match="a timer's every is seconds or a duration"):
            Timer(every)
    with pytest.raises(UserError, match="times must be 1 or more"):
        Timer(1, times=0)
    assert agent.sources == ()


@virtual
async def test_a_late_timer_does_not_make_up_for_its_ticks():
    ticks = []

    async def slow():
        async for text in Timer(10, "tick", times=3):
            ticks.append(asyncio.get_running_loop().time())
            assert text == "tick"
            await asyncio.sleep(25 if len(ticks) == 1 else 0)

    await slow()
    assert ticks == [10, 35, 40]
