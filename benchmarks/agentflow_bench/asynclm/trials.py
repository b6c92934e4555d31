"""AsyncLM's tasks as trials: how soon a model has done them on a carrier, and whether it made the calls."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.runtime import Context, Runtime
from agentflow.session import Carrier, CmlChat, CmlText, Native
from agentflow.tools import Tool
from agentflow_bench.asynclm.simulate import MODES, simulate
from agentflow_bench.asynclm.task import Pace, Task, TaskCall
from agentflow_bench.trials import Case, Score, Trials
from agentflow_bench.trials.asked import AskedModel
from agentflow_protocols.chat import Json, Message, Usage

__all__ = ["CARRIERS", "asked", "simulated"]

_UNITS = {"task": "s", "sooner": "x"}

_NOTE = (
    "`task` is from its beginning to its answer, `sooner` how many times as soon as its calls alone would be"
    " done one after another. Right is a task whose calls were made as it tells, each once, in any order."
)

CARRIERS: Mapping[str, tuple[Callable[[Endpoint], Carrier], bool]] = {
    "sync": (Native, True),
    "native": (Native, False),
    "cml_chat": (CmlChat, False),
    "cml_text": (CmlText, False),
}
"""How a model is talked to, and whether it waits for all results of a message."""


def simulated(tasks: Sequence[Task], setting: str, pace: Pace, mode: str) -> Trials[Task]:
    """Return trials of the simulated model in a mode, on the virtual clock.

    Raises `UserError` for a mode that there is not.
    """
    if mode not in MODES:
        raise UserError(f"--carrier {mode}: of the simulated model allowed are {', '.join(MODES)}")

    async def solve(context: Context[object], task: Task) -> Score:
        async with Runtime() as runtime:  # one of its own: a task is done as a whole, or not at all
            taken = await simulate(runtime, task, pace, mode)
        context.budget.charge(Usage(taken.input_tokens, requests=taken.requests), 0.0)
        known = task.known(setting, int(pace.tps), mode)
        beyond = None if known is None else taken.seconds - known
        return Score(True, {**_times(task, taken.seconds), "beyond the rule": beyond})

    about = {"model": "simulated", "setting": setting, "tps": f"{pace.tps:g}", "carrier": mode}
    units = {**_UNITS, "beyond the rule": "s"}
    return Trials(
        "asynclm", about, _cases(tasks), solve, concurrency=1, clock="virtual", units=units, note=_NOTE
    )


def asked(tasks: Sequence[Task], model: AskedModel, carrier: str, concurrency: int) -> Trials[Task]:
    """Return trials of a model on a carrier; its tools take their time and say `done`.

    Raises `UserError` for a carrier that there is not, and for a model that can't be asked.
    """
    if carrier not in CARRIERS:
        raise UserError(f"--carrier {carrier}: allowed are {', '.join(CARRIERS)}")
    carrying, waits = CARRIERS[carrier]
    way = carrying(model.endpoint())

    async def solve(context: Context[object], task: Task) -> Score:
        agent = Agent(way, tools=_tools(task, waits=waits), name="asynclm")
        began = context.clock.time()
        result = await context.run(agent, task.question, key="task")
        seconds = context.clock.time() - began
        made = _made(task, result.messages)
        wanted = Counter(_said(call.tool, call.arguments) for call in task.calls)
        found = Counter(made)
        fault = None if found == wanted else "calls missing" if wanted - found else "further calls"
        figures = {
            **_times(task, seconds),
            "missing": (wanted - found).total(),
            "further": (found - wanted).total(),
        }
        return Score(fault is None, figures, fault, {"question": task.question, "made": list(made)})

    about = {"model": model.name, "carrier": carrier, "settings": model.other_than(0.0)}
    return Trials(
        "asynclm",
        about,
        _cases(tasks),
        solve,
        concurrency=1 if model.scripted else concurrency,
        clock="virtual" if model.free else "wall",
        units=_UNITS,
        note=_NOTE,
    )


def _cases(tasks: Sequence[Task]) -> list[Case[Task]]:
    return [
        Case(task.id, task, {"kind": task.kind, "calls": len(task.calls)}, task.question) for task in tasks
    ]


def _times(task: Task, seconds: float) -> dict[str, float | bool | None]:
    alone = sum(call.exec_s for call in task.calls)
    return {"task": seconds, "sooner": alone / seconds if seconds else None}


def _said(tool: str, arguments: Mapping[str, Json]) -> str:
    return f"{tool}({json.dumps(arguments, sort_keys=True, ensure_ascii=False)})"


def _made(task: Task, messages: Sequence[Message]) -> list[str]:
    """Return the calls of a conversation to the task's tools, in the order in which they were written."""
    names = {call.tool for call in task.calls}
    made: list[str] = []
    for call in (call for message in messages for call in message.calls if call.name in names):
        try:
            arguments = json.loads(call.arguments)
        except ValueError:
            arguments = {"unreadable": call.arguments}
        made.append(_said(call.name, arguments))
    return made


def _tools(task: Task, *, waits: bool) -> list[Tool[..., Awaitable[object]]]:
    """Return a tool for each name that the task calls; a call that the task tells takes its time."""
    by_name: dict[str, list[TaskCall]] = {}
    for call in task.calls:
        by_name.setdefault(call.tool, []).append(call)
    return [_tool(name, calls, waits=waits) for name, calls in by_name.items()]


def _tool(name: str, calls: Sequence[TaskCall], *, waits: bool) -> Tool[..., Awaitable[object]]:
    seconds = {_said(name, call.arguments): call.exec_s for call in calls}
    usual = max(seconds.values())
    names = dict.fromkeys(argument for call in calls for argument in call.arguments)
    required = [argument for argument in names if all(argument in call.arguments for call in calls)]
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {argument: {} for argument in names},
        "required": required,
    }

    async def work(context: object, arguments: dict[str, Json]) -> object:
        await asyncio.sleep(seconds.get(_said(name, arguments), usual))
        return "done"

    return Tool.from_schema(
        name,
        f"Do {name.replace('_', ' ')}.",
        schema,
        work,
        reply="wait" if waits else "auto",
        idempotent=True,
    )
