"""An agent that people, a timer and a stream interrupt, to be killed at any time.

Told a folder. Each interrupt is a line of `sent` before it is sent, and a line of
`recorded` once `run.interrupt` has returned. A second process in the same folder goes
on and, in the end, compares. Prints `right` or what is wrong.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import Counter
from pathlib import Path

from agentflow import Agent, Context, Run, Runtime, Timer, tool
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.chat import ChatRequest, Message

FOLDER = Path(sys.argv[1])
SENT = 60


def note(name: str, line: str) -> None:
    """Append a line in one write, which a kill cannot tear."""
    file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def lines(name: str) -> list[str]:
    path = FOLDER / name
    return path.read_text().splitlines() if path.exists() else []


@tool(reply="interrupt", idempotent=True)
async def watch() -> str:
    """Watch for ever."""
    await asyncio.sleep(3600)
    return ""


def reply(request: ChatRequest) -> ScriptedReply:
    text = "\n".join(message.text for message in request.messages)
    if "[HEAD] the end [END]" in text:
        return ScriptedReply(text="all done")
    if len(request.messages) < 3:
        return ScriptedReply(calls=[ScriptedCall("watch"), ScriptedCall("wait")])
    return ScriptedReply(text="Go on. " * (len(request.messages) % 7), calls=[ScriptedCall("wait")])


async def prices(context: Context[object]):
    price = 0
    while True:
        await asyncio.sleep(0.002)
        price += 1
        yield {"price": price}


async def send(run: Run[str]) -> None:
    for number in range(len(lines("sent")), SENT):
        note("sent", str(number))
        priority = ("next", "now", "silent")[number % 3]
        await run.interrupt(f"no {number}", source=f"user{number % 4}", priority=priority)
        note("recorded", str(number))
        await asyncio.sleep(0.004)
    await run.interrupt("the end")


async def main() -> None:
    model = FakeEndpoint(reply, tokens_per_second=2000)
    agent = Agent(model, tools=[watch], on_finish="cancel", limits=None).listen(prices, name="prices")
    agent = agent.listen(Timer(0.003, "tick"), name="timer", priority="silent", policy="drop_oldest")
    agent.limits = agent.limits.__class__(turns=10_000)
    async with Runtime(FOLDER / "runs.db") as runtime, runtime.start(agent, "Go.", key="agent") as run:
        print("ready", flush=True)
        if run.status == "running":
            await send(run)
        result = await run.result()
    print(verdict(result.messages))


def verdict(messages: list[Message]) -> str:
    """Return `right`, or the first thing that is wrong."""
    told = "\n".join(message.text for message in messages if message.interrupt)
    seen = Counter(re.findall(r"\[INTR\] user\d \[HEAD\] no (\d+) \[END\]", told))
    twice = [number for number, times in seen.items() if times > 1]
    lost = [number for number in lines("recorded") if not seen[number]]
    if twice or lost:
        return f"twice: {twice}, lost: {lost}"
    if any(message.text.count("[INTR] prices") > 1 for message in messages):
        return "two of one stream went in together"
    found = [int(price) for price in re.findall(r'"price":(\d+)', told)]
    return "right" if found and messages[-1].text == "all done" else f"no stream: {messages[-1].text}"


asyncio.run(main())
