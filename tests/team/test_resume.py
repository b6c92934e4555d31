"""A team after a crash: nothing finished is done again, and everybody takes up what was his."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from virtual import virtual

from agentflow import Agent, Context, Runtime, Team
from agentflow.runtime.sqlite import SqliteJournal
from agentflow.testing import FakeEndpoint, ScriptedCall
from agentflow_protocols.chat import ChatRequest, ToolCall

HERE = Path(__file__).parent
WAIT = ScriptedCall("wait")


def assign(task: str, **arguments: object) -> ScriptedCall:
    return ScriptedCall("assign", {"task": task, **arguments})


def killed_twice(folder: Path, rng: random.Random) -> None:
    command = [sys.executable, str(HERE / "killed_team.py"), str(folder)]
    for _ in range(2):
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.25))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    out = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert out.stdout.splitlines()[-1:] == ["right"], out.stdout + out.stderr


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_does_no_finished_task_again(tmp_path, seed):
    killed_twice(tmp_path, random.Random(seed))


def test_everybody_takes_up_what_was_his(tmp_path):
    began: list[tuple[str, str]] = []

    async def work(context: Context[object], task: str) -> str:
        began.append((context.run_id.partition("/")[2].partition("-")[0], task.split()[1]))
        await context.step("work", asyncio.sleep, float(task.split()[0]))
        return task

    def team() -> Team[object, str]:
        first = [assign("9 long"), assign("5 low", priority=-1), assign("1 quick"), WAIT]
        move = ScriptedCall("reassign", {"task": "c00000001", "worker": "b"})

        def script(request: ChatRequest) -> str | list[ScriptedCall]:
            turn = sum(message.role == "assistant" for message in request.messages)
            if turn < 2:
                return [move, assign("9 late"), WAIT] if turn else first
            done = sum(message.text.count('"output"') for message in request.messages)
            return "Done." if done == 4 else [WAIT]

        leader = Agent(FakeEndpoint(script), name="boss")
        return Team(leader, {"a": work, "b": work})

    @virtual
    async def stopped():
        async with Runtime(tmp_path / "runs.db") as runtime, runtime.start(team(), "Go.", key="k") as run:
            await asyncio.sleep(6.5)
            await run.cancel()

    @virtual
    async def resumed():
        async with Runtime(tmp_path / "runs.db") as runtime:
            assert (await runtime.run(team(), "Go.", key="k")).output == "Done."

    stopped()
    first, began[:] = list(began), []
    resumed()
    assert first[:2] == [("a", "long"), ("b", "low")]
    running = [first[-2], first[-1]]
    assert sorted(began[:2]) == sorted(running), (first, began)


def supper(finished: Counter[str]) -> Team[object, str]:
    """Return a team of a job and of an agent that reports and asks; both are scripted by what was said."""

    async def nap(context: Context[object], task: str) -> str:
        async def work(seconds: float) -> None:
            await asyncio.sleep(seconds)
            finished[task] += 1

        await context.step("nap", work, float(task.split()[0]))
        return f"did {task}"

    def written(request: ChatRequest) -> list[ToolCall]:
        return [call for message in request.messages for call in message.calls]

    def cook(request: ChatRequest) -> str | list[ScriptedCall]:
        calls = {call.name for call in written(request)}  # a reply may have been cut between two
        first = [ScriptedCall("report", {"text": "begun"}), ScriptedCall("ask", {"question": "Salt?"})]
        said = " ".join(message.text for message in request.messages)
        return [call for call in first if call.name not in calls] or (
            "Salted." if "A little." in said else [WAIT]
        )

    def boss(request: ChatRequest) -> str | list[ScriptedCall]:
        said = "\n".join(message.text for message in request.messages)
        ids = {json.loads(c.arguments)["task"]: c.id for c in written(request) if c.name == "assign"}
        names = {call.name for call in written(request)}
        tasks = {"9 a": "x", "2 b": "y", "soup": "cook", "3 c": "y"}
        left = [assign(task, worker=worker) for task, worker in tasks.items() if task not in ids]
        if left:
            return [*left, WAIT]
        if "Salt?" in said and "tell" not in names:
            return [ScriptedCall("tell", {"task": ids["soup"], "text": "A little."}), WAIT]
        if '"did 2 b"' in said and "reassign" not in names:
            return [ScriptedCall("reassign", {"task": ids["9 a"], "worker": "y"}), WAIT]
        return "Done." if said.count('"output"') == 4 else [WAIT]

    workers = {"x": nap, "y": nap, "cook": Agent(FakeEndpoint(cook), name="cook")}
    return Team(Agent(FakeEndpoint(boss), name="boss"), workers)


def test_a_team_that_is_stopped_at_any_event_goes_on(tmp_path):
    number, ended = 0, False

    @virtual
    async def stopped(finished: Counter[str]) -> None:
        nonlocal ended
        journal = SqliteJournal(tmp_path / f"{number}.db", durable=False)
        async with Runtime(journal) as runtime, runtime.start(supper(finished), "Go.", key="k") as run:
            seen = 0
            async for _ in run:
                seen += 1
                if seen == number:
                    await run.cancel()
            ended = seen < number

    @virtual
    async def resumed(finished: Counter[str]) -> None:
        async with Runtime(SqliteJournal(tmp_path / f"{number}.db", durable=False)) as runtime:
            result = await runtime.run(supper(finished), "Go.", key="k")
        text = "\n".join(message.text for message in result.messages)
        assert result.output == "Done."
        for part in ("did 9 a", "did 2 b", "Salted.", "did 3 c"):
            assert text.count(f'"output": "{part}"') == 1, (number, part, text)
        assert text.count('"report": "begun"') == text.count('"question": "Salt?"') == 1, (number, text)

    while not ended:
        number += 2  # every second one: it takes seconds
        finished: Counter[str] = Counter()
        stopped(finished)
        if not ended:
            resumed(finished)
        assert set(finished.values()) == {1}, (number, finished)
    assert number > 50
