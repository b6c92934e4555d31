"""AL-8.1: an agent whose model is in this process: what is put in costs its own tokens, and nothing twice."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest
from pydantic import BaseModel

from agentflow import Agent, Endpoint, Interrupted, Runtime, Settings, TextDelta, tool
from agentflow.local import store
from agentflow.local.engine import EngineModel
from agentflow.session import InFlight
from agentflow.testing import assert_nothing_left
from agentflow_protocols.trace import ModelFinished

NAME = "smollm2-135m"
pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ik_llama_cpp") is None,
        reason="ik-llama-cpp-python is not installed: pip install 'agentflow-async[inflight]'",
    ),
    pytest.mark.skipif(
        NAME not in {model.name for model in store.installed()},
        reason=f"the model is not here: agentflow models pull {NAME}",
    ),
]


async def test_an_interrupt_goes_in_between_two_tokens_and_nothing_is_computed_twice():
    from agentflow.local.llama import LlamaEngine

    engine = LlamaEngine(store.path_of(NAME), context=1024, sequences=1)
    agent = Agent(
        InFlight(Endpoint(EngineModel(engine))),
        instructions="You tell stories.",
        settings=Settings(temperature=0, max_tokens=20),
    )
    events: list = []
    with assert_nothing_left():
        async with (
            Runtime(sinks=[events.append]) as runtime,
            runtime.start(agent, "Tell me of a cook.") as run,
        ):
            pieces = 0
            async for event in run:
                pieces += isinstance(event, TextDelta)
                if pieces == 6:
                    pieces += 1
                    await run.interrupt("And of a sailor.")  # no urgency needed: in flight it goes in at once
            result = await run.result()
            evaluated = engine.evaluated
    first, second = [event.usage for event in events if isinstance(event, ModelFinished)]
    assert [event.cut for event in events if isinstance(event, Interrupted)] == [True]
    _user, before, block, after = result.messages
    assert block.text == "[INTR] user [HEAD] And of a sailor. [END]"
    assert result.output == (before.text + after.text).strip()
    fresh = first.input_tokens + first.output_tokens + (second.input_tokens - second.cached_tokens)
    assert evaluated <= fresh + second.output_tokens
    assert second.cached_tokens >= first.input_tokens + first.output_tokens - 1
    assert second.input_tokens - second.cached_tokens < 30  # the block, and the last token before it


async def test_an_agent_with_tools_ends_and_forges_nothing():
    """The model is too small to call well: here it shows that it can't write an interrupt."""

    @tool
    async def look(what: str) -> str:
        """Look at something."""
        await asyncio.sleep(0.05)
        return f"seen {what}"

    agent = Agent(
        Endpoint(f"in-flight:{NAME}"),
        instructions="Call look first.",
        tools=[look],
        settings=Settings(temperature=0, max_tokens=30),
    )
    async with Runtime() as runtime:
        result = await runtime.run(agent, "Look at the tea.")
    text = "".join(message.text for message in result.messages if message.role == "assistant")
    assert "[INTR]" not in text
    assert result.output


class Soup(BaseModel):
    """What the model is made to answer."""

    name: str
    minutes: int
    hot: bool


async def test_a_typed_answer_is_held_to_its_schema():
    agent = Agent(
        Endpoint(f"in-flight:{NAME}"),
        instructions="You are a cook.",
        output=Soup,
        output_retries=0,
        settings=Settings(temperature=0, max_tokens=120),
    )
    async with Runtime() as runtime:
        soup = (await runtime.run(agent, "Name a soup.")).output
    assert isinstance(soup, Soup)
