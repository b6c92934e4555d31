"""From a plan's text to a Plan that runs, and from a text to the plan in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias, cast

from agentflow.builtin.question import read_question
from agentflow.errors import UserError
from agentflow.plan.graph import Graph
from agentflow.plan.plan import Plan
from agentflow.plan.step import Step
from agentflow_protocols.plan import (
    PlanFault,
    PlanLines,
    PlanStep,
    PlanText,
    PlanTextError,
    from_json,
    parse_plan,
    read_json,
)

if TYPE_CHECKING:
    from agentflow.agent import Agent

__all__ = [
    "Do",
    "arguments",
    "draw",
    "known_plan",
    "read_lines",
    "read_structured",
    "read_written",
    "shortest",
    "sleep_step",
    "step_names",
]

Do: TypeAlias = "Agent[object, object] | Callable[[str, float], Awaitable[object]]"
"""What a step does: an agent that is given its text, or a function of its text and its seconds."""


async def sleep_step(text: str, seconds: float) -> str:
    """Take the time of a step on the run's clock, and do nothing else."""
    await asyncio.sleep(seconds)
    return f"done: {text}"


def draw(text: PlanText, do: Do | None = None, *, name: str = "plan") -> Plan:
    """Return a Plan of a plan's text, each step of which is done by `do` (default: `sleep_step`)."""
    plan = Plan(name=name)
    names = step_names(text.names)
    after = text.after()
    steps: dict[str, Step[object]] = {}
    for step in text.steps:
        run = cast("Callable[..., Awaitable[object]]", do or sleep_step)
        steps[step.name] = plan.step(run, *arguments(step, do)).options(
            name=names[step.name], estimate=step.seconds[1]
        )
    for step in text.steps:
        steps[step.name].options(after=[steps[one] for one in after[step.name]])
    return plan


def arguments(step: PlanStep, do: Do | None) -> tuple[object, ...]:
    """Return what a step's function is called with."""
    words = step.text or f"step {step.name}"
    return (words,) if hasattr(do, "__run__") else (words, step.seconds[1])


def step_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each name of a text one that a Plan's step can have: `3` is `step_3`."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = name.replace("-", "_")
        made = f"step_{plain}" if plain[0].isdigit() else plain
        number = 2
        while made in taken:
            made, number = f"{plain if not plain[0].isdigit() else f'step_{plain}'}_{number}", number + 1
        taken.add(made)
        found[name] = made
    return found


def shortest(text: PlanText) -> tuple[float, float]:
    """Return the shortest time for a plan in seconds, the fewest and the most."""
    place = {name: number for number, name in enumerate(text.names)}
    after = [[place[one] for one in earlier] for earlier in text.after().values()]
    ends = [Graph(text.names, after, [s.seconds[i] for s in text.steps]).makespan for i in (0, 1)]
    return ends[0], ends[1]


def known_plan(task: str) -> PlanText | None:
    """Return the plan that a task states: numbered steps with durations, and their order; None without."""
    try:
        question = read_question(task)
    except UserError:
        return None
    return None if question is None else question.plan()


def read_structured(text: str, wanted: Iterable[str] = ()) -> PlanText:
    """Return the plan of an answer in JSON. Raises `PlanTextError` with all its faults."""
    value = read_json(text)
    if value is None:
        raise PlanTextError(PlanFault('there is no JSON; expected {"steps": [{"name", "text", …}]}'))
    return from_json(value, list(wanted))


def read_lines(text: str) -> PlanText:
    """Return the plan of an answer that is a line a step. Raises `PlanTextError`."""
    lines = PlanLines()
    lines.feed(text)
    lines.end()
    return lines.plan()


def read_written(text: str) -> PlanText:
    """Return the plan of an answer of steps and a graph, the last in a fence where there is one."""
    blocks: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
            if inside:
                blocks.append([])
        elif inside:
            blocks[-1].append(line)
    plans = [block for block in blocks if any(c.isdigit() for line in block for c in line)]
    return parse_plan("\n".join(plans[-1]) if plans else text)
