"""Plain requests of a run: journalled, counted, told as events."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentflow import Context, Endpoint, Message, Runtime
from agentflow.endpoints.talk import Talk
from agentflow.errors import AgentflowError, BadResponse
from agentflow.testing import FakeEndpoint, LoopbackServer
from agentflow_protocols.trace import Event, ModelCalled, ModelFinished


async def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    model = FakeEndpoint(lambda request: request.messages[-1].text.upper())
    broken = True
    events: list[Event] = []

    async def chat(context: Context[object], words: list[str]) -> list[str]:
        talk = Talk(model, context)
        said = [Message("system", "Shout.")]
        for word in words:
            said.append(Message("user", word))
            said.append(Message("assistant", await talk.ask(said)))
        if broken:
            raise RuntimeError("the light went out")
        return talk.replies

    async with Runtime(tmp_path / "talk.db", sinks=[events.append]) as runtime:
        with pytest.raises(RuntimeError):
            await runtime.run(chat, ["a", "b"], key="k")
    broken = False
    async with Runtime(tmp_path / "talk.db") as runtime:
        result = await runtime.run(chat, ["a", "b"], key="k")
    assert result.output == ["A", "B"]
    assert len(model.requests) == 2
    assert result.usage.requests == 2
    assert [type(event) for event in events if isinstance(event, ModelCalled | ModelFinished)] == [
        ModelCalled,
        ModelFinished,
    ] * 2


async def test_other_messages_are_refused(tmp_path: Path) -> None:
    word = "a"

    async def chat(context: Context[object], input: None) -> str:
        talk = Talk(model, context)
        await talk.ask([Message("user", word)])
        raise RuntimeError

    model = FakeEndpoint(lambda request: "yes")
    async with Runtime(tmp_path / "talk.db") as runtime:
        with pytest.raises(RuntimeError):
            await runtime.run(chat, None, key="k")
        word = "b"
        with pytest.raises(AgentflowError, match="ask/1"):
            await runtime.run(chat, None, key="k")


async def test_it_needs_no_run() -> None:
    model = FakeEndpoint(lambda request: "yes")
    talk = Talk(model)
    assert await talk.ask([Message("user", "?")]) == "yes"
    assert talk.usage.requests == 1


async def test_who_says_nothing_may_be_told_as_silent() -> None:
    with LoopbackServer(lambda body: "") as server:
        async with Endpoint("m", base_url=server.url, retry=1) as endpoint:
            with pytest.raises(BadResponse, match="empty"):
                await Talk(endpoint).ask([Message("user", "?")])
            assert await Talk(endpoint, silent=True).ask([Message("user", "?")]) == ""
