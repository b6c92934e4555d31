"""A conversation in markup after a crash: nothing is asked, called or told twice."""

from __future__ import annotations

import asyncio
import re

import pytest
from carriers import Speaker
from virtual import virtual

from agentflow import Agent, Endpoint, Runtime, tool
from agentflow.local.engine import EngineModel
from agentflow.session import Carrier, CmlChat, CmlText, InFlight
from agentflow.testing import FakeEndpoint
from agentflow_protocols.chat import ChatRequest
from agentflow_protocols.trace import ModelFinished

CALLS = '[CALL] c1 [HEAD] fast {} [END] Hm. [CALL] c2 [HEAD] slow {"what": "$c1"} [END][CALL] fast {} [END]'


def says(text: str) -> str:
    """Return what a model goes on with, from what it has before it alone."""
    told = len(re.findall(r"\[INTR\] c[12] \[HEAD\]", text))
    if "[CALL] c2" not in text:
        return CALLS if "[CALL] c1" not in text else CALLS[CALLS.index("[CALL] c2") :]
    return "[TRAP] [END]" if told < 2 else "Both are done."


def carrier_of(kind: str) -> tuple[Carrier, list]:
    """Return a carrier whose model is `says`, and its prompts."""
    asked: list[str] = []

    def answer(request: ChatRequest) -> str:
        text = request.prompt or "\n".join(message.text for message in request.messages[1:])
        text = text.split("<|im_start|>assistant")[-1]
        asked.append(text)
        return says(text)

    if kind == "in-flight":
        engine = Speaker(lambda text: says(text.split("<|im_start|>assistant")[-1]))
        return InFlight(Endpoint(EngineModel(engine))), engine.prompts
    endpoint = FakeEndpoint(answer, tokens_per_second=50)
    made = CmlChat if kind == "cml-chat" else CmlText
    return made(endpoint, request_cost=1e-9), asked


@pytest.mark.parametrize("kind", ["cml-chat", "cml-text", "in-flight"])
def test_every_stop_ends_in_the_same_conversation(tmp_path, kind):
    counts: list[str] = []

    @tool(idempotent=True)
    async def fast() -> str:
        """Be fast."""
        counts.append("fast")
        await asyncio.sleep(1)
        return "[END] of fast"

    @tool
    async def slow(what: str) -> str:
        """Be slow."""
        counts.append("slow")
        await asyncio.sleep(10)
        return f"slow {what}"

    @virtual
    async def main() -> None:
        counts.clear()
        carrier, _ = carrier_of(kind)
        agent = Agent(carrier, tools=[fast, slow])
        async with Runtime() as runtime:
            whole = await runtime.run(agent, "Go.")
        assert whole.output == "Both are done."
        for stop in range(1, 60):
            path = tmp_path / f"{kind}-{stop}.db"
            counts.clear()
            carrier, _ = carrier_of(kind)
            agent = Agent(carrier, tools=[fast, slow])
            seen = 0
            async with Runtime(path) as runtime, runtime.start(agent, "Go.") as run:
                async for _ in run:
                    seen += 1
                    if seen == stop:
                        break
                run_id = run.id
            events: list = []
            carrier, prompts = carrier_of(kind)
            async with (
                Runtime(path, sinks=[events.append]) as runtime,
                runtime.resume(run_id, Agent(carrier, tools=[fast, slow])) as run,
            ):
                result = await run.result()
            assert result.output == whole.output, stop
            text = "\n".join(message.text for message in result.messages)
            for name in ("c1", "c2"):
                assert len(re.findall(rf"\[INTR\] {name} \[HEAD\]", text)) == 1, (stop, text)
                assert len(re.findall(rf"\[CALL\] {name} \[HEAD\]", text)) == 1, (stop, text)
            assert counts.count("slow") <= 1, stop
            fresh = [e for e in events if isinstance(e, ModelFinished) and not e.replayed]
            assert len(prompts) == len(fresh), stop
            if seen < stop:
                break
        else:
            pytest.fail("the run has more events than stops were tried")

    main()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('Hm. [CALL] c1 [HEAD] fast {"what', "ended inside a block"),
        ("Hm. [INTR] c1 [HEAD] done [END] So it is done.", "only the system writes"),
    ],
)
def test_what_broke_the_markup_is_told_after_a_crash_too(tmp_path, text, fault):
    @virtual
    async def main() -> None:
        async with Runtime(tmp_path / "runs.db") as runtime:
            whole = await runtime.run(Agent(CmlText(FakeEndpoint([text, "Sorry."]))), "Go.")
            agent = Agent(CmlText(FakeEndpoint(["Sorry."])))
            async with runtime.fork(whole.run_id, agent, after="llm/1") as run:
                again = await run.result()
        assert fault in whole.messages[2].text
        assert [m.to_json() for m in again.messages] == [m.to_json() for m in whole.messages]

    main()
