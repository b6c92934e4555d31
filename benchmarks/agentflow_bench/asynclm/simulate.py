"""One task through the real session, on the virtual clock, in one of the modes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.errors import RunError
from agentflow.local.engine import EngineModel
from agentflow.runtime import Runtime
from agentflow.session import Carrier, CmlChat, CmlText, InFlight, Native
from agentflow.tools import Tool
from agentflow_bench.asynclm.chat_model import ChatModel
from agentflow_bench.asynclm.mind import STEP, Log, Mind, opening_of
from agentflow_bench.asynclm.task import Pace, Task
from agentflow_bench.asynclm.text_model import TextModel
from agentflow_bench.asynclm.token_engine import SimulatedEngine
from agentflow_protocols.chat import Json

__all__ = ["MARKUP_WITH_REFERENCES", "MODES", "Simulation", "Taken", "simulate", "tools_of"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a task took: seconds from the first token to the end, requests, input tokens (an estimate)."""

    seconds: float
    requests: int
    input_tokens: int


def tools_of(task: Task, *, wait: bool) -> list[Tool[..., Awaitable[object]]]:
    """Return a tool for each name that the task calls; a call sleeps its `exec_s`.

    With `wait` the model gets results only when all are there.
    """
    seconds = {call.id: call.exec_s for call in task.calls}

    async def work(context: object, arguments: dict[str, Json]) -> object:
        step = str(arguments[STEP])
        await asyncio.sleep(seconds[step])
        return {STEP: step}

    def estimate(step_: str) -> float:
        return seconds[step_]

    schema: dict[str, Json] = {
        "type": "object",
        "properties": {STEP: {"type": "string"}},
        "required": [STEP],
    }
    return [
        Tool.from_schema(
            name,
            "A tool of the task.",
            schema,
            work,
            reply="wait" if wait else "auto",
            estimate=estimate,
            idempotent=True,
        )
        for name in dict.fromkeys(call.tool for call in task.calls)
    ]


@dataclass(frozen=True, slots=True)
class Simulation:
    """An agent whose model is simulated, what to ask it, and the log of that model."""

    agent: Agent[object, str]
    question: str
    log: Log


async def simulate(runtime: Runtime, task: Task, pace: Pace, mode: str) -> Taken:
    """Run `task` and return what it took. Raises `RunError` when a call was lost or doubled."""
    loop = asyncio.get_running_loop()
    made = (MODES.get(mode) or MARKUP_WITH_REFERENCES[mode])(task, pace)
    result = await runtime.run(made.agent, made.question)
    log = made.log
    if log.began is None or log.shown != {call.id for call in task.calls}:
        raise RunError(f"task {task.id}: the answer was given without every result")
    return Taken(loop.time() - log.began, result.usage.requests, result.usage.input_tokens)


def _made(carrier: Carrier, task: Task, log: Log, *, wait: bool = False) -> Simulation:
    agent = Agent(carrier, tools=tools_of(task, wait=wait))
    return Simulation(agent, f"{opening_of(task)} {task.question}", log)


def _sync_sequential(task: Task, pace: Pace) -> Simulation:
    model = ChatModel(Mind(task, pace.tps, critical=False), pace, one=True)
    return _over_native(model, task, pace, wait=True)


def _sync_parallel(task: Task, pace: Pace) -> Simulation:
    model = ChatModel(Mind(task, pace.tps, critical=False), pace, early=False)
    return _over_native(model, task, pace, wait=True)


def _native(task: Task, pace: Pace) -> Simulation:
    return _over_native(ChatModel(Mind(task, pace.tps), pace), task, pace)


def _native_refs(task: Task, pace: Pace) -> Simulation:
    model = ChatModel(Mind(task, pace.tps, references=True), pace, waits=True)
    return _over_native(model, task, pace)


def _over_native(model: ChatModel, task: Task, pace: Pace, *, wait: bool = False) -> Simulation:
    return _made(Native(Endpoint(model), request_cost=pace.turn_s), task, model.log, wait=wait)


def _cml_chat(task: Task, pace: Pace) -> Simulation:
    model = TextModel(Mind(task, pace.tps), pace)
    return _made(CmlChat(Endpoint(model), request_cost=pace.turn_s), task, model.log)


def _cml_text(task: Task, pace: Pace, *, references: bool = False) -> Simulation:
    model = TextModel(Mind(task, pace.tps, references=references), pace)
    return _made(CmlText(Endpoint(model), request_cost=pace.turn_s), task, model.log)


def _in_flight(task: Task, pace: Pace, *, references: bool = False) -> Simulation:
    engine = SimulatedEngine(Mind(task, pace.tps, references=references), pace)
    return _made(InFlight(Endpoint(EngineModel(engine))), task, engine.log)


MODES: Mapping[str, Callable[[Task, Pace], Simulation]] = {
    "sync_sequential": _sync_sequential,
    "sync_parallel": _sync_parallel,
    "native": _native,
    "native_refs": _native_refs,
    "cml_chat": _cml_chat,
    "cml_text": _cml_text,
    "in_flight": _in_flight,
}
"""How each mode is simulated, by its name."""

MARKUP_WITH_REFERENCES: Mapping[str, Callable[[Task, Pace], Simulation]] = {
    "cml_text_refs": partial(_cml_text, references=True),
    "in_flight_refs": partial(_in_flight, references=True),
}
"""Modes beyond those of a task file: the markup's calls, too, may name results that are not there yet."""
