"""What a run tells of its endpoint's decisions, and whose requests go first: on virtual time."""

from __future__ import annotations

import asyncio

from virtual import virtual

from agentflow import Agent, Runtime
from agentflow._cli.view import Board, Lines
from agentflow.endpoints import Limits, LimitScheduler
from agentflow.errors import EndpointUnavailable
from agentflow.testing import FakeEndpoint
from agentflow_protocols.trace import (
    Admitted,
    Event,
    FellBack,
    ModelCalled,
    ModelFinished,
    Throttled,
    event_from_line,
    event_to_line,
)


async def events_of(runtime, agent, text="Go."):
    async with runtime.start(agent, text) as run:
        return [event async for event in run]


@virtual
async def test_a_wait_for_a_limit_is_told_when_it_is_long_and_shown_until_it_is_over():
    endpoint = FakeEndpoint(lambda _: "ok", requests_per_minute=20)
    agent = Agent(endpoint, name="cook")
    async with Runtime() as runtime:
        assert not any(isinstance(event, Throttled) for event in await events_of(runtime, agent))
        await asyncio.sleep(2.5)
        assert not any(isinstance(event, Throttled) for event in await events_of(runtime, agent))
        events = await events_of(runtime, agent)
    kinds = [type(e) for e in events if isinstance(e, ModelCalled | Throttled | Admitted | ModelFinished)]
    assert kinds == [ModelCalled, Throttled, Admitted, ModelFinished]
    board, said, shown = Board(), [], []
    lines = Lines(said.append)
    for event in events:
        board.take(event)
        lines.take(event)
        shown += board.asking()
        assert event_from_line(event_to_line(event)) == event
    throttled, admitted = (e for e in events if isinstance(e, Throttled | Admitted))
    assert admitted.time - throttled.time == admitted.waited_s - 1
    waits = f"waits for {endpoint.name}: requests per minute, "
    assert any(text.startswith(waits) and text.endswith(" % used") for text in shown)
    assert shown[-1] == f"cook asks {endpoint.name} (turn 1)"
    assert any(waits in line for line in said)


@virtual
async def test_a_fallback_is_told():
    spare = FakeEndpoint(["spare"])
    main = FakeEndpoint([EndpointUnavailable("down")] * 5, fallback=[spare])
    async with Runtime() as runtime:
        [fell] = [e for e in await events_of(runtime, Agent(main)) if isinstance(e, FellBack)]
    assert (fell.model, fell.target, fell.reason) == (main.name, spare.name, "down")


@virtual
async def test_a_reply_to_a_person_goes_before_others():
    endpoint = FakeEndpoint(lambda request: "ok", requests_per_minute=10)
    talks, order = Agent(endpoint, name="talks"), []

    async def ask(runtime):
        order.append((await runtime.run(Agent(endpoint), "x")).output)

    async with Runtime() as runtime, runtime.start(talks, "Go.") as run:
        await run.interrupt("And?", priority="now")
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(ask(runtime))
            await run.result()
            assert len(order) <= 1
    priorities = [request.priority for request in endpoint.requests]
    assert priorities.count(1) == 1


@virtual
async def test_an_endpoint_may_go_before_another_of_the_same_limits():
    scheduler = LimitScheduler(Limits(requests_per_minute=60))
    first = FakeEndpoint(lambda _: "ok", scheduler=scheduler)
    last = FakeEndpoint(lambda _: "ok", scheduler=scheduler, priority=-1)
    order: list[str] = []

    async def ask(endpoint, name):
        await endpoint.complete("x")
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(ask(last, "last"))
        for _ in range(4):
            group.create_task(ask(first, "first"))
    assert order == ["last", "first", "first", "first", "first", "last", "last", "last"]


def test_every_event_of_a_decision_is_a_line():
    events: list[Event] = [Throttled("m", "x"), Admitted("m", 2.0), FellBack("m", "n", "")]
    for event in events:
        assert event_from_line(event_to_line(event)) == event
