"""Cancel an agent run at each of its await points in turn: nothing of it is left, and it can go on."""

import asyncio
from collections.abc import Coroutine, Generator

import pytest
from carriers import Speaker
from virtual import virtual

from agentflow import Agent, Context, Endpoint, RunError, Runtime, tool
from agentflow.local.engine import EngineModel
from agentflow.session import CmlChat, CmlText, InFlight
from agentflow.testing import FakeEndpoint, LoopbackServer, ScriptedCall, assert_nothing_left


class CancelAt:
    """Await `work`, and cancel the task at the await point of this number."""

    def __init__(self, work: Coroutine[object, object, object], number: int) -> None:
        self.work, self.number, self.reached = work, number, 0

    def __await__(self) -> Generator[object, object, object]:
        answer: object = None
        error: BaseException | None = None
        while True:
            try:
                waits = self.work.send(answer) if error is None else self.work.throw(error)
            except StopIteration as end:
                return end.value
            self.reached += 1
            if self.reached == self.number:
                asyncio.current_task().cancel()
            try:
                answer, error = (yield waits), None
            except BaseException as raised:
                answer, error = None, raised


class CancelledAgent:
    """An agent whose run is cancelled at its await point `number`."""

    def __init__(self, agent: Agent[object, str], number: int) -> None:
        self.agent, self.number, self.limits, self.name = agent, number, agent.limits, agent.name

    async def __run__(self, context: Context[object], text: str) -> object:
        return await CancelAt(self.agent.__run__(context, text), self.number)


@tool
async def quick(n: int) -> str:
    await asyncio.sleep(0.01)
    return f"quick {n}"


@tool
def threaded(n: int) -> str:
    return f"threaded {n}"


@tool(reply="interrupt")
async def slow(n: int) -> str:
    try:
        await asyncio.sleep(0.05)
    finally:
        await asyncio.sleep(0)
    return f"slow {n}"


ECHO = tool.process(["echo", "{text}"], name="echo", description="Echo.")
SCRIPT = [
    [ScriptedCall("quick", {"n": 1}), ScriptedCall("slow", {"n": 2}), ScriptedCall("threaded", {"n": 3})],
    [ScriptedCall("echo", {"text": "hi"}), ScriptedCall("wait")],
    "done",
    "done",
    "done",
]


async def cancelled_everywhere(make, path, least, closed=None):
    number = 0
    while True:
        number += 1
        agent, journal = make(), path / f"{number}.db" if path else None
        async with assert_nothing_left():
            async with Runtime(journal) as runtime:
                async with runtime.start(CancelledAgent(agent, number), "Go.") as run:
                    try:
                        await run.result()
                    except RunError:
                        assert run.status == "cancelled"
                    else:
                        assert number > least
                        return
                if journal is not None and number % 5 == 0:
                    async with runtime.resume(run.id, agent) as again:
                        assert (await again.result()).output == "done"
            if closed is not None:
                await closed()


@pytest.mark.parametrize("durable", [False, True])
def test_at_every_await_point(tmp_path, durable):
    @virtual
    async def run_it():
        def make():
            return Agent(FakeEndpoint(SCRIPT * 2, tokens_per_second=200), tools=[quick, slow, threaded, ECHO])

        await cancelled_everywhere(make, tmp_path if durable else None, 10)

    run_it()


MARKUP = [
    'So. [CALL] c1 [HEAD] quick {"n": 1} [END][CALL] c2 [HEAD] slow {"n": 2} [END] and'
    ' [CALL] c3 [HEAD] threaded {"n": 3} [END][TRAP] [END]',
    '[CALL] c4 [HEAD] echo {"text": "$c1"} [END][TRAP] c2 c4 [END]',
    "done",
    "done",
    "done",
]


@pytest.mark.parametrize("carrier", ["cml-chat", "cml-text", "in-flight"])
def test_at_every_await_point_in_markup(carrier):
    def make():
        if carrier == "in-flight":
            made = InFlight(Endpoint(EngineModel(Speaker(MARKUP))))
        else:
            endpoint = FakeEndpoint(MARKUP, tokens_per_second=200)
            made = CmlText(endpoint) if carrier == "cml-text" else CmlChat(endpoint)
        return Agent(made, tools=[quick, slow, threaded, ECHO])

    @virtual
    async def run_it():
        await cancelled_everywhere(make, None, 10)

    run_it()


async def test_at_every_await_point_of_a_request_the_server_sees_it_closed():
    def answer(body):
        last = body["messages"][-1]
        return "one two three" if last["role"] == "tool" else ScriptedCall("quick", {"n": 1})

    with LoopbackServer(answer, tokens_per_second=200, first_token_s=0.01) as server:

        def make():
            return Agent(Endpoint("m", base_url=server.url), tools=[quick])

        async def closed():
            await server.until(lambda: server.open_connections == 0)

        await cancelled_everywhere(make, None, 5, closed)
        assert len(server.requests) > 5
