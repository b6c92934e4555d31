"""A team after a crash: nothing finished is done again, and everybody takes up what was his."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from virtual import virtual

from agentflow import Agent, Context, Runtime, Team
from agentflow.testing import FakeEndpoint, ScriptedCall
from agentflow_protocols.chat import ChatRequest

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
