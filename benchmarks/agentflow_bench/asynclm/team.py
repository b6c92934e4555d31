"""A team of eight against the same eight in rounds, on tasks whose times have a heavy tail.

The tasks take Pareto times (alpha 1.5, least 1 s). In rounds, the leader gives each worker a
task and waits for all eight; as a team, it gives out all of them and is woken by each result.
Both leaders run in the same Team, on the virtual clock.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from agentflow import Agent, Context, Limits, Runtime, Team
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply, VirtualClock
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import ChatRequest
from agentflow_protocols.trace import Event, RunFinished, RunStarted

__all__ = ["TEAM", "TeamSpeedup", "team_speedup"]

WORKERS = 8
ALPHA = 1.5


@dataclass(frozen=True, slots=True)
class TeamSpeedup:
    """What was measured. `team_s` and `rounds_s` are makespans, a number a seed; `idle_s` the
    seconds, summed over workers and seeds, that a worker of the team was idle while tasks waited."""

    team_s: Sequence[float]
    rounds_s: Sequence[float]
    idle_s: float

    @property
    def mean(self) -> float:
        """How many times sooner the team is done, in the mean over the seeds."""
        pairs = zip(self.rounds_s, self.team_s, strict=True)
        return sum(rounds / team for rounds, team in pairs) / len(self.team_s)


def team_speedup(*, seeds: int = 10, tasks: int = 240, request_s: float = 0.0) -> TeamSpeedup:
    """Return the makespans of `tasks` tasks by eight workers, for each of `seeds` seeds.

    `request_s` is the time that each request to the leader's model takes.
    """
    team_s, rounds_s, idle_s = [], [], 0.0
    for seed in range(seeds):
        rng = random.Random(seed)
        seconds = [rng.paretovariate(ALPHA) for _ in range(tasks)]
        took, idle = _run(seconds, tasks, request_s)
        team_s.append(took)
        rounds_s.append(_run(seconds, WORKERS, request_s)[0])
        idle_s += idle
    return TeamSpeedup(team_s, rounds_s, idle_s)


def _run(seconds: Sequence[float], at_once: int, request_s: float) -> tuple[float, float]:
    """Return the makespan of a leader that gives out so many at once, and its workers' idle time."""
    given = 0

    def lead(request: ChatRequest) -> ScriptedReply:
        nonlocal given
        ended = sum(message.text.count('"output"') for message in request.messages)
        if ended == len(seconds):
            return ScriptedReply(text="Done.")
        if ended < given:
            return ScriptedReply(calls=[ScriptedCall("wait")])
        part = range(given, min(given + at_once, len(seconds)))
        given += len(part)
        calls = [ScriptedCall("assign", {"task": repr(seconds[number])}) for number in part]
        trap = {"calls": [f"c{n + 1}" for n in range(len(part))]} if at_once == WORKERS else {}
        return ScriptedReply(calls=[*calls, ScriptedCall("wait", trap)])

    leader = Agent(FakeEndpoint(lead, delay=request_s), name="leader", limits=Limits())
    team = Team(leader, {f"w{number}": _work for number in range(WORKERS)})
    begun: list[float] = []
    ended: list[float] = []

    def watch(event: Event) -> None:
        if "/" in event.run and isinstance(event, RunStarted):
            begun.append(event.time)
        elif "/" in event.run and isinstance(event, RunFinished):
            ended.append(event.time)

    async def run() -> float:
        async with Runtime(sinks=[watch]) as runtime:
            result = await runtime.run(team, "Do it all.")
        return result.virtual_s or 0.0

    with VirtualClock() as clock:
        took = clock.run(run())
    begun.sort()
    ended.sort()
    # While tasks wait, the n-th end is followed by a beginning in the same moment.
    return took, sum(begin - end for end, begin in zip(ended, begun[WORKERS:], strict=False))


async def _work(context: Context[object], task: str) -> str:
    await asyncio.sleep(float(task))
    return "done"


def _measure(setting: Setting) -> Sequence[Figure]:
    found = team_speedup(seeds=2 if setting.quick else 10)
    return [
        Figure(
            "a team sooner than rounds", found.mean, "x", Bar(">=", 1.8), f"mean of {len(found.team_s)} seeds"
        ),
        Figure("workers idle while tasks waited", found.idle_s, "s", Bar("==", 0)),
    ]


TEAM = Measure("team", "Eight workers woken by what comes, against rounds of eight.", _measure)
