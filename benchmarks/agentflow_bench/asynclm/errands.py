"""Random tasks for training data: errands, each a chain of tools that need one another's results."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentflow_bench.asynclm.oracle import in_flight
from agentflow_bench.asynclm.skills import CHAINS, Skill
from agentflow_bench.asynclm.task import Pace, Task, TaskCall
from agentflow_protocols.chat import Json
from agentflow_protocols.cml import encode_call

__all__ = ["Errands", "errands"]


@dataclass(slots=True)
class Errands:
    """A random task: what is asked at first and by later interrupts, its calls, tools and results.

    `results` is the JSON text by call, `seconds` the run time by tool, `arrivals` the time
    of each interrupt, by the name that calls need it by, and `wishes` its text.
    """

    task: Task
    pace: Pace
    skills: dict[str, Skill]
    seconds: dict[str, float]
    results: dict[str, str]
    arrivals: dict[str, float] = field(default_factory=dict)
    wishes: dict[str, str] = field(default_factory=dict)


def errands(rng: random.Random, name: str, tps: float | None = None) -> Errands:
    """Return a random task.

    A token takes 5 to 30 ms unless `tps` says how many a second; a tool takes 1 ms to 1 s.
    """
    pace = Pace(tps or 1000 / rng.uniform(5, 30), 0.01, 0.0)
    maker = _Maker(rng)
    wishes = [maker.errand() for _ in range(rng.choice((1, 2, 2, 3, 3, 4)))]
    first = list(maker.calls)
    later: dict[str, str] = {}
    if rng.random() < 0.4:
        for number in range(1, rng.choice((1, 1, 2)) + 1):
            later[f"user_{number}"] = _sentence([maker.errand(f"user_{number}")])
    start = Task(name, "errands", _sentence(wishes), first, 1)
    room = 0.8 * (in_flight(start, pace) - 1 / pace.tps)
    times = sorted(round(rng.uniform(0.02, 1) * room, 4) for _ in later)
    answer = "Done: " + "; ".join(maker.said) + "."
    task = Task(name, "errands", start.question, maker.calls, max(2, len(answer) // 4), answer=answer)
    arrivals = dict(zip(later, times, strict=True))
    return Errands(task, pace, maker.skills, maker.seconds, maker.results, arrivals, later)


def _sentence(wishes: Sequence[str]) -> str:
    text = ". ".join(wish[:1].upper() + wish[1:] for wish in wishes)
    return text if text.endswith(("?", "!", ".")) else f"{text}."


class _Maker:
    """Collect the calls of errands."""

    def __init__(self, rng: random.Random) -> None:
        self.calls: list[TaskCall] = []
        self.skills: dict[str, Skill] = {}
        self.seconds: dict[str, float] = {}
        self.results: dict[str, str] = {}
        self.said: list[str] = []
        self._rng = rng
        self._counts: dict[str, int] = {}

    def errand(self, wanted_by: str | None = None) -> str:
        """Add the calls of one chain, and return how a user asks for it."""
        chain = self._rng.choice(CHAINS)
        known: dict[str, Json] = {}
        before: list[str] = [wanted_by] if wanted_by else []
        wishes: list[str] = []
        for skill in chain[: self._rng.randint(1, len(chain))]:
            arguments = self._arguments(skill, known)
            gives = {key: self._rng.choice(pool) for key, pool in skill.gives.items()}
            known |= gives
            wishes.append(skill.wish.format(**arguments))
            self.said.append(skill.said.format(**gives))
            before = [self._call(skill, arguments, gives, before)]
        return ", then ".join(wishes)

    def _arguments(self, skill: Skill, known: Mapping[str, Json]) -> dict[str, Json]:
        arguments: dict[str, Json] = {}
        for name, pool in skill.takes.items():
            if isinstance(pool, str):
                arguments[name] = known[pool]
                continue
            left = [value for value in pool if value not in arguments.values()]
            arguments[name] = self._rng.choice(left)
        return arguments

    def _call(
        self, skill: Skill, arguments: dict[str, Json], gives: dict[str, Json], deps: Sequence[str]
    ) -> str:
        number = self._counts[skill.noun] = self._counts.get(skill.noun, 0) + 1
        name = f"{skill.noun}_{number}"
        if skill.name not in self.skills:
            self.skills[skill.name] = skill
            self.seconds[skill.name] = round(math.exp(self._rng.uniform(math.log(0.001), 0.0)), 3)
        block = encode_call(name, skill.name, json.dumps(arguments, ensure_ascii=False))
        tokens = -(-len(block) // 4)
        self.calls.append(TaskCall(name, skill.name, arguments, tokens, self.seconds[skill.name], list(deps)))
        self.results[name] = json.dumps(gives, ensure_ascii=False)
        return name
