"""Many sessions at once on one event loop: each result told once, in the order in which they came."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence

from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.asynclm.mind import is_placeholder
from agentflow_bench.asynclm.simulate import MODES
from agentflow_bench.asynclm.task import Task, TaskCall, pace
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import Message
from agentflow_protocols.trace import Event, ToolFinished

__all__ = ["CROWD"]

_CALLS = 10
_MODES = ("native", "native_refs", "cml_chat", "cml_text", "in_flight")
_SOURCE = re.compile(r"\[INTR\] (\S+) \[HEAD\]")


def _crowd(setting: Setting) -> Sequence[Figure]:
    each = 20 if setting.quick else 200
    figures: list[Figure] = []
    for mode in _MODES:
        wrong = run_in(lambda: new_loop("virtual"), _sessions(mode, each))
        what = f"{mode}: sessions with a lost, doubled or misordered result"
        figures.append(Figure(what, wrong, "", Bar("==", 0)))
    return [Figure("sessions at once", each, note=f"on each carrier, {_CALLS} calls each"), *figures]


async def _sessions(mode: str, count: int) -> int:
    """Run `count` sessions at once, and return how many went wrong."""
    finished: dict[str, list[str]] = {}

    def sink(event: Event) -> None:
        if isinstance(event, ToolFinished) and event.name != "wait":
            finished.setdefault(event.run, []).append(event.call)

    rng = random.Random(11)
    async with Runtime(sinks=[sink]) as runtime:

        async def one(number: int) -> bool:
            task = _task(number, rng)
            made = MODES[mode](task, pace("local", 100))
            result = await runtime.run(made.agent, made.question)
            return _right(result.messages, finished[result.run_id])

        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(one(number)) for number in range(count)]
    return sum(not run.result() for run in runs)


def _task(number: int, rng: random.Random) -> Task:
    calls = [
        TaskCall(
            f"c{i}", "look", {"n": i}, 8, round(rng.uniform(0.02, 1.5), 3), [f"c{i - 4}"] if i >= 4 else []
        )
        for i in range(_CALLS)
    ]
    return Task(f"crowd-{number}", "crowd", "Go.", calls, 10)


def _right(messages: Sequence[Message], finished: Sequence[str]) -> bool:
    """Return whether each call that ended is told once, and the interrupts in the order of ending."""
    waits = {call.id for message in messages for call in message.calls if call.name == "wait"}
    direct = [
        str(message.call_id)
        for message in messages
        if message.role == "tool" and message.call_id not in waits and not is_placeholder(message.text)
    ]
    texts = [message.text for message in messages if message.role == "user"]
    put_in = [source for text in texts for source in _SOURCE.findall(text)]
    if len(finished) != _CALLS or sorted(direct + put_in) != sorted(finished):
        return False
    order = [finished.index(source) for source in put_in]
    return order == sorted(order)


CROWD = Measure("crowd", "Many sessions at once on each carrier: every result once, and in order.", _crowd)
