"""How soon the server sees that a session has cut a reply, on every carrier that speaks HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.runtime import Runtime
from agentflow.session import Carrier, CmlChat, CmlText, Native
from agentflow.testing import LoopbackServer, ScriptedReply
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import TextDelta

__all__ = ["CUT"]


def _answer(body: Mapping[str, Json]) -> ScriptedReply:
    if "Stop." in str(body):
        return ScriptedReply(text="Stopped.")
    return ScriptedReply(text="word " * 500, tokens_per_second=100)


async def _cut(server: LoopbackServer, carrier: Carrier) -> float:
    """Return the seconds from the interrupt to the disconnect that the server sees."""
    before = len(server.disconnects)
    async with Runtime() as runtime, runtime.start(Agent(carrier), "Go.") as run:
        async for event in run:
            if isinstance(event, TextDelta):
                await asyncio.sleep(0.02)
                began = time.monotonic()
                await run.interrupt("Stop.", priority="now")
                break
        await run.result()
    await server.until(lambda: len(server.disconnects) > before)
    left = server.disconnects[-1].left_at
    assert left is not None
    return left - began


async def _measure(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    rounds = 3 if setting.quick else 15
    with LoopbackServer(_answer) as server:
        endpoint = Endpoint("cut", base_url=server.url)
        for name, carrier in (
            ("native", Native(endpoint)),
            ("cml_chat", CmlChat(endpoint)),
            ("cml_text", CmlText(endpoint)),
        ):
            took = [await _cut(server, carrier) for _ in range(rounds)]
            longest = max(took) * 1000
            figures.append(Figure(f"{name}: seen within", longest, "ms", Bar("<=", 100), f"{rounds} times"))
    return figures


CUT = Measure("cut", "From an urgent interrupt to the disconnect that the server sees.", _measure)
