"""Plans that are killed at any time, and plans that are changed all the time."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from agentflow.errors import UserError
from agentflow.plan import LivePlan, Plan, Step
from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["CHANGES", "KILLS"]


def _changes(setting: Setting) -> Sequence[Figure]:
    rounds = 3 if setting.quick else 50
    wrong = changed = 0
    for seed in range(rounds):
        bad, made = run_in(lambda: new_loop("virtual"), _changed(random.Random(seed)))
        wrong += bad
        changed += made
    return [
        Figure("changes of plans while they ran", changed),
        Figure("steps lost, run twice, or run before their time", wrong, bar=Bar("==", 0)),
    ]


async def _changed(chance: random.Random) -> tuple[int, int]:
    """Return how many steps went wrong in a plan that is changed while it runs, and its changes."""
    ended: list[str] = []
    early = 0

    async def work(name: str, seconds: float, *before: str) -> str:
        nonlocal early
        await asyncio.sleep(seconds)
        early += any(one not in ended for one in before)
        ended.append(name)
        return name

    plan = Plan(resources={"hand": 5}, open=True)
    names: list[str] = []
    changes = 0
    async with Runtime() as runtime, runtime.start(plan) as run:
        live = LivePlan.of(run)
        steps: dict[str, Step[object]] = {}
        for number in range(300):
            earlier = chance.sample(names, min(len(names), chance.randint(0, 3)))
            name, seconds = f"s{number}", chance.random() * 9
            outputs = [steps[one].output for one in earlier]
            steps[name] = live.add(work, name, seconds, *outputs, name=name, resources={"hand": 1})
            names.append(name)
            changes += 1
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random())
            victim = chance.choice(names)
            try:
                if chance.random() < 0.2:
                    live.drop(victim)
                    names.remove(victim)
                elif chance.random() < 0.2:
                    live.replace(victim, work, victim, 1.0)
                else:
                    continue
                changes += 1
            except UserError:
                continue
        live.close()
        outputs_by_name = (await run.result()).output
    wrong = len(set(names) ^ set(outputs_by_name)) + len(ended) - len(set(ended)) + early
    return wrong, changes


def _kills(setting: Setting) -> Sequence[Figure]:
    kills, chance = 3 if setting.quick else 50, random.Random(5)
    verdicts = [_killed(chance.uniform(0.0, 0.5)) for _ in range(kills)]
    wrong = sum(verdict != "right" for verdict in verdicts)
    first = next((verdict for verdict in verdicts if verdict != "right"), "")
    return [
        Figure("kill -9 at random points", kills),
        Figure("finished steps run again, or another output", wrong, bar=Bar("==", 0), note=first),
    ]


def _killed(after: float) -> str:
    """Kill a worker so many seconds into its plan, let another end it, and return the verdict."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
            assert first.stdout is not None
            first.stdout.readline()
            time.sleep(after)
            first.send_signal(signal.SIGKILL)
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    lines = (second.stdout or second.stderr).strip().splitlines()
    return lines[-1] if lines else f"exit code {second.returncode}"


CHANGES = Measure("changes", "Steps added, dropped and replaced under load.", _changes)
KILLS = Measure("kills", "A plan whose process is killed at any moment.", _kills)
