"""AsyncHow's tasks through a real Agent on the virtual clock: each must take its known optimum.

The model is the rule-based planner (no LLM): what is proved is that calls, waits and
interrupts cost no time of their own, not that anybody plans well. Without `--data`
the 24 questions of the project's own example stand in.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentflow.errors import UserError
from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped
from agentflow_protocols.duration import format_seconds, seconds_range

__all__ = ["ASYNCHOW", "Task", "read_tasks", "wording"]

_SAMPLE = Path(__file__).parents[3] / "examples/kitchen/questions.jsonl"
_TOLERANCE_S = 0.001


@dataclass(frozen=True, slots=True)
class Task:
    """One question: step texts, their seconds (the high ends), order, and the gold answer."""

    id: str
    title: str
    texts: Sequence[str]
    seconds: Sequence[float]
    edges: Sequence[tuple[int, int]]
    optimal_s: tuple[float, float]


def read_tasks(path: Path) -> list[Task]:
    """Return the tasks of a JSON Lines file, or of `async.jsonl` in a folder.

    Raises `UserError` with the line of what is no task.
    """
    file = path / "async.jsonl" if path.is_dir() else path
    tasks: list[Task] = []
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        try:
            data = json.loads(line)
            steps = data["steps"]
            tasks.append(
                Task(
                    data["id"],
                    data["title"],
                    [step["text"] for step in steps],
                    [float(step["seconds"][1]) for step in steps],
                    [(int(a), int(b)) for a, b in data["edges"]],
                    (float(data["optimal_seconds"][0]), float(data["optimal_seconds"][1])),
                )
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UserError(f"{file}:{number}: no task: {type(error).__name__}: {error}") from None
    return tasks


def wording(task: Task) -> str:
    """Return the question as it is put to a model, as `examples/kitchen.yaml` words it.

    Durations are the high ends of the record's seconds, in words: eight of AsyncHow's
    own words, such as "2 days 6 hours", say more than its seconds, which count.
    """
    lines = [f"Task: {task.title.removeprefix('How to ')}."]
    numbered = zip(task.texts, task.seconds, strict=True)
    lines += [f"{i}. {text} ({format_seconds(seconds)})" for i, (text, seconds) in enumerate(numbered, 1)]
    lines += [f"Step {a} must precede step {b}." for a, b in task.edges]
    if not task.edges:
        lines.append("All steps can run in parallel.")
    lines.append(
        "What is the shortest possible time, when every step must be done and any number of them"
        " can be done at once? Put the answer in double quotes."
    )
    return "\n".join(lines)


def _measure(setting: Setting) -> Sequence[Figure]:
    from agentflow.runtime.loop import new_loop, run_in

    path = setting.data or _SAMPLE
    if not path.exists():
        raise Skipped("no tasks: give --data or set AGENTFLOW_ASYNCHOW")
    tasks = read_tasks(path)
    if setting.quick:
        tasks = tasks[:: max(1, len(tasks) // 100)]
    began = time.perf_counter()
    took = run_in(lambda: new_loop("virtual"), _work(tasks))
    wall = time.perf_counter() - began
    off = [abs(seconds - task.optimal_s[1]) for task, (seconds, _) in zip(tasks, took, strict=True)]
    right = sum(_overlaps(answer, task) for task, (_, answer) in zip(tasks, took, strict=True))
    gain = sum(sum(task.seconds) / task.optimal_s[1] for task in tasks) / len(tasks)
    note = "the project's own sample" if setting.data is None else path.name
    return [
        Figure("tasks", len(tasks), note=note),
        Figure("in the known time", sum(each <= _TOLERANCE_S for each in off), bar=Bar("==", len(tasks))),
        Figure("farthest from it", max(off), "s"),
        Figure("answers that overlap the gold one", right),
        Figure("one after another / together", gain, "x", note="mean"),
        Figure("wall time a task", wall / len(tasks) * 1000, "ms"),
    ]


async def _work(tasks: Sequence[Task]) -> list[tuple[float, str]]:
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
            result = await runtime.run(agent, wording(task))
            took.append((result.virtual_s or 0.0, result.output))
    return took


def _overlaps(answer: str, task: Task) -> bool:
    quoted = re.findall(r'"([^"\n]+)"', answer)
    if not quoted:
        return False
    low, high = seconds_range(quoted[-1])
    return low <= task.optimal_s[1] and high >= task.optimal_s[0]


ASYNCHOW = Measure(
    "asynchow", "AsyncHow's tasks through an Agent on the virtual clock, each in its known time.", _measure
)
