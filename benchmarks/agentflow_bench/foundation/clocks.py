"""The same work on the wall clock and on the virtual one: both must tell the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["CLOCKS"]

_QUESTION = """1. Heat (0.4 seconds)
2. Chop (0.2 seconds)
3. Boil (0.5 seconds)
4. Serve (0.1 seconds)
Step 1 must precede step 3.
Step 2 must precede step 3.
Step 3 must precede step 4."""


def _clocks(setting: Setting) -> Sequence[Figure]:
    from agentflow.runtime.loop import new_loop, run_in

    wall = run_in(lambda: new_loop("wall"), _work())
    virtual = run_in(lambda: new_loop("virtual"), _work())
    return [
        Figure(
            "wall beyond virtual", (wall - virtual) * 1000, "ms", Bar("<=", virtual * 50 + 10), "5 % + 10 ms"
        ),
        Figure("virtual", virtual, "s"),
        Figure("wall", wall, "s"),
    ]


async def _work() -> float:
    from agentflow.agent import Agent
    from agentflow.builtin.planner import PlannerModel
    from agentflow.endpoints import Endpoint
    from agentflow.runtime import Runtime
    from agentflow.tools import tool
    from agentflow_protocols.duration import parse_duration

    @tool(estimate=lambda duration: duration)
    async def do_step(text: str, duration: str) -> str:
        await asyncio.sleep(parse_duration(duration))
        return text

    agent = Agent(Endpoint(PlannerModel(first_token_s=0.1, tokens_per_second=200)), tools=[do_step])
    loop = asyncio.get_running_loop()
    async with Runtime() as runtime:
        began = loop.time()
        await runtime.run(agent, _QUESTION)
        return loop.time() - began


CLOCKS = Measure(
    "clocks", "One plan with a model's delays, on the wall clock and on the virtual one.", _clocks
)
