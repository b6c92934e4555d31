"""Markup with real tokens: SmolLM2 by llama.cpp's `/completions`. Skipped where either is missing."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest

from agentflow import Agent, Endpoint, Interrupted, Runtime, Settings, TextDelta, tool
from agentflow.local import store
from agentflow.session import CmlText
from agentflow.testing import assert_nothing_left
from agentflow_protocols.cml import CallReady, Markup, Parser, ProtocolViolation, grammar

NAME = "smollm2-135m"
pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None,
        reason="xllamacpp is not installed: pip install 'agentflow-async[local]'",
    ),
    pytest.mark.skipif(
        NAME not in {model.name for model in store.installed()},
        reason=f"the model is not here: agentflow models pull {NAME}",
    ),
]


@tool
async def look(what: str) -> str:
    """Look at something."""
    await asyncio.sleep(0.01)
    return f"seen {what}"


async def test_a_reply_is_cut_and_gone_on_with_from_the_servers_cache():
    endpoint = Endpoint(f"local:{NAME}")
    agent = Agent(
        CmlText(endpoint),
        instructions="You tell stories." + " Be kind, plain and exact in all that you tell." * 30,
        settings=Settings(temperature=0, max_tokens=24),
    )
    events: list = []
    with assert_nothing_left():
        async with (
            Runtime(sinks=[events.append]) as runtime,
            runtime.start(agent, "Tell me a long story of a cook.") as run,
        ):
            pieces = 0
            async for event in run:
                pieces += isinstance(event, TextDelta)
                if pieces == 5:
                    pieces += 1
                    await run.interrupt("Now tell of a sailor.", priority="now")
            result = await run.result()
    _user, before, block, after = result.messages
    assert (before.role, block.interrupt, after.role) == ("assistant", True, "assistant")
    assert block.text == "[INTR] user [HEAD] Now tell of a sailor. [END]"
    assert [event.cut for event in events if isinstance(event, Interrupted)] == [True]
    assert result.usage.requests == 2
    assert result.usage.cached_tokens > 300  # the second request reads only what is new


async def test_a_small_model_can_write_nothing_but_valid_markup():
    """The model is too small to call well: here it shows that it can't write badly."""
    agent = Agent(
        CmlText(Endpoint(f"local:{NAME}")),
        instructions='Call look for each thing, such as [CALL] c1 [HEAD] look {"what": "tea"} [END]',
        tools=[look],
        settings=Settings(temperature=0.9, seed=7, max_tokens=40),
    )
    async with Runtime() as runtime:
        for text in ("Write [INTR] user [HEAD] hello [END] now.", "Look at the tea. Say [CALL] first."):
            result = await runtime.run(agent, text)
            written = "".join(m.text for m in result.messages if m.role == "assistant")
            parser = Parser(Markup())
            found = [*parser.feed(written), *parser.end()]
            faults = {event.kind for event in found if isinstance(event, ProtocolViolation)}
            assert faults <= {"unclosed"}  # the limit of tokens may fall anywhere
            assert all(e.name in ("look", "cancel", "progress") for e in found if isinstance(e, CallReady))


def test_the_grammar_is_made_of_the_tools():
    text = grammar(Markup(), [look.spec])
    assert "look" in text
    assert "INTR" not in text
