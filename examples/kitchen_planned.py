"""Leek soup and rolls, planned by a model and cooked while the plan is still being written.

    python examples/kitchen_planned.py

The plan is scripted: no LLM, no key, no network. Name a model as the first argument, such as
`openai:gpt-5-mini`, to have it planned anew. Time is virtual: it takes no time at all.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agentflow import Endpoint, Runtime
from agentflow.plan import Planner
from agentflow.testing import VirtualClock
from agentflow_protocols.trace import Event, StepFinished, StepStarted

SCRIPT = Path(__file__).with_name("kitchen") / "plan_replies.yaml"
TASK = "Make leek soup with fresh bread rolls, with hands enough for any number of steps at once."


def show(event: Event) -> None:
    """Print when a step begins and ends."""
    if isinstance(event, StepStarted | StepFinished):
        what = "begins" if isinstance(event, StepStarted) else "is done"
        print(f"{event.time:7.1f} s  {event.key} {what}")


async def cook(model: str) -> float:
    """Have supper planned and cooked, and return the seconds that it took."""
    planner = Planner(Endpoint(model), method="plag_run")
    async with Runtime(sinks=[show]) as runtime:
        result = await runtime.run(planner, TASK)
    return result.virtual_s or 0.0


if __name__ == "__main__":
    with VirtualClock() as clock:
        seconds = clock.run(cook(sys.argv[1] if len(sys.argv) > 1 else f"scripted:{SCRIPT}"))
    print(f"\nServed after {seconds / 60:.1f} minutes; one step after another takes 61.")
