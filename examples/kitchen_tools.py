"""The one tool of the kitchen: it takes as long as it says."""

from __future__ import annotations

from agentflow import Context, tool
from agentflow_protocols.duration import seconds_range


def _longest(duration: str) -> float:
    return seconds_range(duration)[1]


@tool(estimate=_longest, idempotent=True)
async def do_step(context: Context[None], step: int, text: str, duration: str) -> str:
    """Do one step of the plan.

    Args:
        step: The step's number.
        text: What is to be done.
        duration: How long it takes, in words.
    """
    seconds = _longest(duration)
    await context.sleep(seconds / 2)
    context.progress({"percent": 50})
    await context.sleep(seconds / 2)
    return f"step {step} is done: {text}"
