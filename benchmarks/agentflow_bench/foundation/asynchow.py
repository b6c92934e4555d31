"""AsyncHow's tasks through a real Agent on the virtual clock: each must take its known optimum.

The model is the rule-based planner (no LLM): what is proved is that calls, waits and
interrupts cost no time of their own, not that anybody plans well. Without `--data`
the 24 questions of the project's own example stand in.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

from agentflow.plan.prompts import question_text
from agentflow_bench.asynchow.questions import Question, read_questions
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.duration import seconds_range

__all__ = ["ASYNCHOW"]

_TOLERANCE_S = 0.001


def _measure(setting: Setting) -> Sequence[Figure]:
    from agentflow.runtime.loop import new_loop, run_in

    path = setting.data
    if path is not None and (path / "async.jsonl").exists():
        path /= "async.jsonl"
    tasks = read_questions(path)
    if setting.quick:
        tasks = tasks[:: max(1, len(tasks) // 100)]
    began = time.perf_counter()
    took = run_in(lambda: new_loop("virtual"), _work(tasks))
    wall = time.perf_counter() - began
    off = [abs(seconds - task.gold[1]) for task, (seconds, _) in zip(tasks, took, strict=True)]
    right = sum(_overlaps(answer, task) for task, (_, answer) in zip(tasks, took, strict=True))
    gain = sum(sum(step.seconds[1] for step in task.plan.steps) / task.gold[1] for task in tasks) / len(tasks)
    note = "the project's own sample" if path is None else path.name
    return [
        Figure("tasks", len(tasks), note=note),
        Figure("in the known time", sum(each <= _TOLERANCE_S for each in off), bar=Bar("==", len(tasks))),
        Figure("farthest from it", max(off), "s"),
        Figure("answers that overlap the gold one", right),
        Figure("one after another / together", gain, "x", note="mean"),
        Figure("wall time a task", wall / len(tasks) * 1000, "ms"),
    ]


async def _work(tasks: Sequence[Question]) -> list[tuple[float, str]]:
    """Return virtual seconds and answer of each task, in one Runtime, one after another."""
    from agentflow.agent import Agent
    from agentflow.endpoints import Endpoint
    from agentflow.runtime import Runtime
    from agentflow.tools import tool

    @tool(idempotent=True)
    async def do_step(step: int, text: str, duration: str) -> str:
        await asyncio.sleep(seconds_range(duration)[1])
        return f"step {step} is done"

    agent = Agent(Endpoint("builtin:planner"), name="planner", tools=[do_step])
    took: list[tuple[float, str]] = []
    async with Runtime() as runtime:
        for task in tasks:
            result = await runtime.run(agent, question_text(task.task, task.plan))
            took.append((result.virtual_s or 0.0, result.output))
    return took


def _overlaps(answer: str, task: Question) -> bool:
    quoted = re.findall(r'"([^"\n]+)"', answer)
    if not quoted:
        return False
    low, high = seconds_range(quoted[-1])
    return low <= task.gold[1] and high >= task.gold[0]


ASYNCHOW = Measure(
    "asynchow", "AsyncHow's tasks through an Agent on the virtual clock, each in its known time.", _measure
)
