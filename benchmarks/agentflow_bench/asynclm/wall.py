"""The same tasks on the wall clock, over real connections, and on the virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeAlias, cast

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.session import Native
from agentflow.testing import FakeEndpoint, LoopbackServer, ScriptedCall, ScriptedReply
from agentflow_bench.asynclm.mind import Mind, answer_text, in_messages
from agentflow_bench.asynclm.simulate import tools_of
from agentflow_bench.asynclm.task import Task, TaskCall
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import ChatRequest, Json, Message, ToolCall

__all__ = ["WALL"]

Answers: TypeAlias = Callable[[Sequence[Message]], ScriptedReply]

_TURN_S, _TPS = 0.06, 100
_TASK = Task(
    "wall",
    "two chains and a join",
    "Do all of it.",
    [
        TaskCall("a1", "look", {"place": "the first shelf"}, 20, 0.4, []),
        TaskCall("b1", "turn_to", {"page": 12}, 12, 0.15, []),
        TaskCall("c1", "count", {"what": "pots"}, 12, 0.25, []),
        TaskCall("a2", "look", {"place": "the second shelf"}, 20, 0.3, ["a1"]),
        TaskCall("b2", "turn_to", {"page": 13}, 12, 0.35, ["b1"]),
        TaskCall("end", "write", {"text": "what was found"}, 24, 0.2, ["a2", "b2", "c1"]),
    ],
    20,
)


def _wall(setting: Setting) -> Sequence[Figure]:
    rounds = 1 if setting.quick else 5
    figures: list[Figure] = []
    _over_the_wire(_answers(Mind(_TASK, _TPS, references=True), True))  # what is imported by a first request
    for mode, references in (("native", False), ("native_refs", True)):
        answer = _answers(Mind(_TASK, _TPS, references=references), references)
        virtual = run_in(lambda: new_loop("virtual"), _run(_fake(answer)))
        walls = [_over_the_wire(answer) for _ in range(rounds)]
        wall = median(walls)
        bar = Bar("<=", virtual * 50 + 10)
        figures += [
            Figure(f"{mode}: wall beyond virtual", (wall - virtual) * 1000, "ms", bar, "5 % + 10 ms"),
            Figure(f"{mode}: virtual", virtual, "s"),
            Figure(f"{mode}: wall", wall, "s", note=f"the longest of {rounds}: {max(walls):.3f} s"),
        ]
    return figures


def _over_the_wire(answer: Answers) -> float:
    """Return the wall seconds of the task against a server in a thread."""

    def reply(body: Mapping[str, Json]) -> ScriptedReply:
        return answer(_messages(body))

    with LoopbackServer(reply, first_token_s=_TURN_S, tokens_per_second=_TPS) as server:
        return run_in(lambda: new_loop("wall"), _run(Endpoint("m", base_url=server.url)))


async def _run(endpoint: Endpoint) -> float:
    loop = asyncio.get_running_loop()
    agent = Agent(Native(endpoint, request_cost=_TURN_S), tools=tools_of(_TASK, wait=False))
    async with Runtime() as runtime:
        began = loop.time()
        await runtime.run(agent, _TASK.question)
        return loop.time() - began


def _fake(answer: Answers) -> FakeEndpoint:
    def script(request: ChatRequest) -> ScriptedReply:
        return answer(request.messages)

    return FakeEndpoint(script, delay=_TURN_S, tokens_per_second=_TPS)


def _answers(mind: Mind, waits: bool) -> Answers:
    """Return what the mind says to a list of messages. A token is about four characters here."""

    def answer(messages: Sequence[Message]) -> ScriptedReply:
        seen = in_messages(messages)
        ready = mind.ready(seen)
        if not ready and mind.done(seen):
            return ScriptedReply(text=answer_text(mind.task))
        calls = [
            ScriptedCall(call.tool, mind.arguments(call, ready[:i], seen)) for i, call in enumerate(ready)
        ]
        if waits or not ready:
            named: list[Json] = [f"c{i + 1}" for i in range(len(ready))]
            calls.append(ScriptedCall("wait", {"calls": named} if named else {}))
        return ScriptedReply(calls=calls)

    return answer


def _messages(body: Mapping[str, Json]) -> list[Message]:
    """Read the messages of a request's body, as far as the mind needs them."""
    found: list[Message] = []
    for item in cast("list[dict[str, Json]]", body["messages"]):
        calls = [
            ToolCall(str(call["id"]), str(call["function"]["name"]), str(call["function"]["arguments"]))
            for call in cast("list[dict[str, dict[str, str]]]", item.get("tool_calls") or [])
        ]
        content = item.get("content")
        text = content if isinstance(content, str) else json.dumps(content or "")
        call_id = item.get("tool_call_id")
        role = cast("str", item["role"])
        found.append(
            Message(role, text, calls=calls, call_id=None if call_id is None else str(call_id))  # type: ignore[arg-type]
        )
    return found


WALL = Measure(
    "wall_clock", "A task on the wall clock, over real connections, and on the virtual clock.", _wall
)
