"""Many episodes at once in one process; and the same, killed in the middle and gone on with."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import LoopbackServer
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_bench.peers.meter import peak_mb
from agentflow_bench.robotouille.episodes import Playing, choose, episodes
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.oracle import Knowing, oracle
from agentflow_bench.trials import Row, try_all
from agentflow_bench.trials.row import read_rows
from agentflow_bench.trials.summary import tally
from agentflow_protocols.chat import ChatRequest, Message

__all__ = ["CROWD", "KILLED", "play_crowd"]

_TASKS = ("1", "4")  # with seeds 1 to 250 the way is never too long


def _kitchens(count: int) -> list[Instance]:
    """Return so many small kitchens, all different."""
    return choose("synchronous", _TASKS, range(1, count // len(_TASKS) + 1))


def _crowd(setting: Setting) -> Sequence[Figure]:
    few, many = (4, 24) if setting.quick else (100, 500)
    alone, together = _in_a_process(few), _in_a_process(many)
    return [
        Figure("episodes at once", many),
        Figure("reached the goal", together["right"], bar=Bar("==", many)),
        Figure("lost", many - together["n"], bar=Bar("==", 0)),
        Figure("model calls", together["calls"]),
        Figure("all of them, on the virtual clock", together["seconds"], "s", note="0.5 s a call"),
        Figure("CPU a model call", 1000 * together["cpu"] / together["calls"], "ms"),
        Figure("peak, a further episode", (together["peak"] - alone["peak"]) / (many - few), "kB"),
        Figure("peak of the process", together["peak"] / 1000, "MB", Bar("<=", 500)),
    ]


def _in_a_process(count: int) -> dict[str, float]:
    """Return what so many episodes at once take, in a process of their own."""
    code = f"from {__name__} import play_crowd; play_crowd({count})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    )
    return cast("dict[str, float]", json.loads(done.stdout))


def play_crowd(count: int) -> None:
    """Play so many episodes at once, and print what they took as JSON."""
    instances = _kitchens(count)
    endpoint = oracle(instances)
    trials = episodes(Playing("react", "oracle", concurrency=count), instances, endpoint)

    async def work() -> tuple[list[Row], float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with Runtime() as runtime:
            return await try_all(trials, runtime), loop.time() - began

    before = time.process_time()
    rows, seconds = run_in(lambda: new_loop("virtual"), work())
    told = tally(rows)
    figures = {
        "n": told.n - told.failed,
        "right": told.right,
        "calls": told.requests,
        "seconds": seconds,
        "cpu": time.process_time() - before,
        "peak": 1000 * peak_mb(),
    }
    print(json.dumps(figures))


def _killed(setting: Setting) -> Sequence[Figure]:
    episodes_, kills = (20, 1) if setting.quick else (500, 5)
    chance = random.Random(7)
    knowing = Knowing(_kitchens(episodes_))
    with LoopbackServer(lambda body: _answer(knowing, body)) as server, tempfile.TemporaryDirectory() as at:
        command = _command(server.url, episodes_)
        shares = [chance.randrange(1, 1 + 12 * episodes_ // (kills + 1)) for _ in range(kills)]
        for share in shares:
            _kill(command, at, server, share)
        done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=600)
        rows = read_rows(next(Path(at).glob("*.jsonl")))
        asked = Counter(json.dumps(request.body["messages"]) for request in server.requests)
    told = tally(rows)
    return [
        Figure("episodes at once", episodes_),
        Figure("kill -9 at random points", kills),
        Figure("lost episodes", episodes_ - told.n + told.failed, bar=Bar("==", 0)),
        Figure("reached the goal", told.right, bar=Bar("==", episodes_)),
        Figure("exit status of the last command", done.returncode, bar=Bar("==", 0)),
        Figure("model calls that the episodes count", told.requests),
        Figure(
            "asked again",
            asked.total() - told.requests,
            bar=Bar("<=", kills * episodes_),
            note="at most one an episode and kill",
        ),
    ]


def _kill(command: Sequence[str], at: str, server: LoopbackServer, after: int) -> None:
    """Begin the command, and kill it after so many requests."""
    before = len(server.requests)
    with subprocess.Popen(command, cwd=at, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        server.wait_for(lambda: len(server.requests) >= before + after, timeout=300)
        process.kill()


def _answer(knowing: Knowing, body: Mapping[str, object]) -> str:
    messages = cast("list[dict[str, str]]", body["messages"])
    said = [Message("user" if one["role"] == "user" else "assistant", one["content"]) for one in messages]
    return knowing.answer(ChatRequest(said))


def _command(url: str, count: int) -> list[str]:
    seeds = f"1-{count // len(_TASKS)}"
    words = [
        "bench",
        "robotouille",
        "--agent",
        "react",
        "--model",
        "m",
        "--base-url",
        url,
        "--suite",
        "synchronous",
    ]
    words += [word for task in _TASKS for word in ("--task", task)]
    words += ["--seeds", seeds, "--concurrency", str(count), "--out", ".", "--json"]
    return [sys.executable, "-c", "from agentflow._cli import main; main()", *words]


CROWD = Measure("crowd", "500 episodes at once in one process, a scripted model, no journal.", _crowd)
KILLED = Measure(
    "killed",
    "The command with 500 episodes at once over HTTP, killed again and again, and gone on with.",
    _killed,
)
