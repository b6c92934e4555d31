"""A team that writes down outside what its workers do, to be killed at any time.

Told a folder. Each finished task is a line of `finished`, written in its worker's last
step. A later process in the same folder goes on and compares. Prints `right` or what is wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path

from agentflow import Agent, Context, Runtime, Team
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.chat import ChatRequest, Message

FOLDER = Path(sys.argv[1])
TASKS = 24
doing: Counter[str] = Counter()


def note(name: str, line: str) -> None:
    """Append a line in one write, which a kill cannot tear."""
    file = os.open(FOLDER / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def lines(name: str) -> list[str]:
    path = FOLDER / name
    return path.read_text().splitlines() if path.exists() else []


async def work(context: Context[object], task: str) -> str:
    worker = context.run_id.partition("/")[2].partition("-")[0]
    doing[worker] += 1
    if doing[worker] > 1:
        note("faults", f"{worker} does two tasks at once")
    try:
        for part in range(3):
            await context.step(f"part{part}", asyncio.sleep, 0.004)
        await context.step("end", note, "effects", f"{task} {worker}")
        note("finished", task)
        return f"did {task}"
    finally:
        doing[worker] -= 1


def reply(request: ChatRequest) -> ScriptedReply:
    text = "\n".join(message.text for message in request.messages)
    turn = sum(message.role == "assistant" for message in request.messages)
    done = len(set(re.findall(r"did (\d+)", text)))
    written = [call for message in request.messages for call in message.calls if call.name == "assign"]
    assigned = {int(json.loads(call.arguments)["task"]) for call in written}
    left = [number for number in range(TASKS) if number not in assigned]  # a kill may cut a reply short
    if left:
        calls = [ScriptedCall("assign", {"task": str(n), "priority": n % 5}) for n in left[:6]]
        if turn == 2:
            calls.append(ScriptedCall("reassign", {"task": written[2].id, "worker": "w2"}))
        return ScriptedReply(calls=[*calls, ScriptedCall("wait")])
    return ScriptedReply(text="all done") if done == TASKS else ScriptedReply(calls=[ScriptedCall("wait")])


async def main() -> None:
    leader = Agent(FakeEndpoint(reply, tokens_per_second=4000), name="boss")
    team = Team(leader, {f"w{n}": work for n in range(3)})
    finished, effects = lines("finished"), Counter(line.split()[0] for line in lines("effects"))
    async with Runtime(FOLDER / "runs.db") as runtime:
        print("ready", flush=True)
        result = await runtime.run(team, "Go.", key="team")
    print(verdict(result.messages, finished, effects))


def verdict(messages: list[Message], finished: list[str], before: Counter[str]) -> str:
    """Return `right`, or the first thing that is wrong."""
    after = Counter(line.split()[0] for line in lines("effects"))
    again = [task for task in finished if after[task] > before[task]]
    told = "\n".join(message.text for message in messages)
    missing = [n for n in range(TASKS) if not re.search(rf'"output": "did {n}"', told)]
    if again or missing or lines("faults"):
        return f"done again: {again}, missing: {missing}, {lines('faults')}"
    return "right" if messages[-1].text == "all done" else f"ended with {messages[-1].text!r}"


asyncio.run(main())
