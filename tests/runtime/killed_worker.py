"""Agents and steps that write down outside what they do, to be killed at any time.

Told a folder. Each effect is a line of `effects`, written before it counts as done;
each finished step is a line of `finished`, written after it was awaited. A second
process in the same folder goes on and then compares. Prints `right` or what is wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path

from agentflow import Agent, Context, Runtime, tool
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.chat import ChatRequest, Message

FOLDER = Path(sys.argv[1])
TURNS = 6


def note(name: str, line: str) -> None:
    """Append a line in one write, which a kill cannot tear."""
    file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def lines(name: str) -> list[str]:
    path = FOLDER / name
    return path.read_text().splitlines() if path.exists() else []


@tool(idempotent=True)
async def look(n: int) -> str:
    """Look, which may be done again."""
    note("effects", f"look {n}")
    await asyncio.sleep(0.005)
    return f"seen {n}"


@tool
async def pay(n: int) -> str:
    """Pay, which may not."""
    note("effects", f"pay {n}")
    await asyncio.sleep(0.005)
    return f"paid {n}"


def reply(request: ChatRequest) -> ScriptedReply:
    turn = sum(message.role == "assistant" for message in request.messages) + 1
    note("requests", f"{request.idempotency_key} {len(request.messages)}")
    if turn > TURNS:
        return ScriptedReply(text="all done")
    calls = [ScriptedCall("look", {"n": turn}), ScriptedCall("pay", {"n": turn})]
    return ScriptedReply(text=f"Turn {turn}.", calls=calls)


async def step_job(context: Context[object], n: int) -> int:
    for i in range(n):
        await context.step(f"s{i}", effect, i)
        note("finished", f"step {i}")
    return n


def effect(i: int) -> int:
    note("effects", f"step {i}")
    return i


async def main() -> None:
    model = FakeEndpoint(reply, tokens_per_second=400)
    agent = Agent(model, tools=[look, pay])
    finished = Counter(lines("finished"))
    effects = Counter(lines("effects"))
    async with Runtime(FOLDER / "runs.db") as runtime:
        print("ready", flush=True)
        async with asyncio.TaskGroup() as group:
            said = group.create_task(runtime.run(agent, "Go.", key="agent"))
            group.create_task(runtime.run(step_job, 40, key="steps"))
        result = said.result()
    print(verdict(result.messages, finished, effects))


def verdict(messages: list[Message], finished: Counter[str], before: Counter[str]) -> str:
    """Return `right`, or the first thing that is wrong."""
    after = Counter(lines("effects"))
    again = [step for step in finished if after[step] > before[step]]
    if again:
        return f"finished steps ran again: {again}"
    if any(after[f"pay {n}"] > 1 for n in range(TURNS + 1)):
        return f"paid twice: {after}"
    requests = Counter(line.split()[0] for line in lines("requests"))
    doubled = [key for key, n in requests.items() if n > 2]
    if doubled or sum(n == 2 for n in requests.values()) > 1:
        return f"requests doubled: {requests}"
    told = "\n".join(message.text for message in messages)
    written = [json.loads(call.arguments)["n"] for m in messages for call in m.calls if call.name == "pay"]
    cut = set(range(1, TURNS + 1)) - set(written)  # killed before the model had written that call
    lost = [n for n in written if f"paid {n}" not in told and "unknown" not in told]
    if "all done" not in told or lost or len(cut) > 1 or any(after[f"pay {n}"] for n in cut):
        return f"results lost: {lost}, {cut} of {told!r}"
    return "right"


asyncio.run(main())
