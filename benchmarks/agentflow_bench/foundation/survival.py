"""What must survive: a kill at any time, a cancellation anywhere, a file full of mistakes.

These run the project's own test programs, in a checkout, many more times than the tests do.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped

__all__ = ["CANCELS", "DEMO", "KILLS", "WRONG_FILES"]

_ROOT = Path(__file__).parents[3]


def _checkout(*names: str) -> Path:
    """Return the checkout's folder; raises Skipped when this is an installed package."""
    if not all((_ROOT / name).exists() for name in names):
        raise Skipped("needs a checkout of the project: its tests are the programs that are run")
    return _ROOT


async def _kills(setting: Setting) -> Sequence[Figure]:
    worker = _checkout("tests/runtime/killed_worker.py") / "tests/runtime/killed_worker.py"
    kills, rng = 5 if setting.quick else 100, random.Random(9)
    wrong = [await asyncio.to_thread(_killed, worker, rng.uniform(0, 0.6)) for _ in range(kills)]
    faults = [verdict for verdict in wrong if verdict != "right"]
    return [
        Figure("kill -9 at random points", kills),
        Figure("finished steps lost or run again, calls of the model doubled", len(faults), "", Bar("==", 0)),
    ]


def _killed(worker: Path, after: float) -> str:
    """Kill a worker `after` seconds into its work, let another end it, and return that one's verdict."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(worker), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
            assert first.stdout is not None
            first.stdout.readline()
            time.sleep(after)
            first.send_signal(signal.SIGKILL)
        second = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = (second.stdout or second.stderr).strip().splitlines()
    return lines[-1] if lines else f"exit code {second.returncode}"


async def _cancels(setting: Setting) -> Sequence[Figure]:
    test = _checkout("tests/session/test_cancel.py") / "tests/session/test_cancel.py"
    rounds = 1 if setting.quick else 5
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", str(test)]
    failed = 0
    for _ in range(rounds):
        done = await asyncio.to_thread(subprocess.run, command, cwd=_ROOT, capture_output=True)
        failed += done.returncode != 0
    seen = [each for _ in range(rounds) for each in await _seen_after(test)]
    return [
        Figure("rounds of a cancellation at every await point", rounds),
        Figure("rounds that left anything or warned", failed, "", Bar("==", 0)),
        Figure("requests under way that a cancellation ended", len(seen), "", Bar(">=", rounds)),
        Figure("slowest that the server saw", max(seen, default=0.0) * 1000, "ms", Bar("<=", 100)),
    ]


async def _seen_after(test: Path) -> list[float]:
    """Cancel a run at each await point in turn; return the seconds until the server saw its request left."""
    from agentflow import Agent, Endpoint, RunError, Runtime, tool
    from agentflow.testing import LoopbackServer, ScriptedCall

    sys.path[:0] = [str(test.parent), str(test.parents[1])]
    try:
        from test_cancel import CancelledAgent  # type: ignore[import-not-found]
    finally:
        del sys.path[:2]

    @tool
    async def quick(n: int) -> str:
        return f"quick {n}"

    def answer(body: Mapping[str, object]) -> ScriptedCall | str:
        messages = body["messages"]
        assert isinstance(messages, list)
        return "one two three" if messages[-1]["role"] == "tool" else ScriptedCall("quick", {"n": 1})

    seen: list[float] = []
    with LoopbackServer(answer, tokens_per_second=200, first_token_s=0.01) as server:
        for number in itertools.count(1):
            agent = CancelledAgent(Agent(Endpoint("m", base_url=server.url), tools=[quick]), number)
            left = len(server.disconnects)
            async with Runtime() as runtime, runtime.start(agent, "Go.") as run:
                try:
                    await run.result()
                except RunError:
                    ended = time.monotonic()
                else:
                    return seen
            await server.until(lambda: server.open_connections == 0)
            seen += [max(0.0, (r.left_at or ended) - ended) for r in server.disconnects[left:]]
    return seen


def _wrong_files(setting: Setting) -> Sequence[Figure]:
    tests = _checkout("tests/workflow", "tests/cli")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--durations=0",
        "-vv",
        "-k",
        "every_error",
        "tests/workflow",
    ]
    done = subprocess.run(command, cwd=tests, capture_output=True, text=True)
    calls = [float(line.split("s ")[0]) for line in done.stdout.splitlines() if "s call " in line]
    passed = done.stdout.count(" PASSED")
    return [
        Figure("wrong files, each refused in its place", passed, "", Bar(">=", 60)),
        Figure("slowest", max(calls, default=0.0), "s", Bar("<=", 1)),
        Figure("not refused as they should", done.stdout.count(" FAILED"), "", Bar("==", 0)),
    ]


@contextmanager
def _clone() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        command = ["git", "clone", "--quiet", str(_ROOT), str(folder / "clone")]
        subprocess.run(command, check=True, capture_output=True)
        yield folder / "clone"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _demo(setting: Setting) -> Sequence[Figure]:
    _checkout("Makefile", ".git")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    times = []
    with _clone() as clone:
        for _ in range(2):
            began = time.perf_counter()
            done = subprocess.run(
                ["make", "demo"], cwd=clone, env=environment, capture_output=True, text=True
            )
            times.append(time.perf_counter() - began)
            if done.returncode or "known answer" not in done.stdout:
                raise RuntimeError(f"make demo: exit code {done.returncode}: {done.stderr[-300:]}")
    return [
        Figure("make demo in a fresh clone, with downloads", times[0], "s", Bar("<=", 120)),
        Figure("the second time", times[1], "s", Bar("<=", 5)),
    ]


KILLS = Measure("kills", "kill -9 of agents and steps under way; a second process goes on.", _kills)
CANCELS = Measure("cancels", "Cancel an agent's run at each of its await points in turn.", _cancels)
WRONG_FILES = Measure("wrong_files", "Workflow files with each kind of mistake.", _wrong_files)
DEMO = Measure("demo", "From a fresh clone to the demo's result.", _demo)
