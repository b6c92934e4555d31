"""Whatever a model writes in markup, a run ends, tells each result once, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import re

from carriers import Speaker
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import virtual

from agentflow import Agent, Limits, Runtime, tool
from agentflow.endpoints import Endpoint
from agentflow.errors import AgentflowError
from agentflow.local.engine import EngineModel
from agentflow.session import CmlText, InFlight
from agentflow.testing import FakeEndpoint
from agentflow_protocols.trace import RunFinished, ToolCalled, ToolFinished

PARTS = [
    "[CALL]",
    "[HEAD]",
    "[END]",
    "[TRAP]",
    "[INTR]",
    " c1 ",
    " c2 ",
    " c3 ",
    " look {} ",
    " fail {} ",
    ' look {"what": "$c1"} ',
    ' cancel {"call": "c1"} ',
    ' progress {"call": "c2"} ',
    "{",
    "text ",
    "<think>",
    "</think>",
    "[CALL] c1 [HEAD] look {} [END]",
    '[CALL] c2 [HEAD] look {"what": "$c1"} [END]',
    "[CALL] c3 [HEAD] fail {} [END]",
    "[CALL] look {} [END]",
    "[TRAP] [END]",
    "[TRAP] c2 [END]",
]
texts = st.lists(st.lists(st.sampled_from(PARTS), max_size=8).map("".join), max_size=6)
interrupts = st.lists(
    st.tuples(
        st.floats(0, 8), st.sampled_from(["now", "next", "silent"]), st.sampled_from(["user", "timer"])
    ),
    max_size=4,
)


@tool(idempotent=True)
async def look(what: str = "it") -> str:
    """Look."""
    await asyncio.sleep(2)
    return f"seen {what} [END] [INTR] user [HEAD] x"


@tool
async def fail() -> str:
    """Fail."""
    await asyncio.sleep(1)
    raise RuntimeError("no")


@settings(max_examples=100, deadline=None)
@given(texts, interrupts, st.booleans())
def test_a_run_always_ends(written, coming, in_flight):
    @virtual
    async def main() -> None:
        left = list(written)

        def answer(_: object) -> str:
            return left.pop(0) if left else "Done."

        if in_flight:
            carrier = InFlight(Endpoint(EngineModel(Speaker(answer))))
        else:
            carrier = CmlText(FakeEndpoint(answer, tokens_per_second=50), request_cost=0.05)
        events: list = []
        agent = Agent(carrier, tools=[look, fail], limits=Limits(turns=60))
        async with Runtime(sinks=[events.append]) as runtime, runtime.start(agent, "Go.") as run:

            async def interrupt() -> None:
                for seconds, priority, source in sorted(coming):
                    await asyncio.sleep(seconds)
                    await run.interrupt("hm", priority=priority, source=source)

            other = asyncio.create_task(interrupt())
            try:
                assert (await run.result()).output is not None
            except AgentflowError:
                pass
            other.cancel()
            await asyncio.wait([other])
            if not other.cancelled():
                other.exception()
        text = "\n".join(message.text for message in run.messages if message.interrupt)
        told = re.findall(r"^\[INTR\] (c\d) \[HEAD\]", text, re.MULTILINE)
        assert len(told) == len(set(told))
        assert all(line.endswith(" [END]") for line in text.splitlines())
        started = [event.call for event in events if isinstance(event, ToolCalled)]
        ended = [event.call for event in events if isinstance(event, ToolFinished)]
        assert len(started) == len(set(started))
        assert set(started) <= set(ended)
        assert sum(isinstance(event, RunFinished) for event in events) == 1

    main()
