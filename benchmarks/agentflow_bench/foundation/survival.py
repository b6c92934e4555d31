"""What must survive: a kill at any time, a cancellation anywhere, a file full of mistakes.

These run the project's own test programs, in a checkout, many more times than the tests do.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
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


def _cancels(setting: Setting) -> Sequence[Figure]:
    test = _checkout("tests/session/test_cancel.py") / "tests/session/test_cancel.py"
    rounds = 1 if setting.quick else 5
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", str(test)]
    failed = sum(
        subprocess.run(command, cwd=_ROOT, capture_output=True).returncode != 0 for _ in range(rounds)
    )
    return [
        Figure("rounds of a cancellation at every await point", rounds),
        Figure("rounds that left anything or warned", failed, "", Bar("==", 0)),
    ]


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
