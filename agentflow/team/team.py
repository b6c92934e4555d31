"""Team: a leader who gives out tasks, and workers who do them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeAlias

from typing_extensions import TypeVar

from agentflow.agent import Agent, Input
from agentflow.errors import UserError
from agentflow.runtime.budget import Limits
from agentflow.team.command import COMMANDS, Command
from agentflow.team.crew import Crew
from agentflow.team.duties import DUTIES
from agentflow.tools import Tool

if TYPE_CHECKING:
    from agentflow.runtime.context import Context, Job

__all__ = ["Team"]

Deps = TypeVar("Deps", contravariant=True, default=object)
Out = TypeVar("Out", default=str)

Workers: TypeAlias = "Mapping[str, Job[Deps, str, object]]"

TURNS = 10_000  # replies of a leader and its workers together, unless limits say otherwise
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class Team(Generic[Deps, Out]):
    """A leader and its workers; run it like an agent. The output is the leader's.

    The leader has four more tools: `assign`, `reassign`, `tell` and `board`. A task is a
    call of `assign`: its id is the call's, `wait` and `cancel` work on it, its result comes
    when it comes, and the leader's `on_finish` says what becomes of tasks that still run, or
    wait, when it has answered. A worker that is free takes the next task at once. Each task is
    a run of its worker, which has two more tools if it is an agent: `report` and `ask`. What it
    says by them interrupts the leader, from `agent.NAME`. Only the leader commands. A worker
    may be a Team. `about` tells the leader what a worker is for. `limits` hold for leader and
    workers together, in place of the leader's own, and default to 10,000 turns.
    """

    def __init__(
        self,
        leader: Agent[Deps, Out],
        workers: Workers[Deps],
        *,
        name: str = "team",
        about: Mapping[str, str] | None = None,
        limits: Limits | None = None,
    ) -> None:
        if not isinstance(leader, Agent):
            raise UserError(f"team {name}: the leader must be an Agent, not {type(leader).__name__}")
        if not workers:
            raise UserError(f"team {name}: it has no workers; give it some: Team(leader, {{'a': agent}})")
        for worker, job in workers.items():
            if not _NAME.fullmatch(worker):
                raise UserError(
                    f"team {name}: a worker can't be named {worker!r}: a name has letters, digits, `_` and"
                    " `-`, and begins with a letter"
                )
            if not callable(job) and not hasattr(job, "__run__"):
                raise UserError(f"team {name}: worker {worker}: {type(job).__name__} can't be run")
            _refuse(name, f"worker {worker}", job, DUTIES)
        _refuse(name, "the leader", leader, COMMANDS)
        self.about = dict(about or {})
        for worker in self.about:
            if worker not in workers:
                near = get_close_matches(worker, workers, 1)
                hint = f" (did you mean `{near[0]}`?)" if near else ""
                raise UserError(f"team {name}: about tells of {worker!r}, which is no worker{hint}")
        self.name = name
        self.leader = leader
        self.workers: Workers[Deps] = MappingProxyType(dict(workers))
        self.limits = limits or Limits(turns=TURNS)

    def __repr__(self) -> str:
        return f"Team({self.leader!r}, {list(self.workers)})"

    @property
    def output_type(self) -> object:
        """The type of the leader's answer, None for plain JSON."""
        return self.leader.output_type

    async def __run__(self, context: Context[Deps], input: Input, /) -> Out:
        """Let the leader work on `input`, and return its answer. See `Runtime.run`."""
        crew = Crew(context, self.workers)
        command = Command(crew, self.leader.name, self.workers, self.about)
        return await self.leader.with_tools(*command.tools()).__run__(context, input)

    def with_tools(self, *tools: Tool[..., object]) -> Team[Deps, Out]:
        """Return this team, whose leader has more tools."""
        team = copy(self)
        team.leader = self.leader.with_tools(*tools)
        return team


def _refuse(team: str, who: str, job: object, names: tuple[str, ...]) -> None:
    """Raise UserError when an agent has a tool whose name the team needs."""
    if isinstance(job, Team):
        job = job.leader
    taken = [name for name in names if isinstance(job, Agent) and name in job.tools]
    if taken:
        raise UserError(f"team {team}: {who} has a tool `{taken[0]}`, as the team has; rename it")
