"""Who does which task in one run of a team.

A task is a call of the leader's `assign`, so its id is the call's. A worker who is free
takes the most urgent task that it may do, then the oldest, at once: nobody waits for the
leader, or for another worker. Which worker took a task depends on who was free first,
so it is a fact of the journal, and so is a task's move to another worker.
"""

from __future__ import annotations

import asyncio
import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

from agentflow.errors import ToolRetry
from agentflow.runtime.ledger import decode, encode

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.runtime.result import Result
    from agentflow.runtime.state import RunState

__all__ = ["Crew", "Task"]

Deps = TypeVar("Deps")
State = Literal["blocked", "waiting", "running", "done", "failed", "cancelled"]


@dataclass(slots=True, eq=False)
class Task:
    """A task of a team. `wanted` is who shall do it, None: whoever is free; `worker` who does it, or did.

    `attempt` counts its moves to another worker. `questions` are open ones of the worker, by
    the name of the signal that answers; `asked` all that it has asked since the program began.
    """

    id: str
    text: str
    wanted: str | None = None
    priority: int = 0
    number: int = 0
    since: float = 0.0
    state: State = "blocked"
    worker: str | None = None
    attempt: int = 0
    output: object = None
    turn: asyncio.Future[str] | None = None
    job: asyncio.Task[Result[object]] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    questions: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    leaves: bool = False

    def moves(self) -> bool:
        """Return whether its worker is to stop, for another to take it."""
        return self.leaves

    @property
    def over(self) -> bool:
        """Whether it was done, has failed or was cancelled."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def key(self) -> str:
        """The key of the run in which its worker does it."""
        again = f"-{self.attempt}" if self.attempt else ""
        return f"{self.worker}-{self.id}{again}"


class Crew(Generic[Deps]):
    """The tasks and workers of one run of a team."""

    def __init__(self, context: Context[Deps], workers: Iterable[str]) -> None:
        self.workers = tuple(workers)
        self.tasks: dict[str, Task] = {}
        self._context = context
        self._free = dict.fromkeys(self.workers)  # who is free for longest comes first
        self._busy: Counter[str] = Counter()
        self._queue: list[Task] = []
        self._held = self._held_from_before()

    def add(self, id: str, text: str, wanted: str | None, priority: int) -> Task:
        """Return a new task. ToolRetry for an unknown worker."""
        if wanted is not None:
            self.known(wanted)
        now = self._context.clock.time()
        task = self.tasks[id] = Task(id, text, wanted, priority, len(self.tasks), now)
        while (move := self._recalled(f"reassign/{id}/{task.attempt}")) is not None:
            task.wanted = str(move["worker"])
            task.attempt += 1
        return task

    def known(self, worker: str) -> str:
        """Return the name of a worker. ToolRetry, with the nearest name, when there is none."""
        if worker not in self.workers:
            raise ToolRetry(f"there is no worker {worker!r}: {_nearest(worker, self.workers)}")
        return worker

    def find(self, id: str) -> Task:
        """Return a task by its id, also one that ended before a crash. ToolRetry when there is none."""
        found = self.tasks.get(id)
        if found is None and (ended := self._ended_before(id)) is not None:
            found = self.tasks[id] = ended
        if found is None:
            raise ToolRetry(f"there is no task {id!r}: {_nearest(id, self.tasks)}")
        return found

    async def take_turn(self, task: Task) -> str:
        """Wait until a worker has taken the task, and return that worker's name."""
        task.state, task.since = "waiting", self._context.clock.time()
        before = self._recalled(f"assign/{task.id}/{task.attempt}")
        if before is not None and before["worker"] in self.workers:
            self._take(task, str(before["worker"]), record=False)
        else:
            task.turn = asyncio.get_running_loop().create_future()
            self._queue.append(task)
            self._held.pop(task.id, None)
            self._dispatch()
            try:
                await task.turn
            except asyncio.CancelledError:
                if not task.turn.cancelled():  # it was taken in this very moment
                    self.give_back(task)
                raise
        return cast("str", task.worker)

    def give_back(self, task: Task) -> None:
        """The worker of a task is free again."""
        worker = cast("str", task.worker)
        self._busy[worker] -= 1
        if not self._busy[worker]:
            self._free[worker] = None
        self._dispatch()

    def close(self, task: Task, state: State) -> None:
        """A task is over."""
        task.state, task.since = state, self._context.clock.time()
        if task in self._queue:
            self._queue.remove(task)
        task.ended.set()
        if self._held.pop(task.id, None) is not None:
            self._dispatch()

    def move(self, task: Task, worker: str) -> None:
        """Let another worker do a task that is not over."""
        key = f"reassign/{task.id}/{task.attempt}"
        self._context.ledger.claim(key)
        self._context.ledger.put(key, encode({"worker": worker}, "a move"))
        task.wanted = worker
        if task.state == "running":
            task.leaves = True
        else:
            task.attempt += 1
            self._dispatch()

    def moved(self, task: Task) -> None:
        """The worker of a task has stopped, so that another can take it."""
        task.leaves = False
        task.attempt += 1

    def told(self, call: str) -> str | None:
        """Return how a call of `tell` told its text before a crash."""
        before = self._recalled(f"told/{call}")
        return None if before is None else str(before["how"])

    def question(self, task: Task, child: RunState) -> str | None:
        """Return the oldest open question of a task whose run is `child`, and take it for answered.

        That may be one from before a crash, which its worker has not come to again.
        """
        if task.questions:
            return task.questions.pop(0)
        record = child.records.get(child.id)
        for key in record.steps if record is not None else ():
            kind, _, call = key.partition("/")
            name = f"answer/{call}"
            if kind == "question" and name not in task.asked and f"call/{call}" not in record.steps:  # type: ignore[union-attr]
                task.asked.add(name)
                if not child.signal_of(name).done():
                    return name
        return None

    def board(self, longest: int = 50) -> dict[str, object]:
        """Return who does what since when, and what waits: at most the `longest` first."""
        now = self._context.clock.time()
        doing = {task.worker: task for task in self.tasks.values() if task.state == "running"}
        states = Counter(task.state for task in self.tasks.values())
        waiting = sorted((t for t in self.tasks.values() if t.state in ("blocked", "waiting")), key=_rank)
        return {
            "workers": {
                name: {"task": doing[name].id, "seconds": round(now - doing[name].since, 3)}
                if name in doing
                else None
                for name in self.workers
            },
            "waiting": [
                {"task": task.id, "for": task.wanted or "anyone"}
                if task.state == "waiting"
                else {"task": task.id, "for": "tasks before it"}
                for task in waiting[:longest]
            ],
            "counts": dict(states),
        }

    def _dispatch(self) -> None:
        """Give tasks to workers who are free."""
        held = set(self._held.values())
        free = [worker for worker in self._free if worker not in held]
        if not free or not self._queue:
            return
        wanted = {task.wanted for task in self._queue}
        for task in sorted(self._queue, key=_rank):
            others = [worker for worker in free if worker not in wanted] or free
            worker = others[0] if task.wanted is None else task.wanted
            if worker in free:
                free.remove(worker)
                self._queue.remove(task)
                self._take(task, worker, record=True)
                if not free:
                    return

    def _take(self, task: Task, worker: str, record: bool) -> None:
        self._free.pop(worker, None)
        self._busy[worker] += 1
        self._held.pop(task.id, None)
        task.worker, task.state, task.since = worker, "running", self._context.clock.time()
        key = f"assign/{task.id}/{task.attempt}"
        self._context.ledger.claim(key)
        if record:
            self._context.ledger.put(key, encode({"worker": worker}, "an assignment"))
        if task.turn is not None and not task.turn.done():
            task.turn.set_result(worker)

    def _recalled(self, key: str) -> Mapping[str, object] | None:
        step = self._context.ledger.recall(key)
        return None if step is None else cast("Mapping[str, object]", decode(step.output))

    def _held_from_before(self) -> dict[str, str]:
        """Return the workers of tasks that were under way when the program ended, by task.

        They take nothing else before they have taken these up again.
        """
        state = self._context.state
        record = state.records.get(state.id)
        held: dict[str, str] = {}
        for key in record.steps if record is not None else ():
            kind, _, rest = key.partition("/")
            if kind == "assign" and (data := self._recalled(key)) is not None:
                id, _, attempt = rest.rpartition("/")
                moved = self._recalled(f"reassign/{id}/{attempt}") is not None
                if not moved and self._recalled(f"call/{id}") is None:
                    held[id] = str(data["worker"])
        return held

    def _ended_before(self, id: str) -> Task | None:
        data = self._recalled(f"call/{id}")
        if data is None:
            return None
        task = Task(id, "", state="done" if data["status"] == "ok" else "failed", output=data["text"])
        task.ended.set()
        return task


def _rank(task: Task) -> tuple[int, int]:
    return (-task.priority, task.number)


def _nearest(name: str, names: Iterable[str]) -> str:
    known = list(names)
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known[:50]) or 'none'}"
