"""What a leader of a team may do: assign tasks, move them, tell workers something, and look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast, runtime_checkable

from agentflow.errors import ToolFailed, ToolRetry
from agentflow.runtime.ending import end_all
from agentflow.runtime.inbox import Interrupt
from agentflow.runtime.journal import SignalFact
from agentflow.runtime.ledger import encode
from agentflow.team.crew import Crew, Task
from agentflow.team.duties import duties
from agentflow.tools import Tool, render
from agentflow_protocols.chat import Json

if TYPE_CHECKING:
    from agentflow.runtime.context import Context, Job

__all__ = ["COMMANDS", "Command"]

Deps = TypeVar("Deps")

COMMANDS = ("assign", "reassign", "tell", "board")
_TEXT: Json = {"type": "string"}
_TASK: Json = {"type": "string", "description": "the id of the call that assigned it"}


@runtime_checkable
class _TakesTools(Protocol):
    """A worker that can be given tools: an agent, or a team by its leader."""

    def with_tools(self, *tools: Tool[..., object]) -> Job[object, str, object]: ...


class Command(Generic[Deps]):
    """The leader's tools in one run of a team."""

    def __init__(
        self,
        crew: Crew[Deps],
        leader: str,
        workers: Mapping[str, Job[Deps, str, object]],
        about: Mapping[str, str],
    ) -> None:
        self._crew = crew
        self._leader = leader
        self._workers = workers
        self._about = about

    def tools(self) -> Sequence[Tool[..., object]]:
        """Return the tools."""
        worker: dict[str, Json] = {"type": "string", "enum": list(self._workers)}
        told = [f"{name}: {self._about[name]}" if self._about.get(name) else name for name in self._workers]
        names = "; ".join(told)
        return (
            Tool.from_schema(
                "assign",
                f"Give a task to a worker ({names}), or to whoever is free. It is done beside you; the id"
                " of this call is the task's, and its result comes when the task is done. Assign all that can"
                " be done now: tasks wait until a worker is free.",
                _schema(
                    ("task",),
                    task={"type": "string", "minLength": 1, "description": "all that the worker must know"},
                    worker={**worker, "description": "who shall do it; default: whoever is free"},
                    after={
                        "type": "array",
                        "description": "tasks that must be done before, each by the id of its call, with a $:"
                        ' "$c1". The worker is given their results.',
                    },
                    priority={"type": "integer", "description": "higher goes first; default 0"},
                ),
                self._assign,
                reply="interrupt",
                idempotent=True,
            ),
            Tool.from_schema(
                "reassign",
                "Give a task that is not done to another worker. Whoever does it now stops.",
                _schema(("task", "worker"), task=_TASK, worker=worker),
                self._reassign,
                reply="wait",
                idempotent=True,
            ),
            Tool.from_schema(
                "tell",
                "Tell the worker of a running task something, or answer the question that it asked.",
                _schema(("task", "text"), task=_TASK, text=_TEXT),
                self._tell,
                reply="wait",
                idempotent=True,
            ),
            Tool.from_schema(
                "board",
                "See what each worker does, for how many seconds, and which tasks wait.",
                _schema(()),
                self._board,
                reply="wait",
                idempotent=True,
            ),
        )

    async def _assign(self, context: Context[Deps], arguments: dict[str, Json]) -> dict[str, object]:
        """Bring one task to its end, by one worker or by several, one after the other."""
        crew = self._crew
        text, wanted = str(arguments["task"]), cast("str | None", arguments.get("worker"))
        priority = int(cast("int", arguments.get("priority") or 0))
        task = crew.add(context.call, text, wanted, priority)
        try:
            text += await self._before(task, cast("list[Json]", arguments.get("after") or []))
            while True:
                worker = await crew.take_turn(task)
                try:
                    done = await self._work(context, task, text)
                finally:
                    crew.give_back(task)
                if done:
                    crew.close(task, "done")
                    return {"worker": worker, "output": task.output}
                crew.moved(task)
        except ToolFailed:
            crew.close(task, "failed")
            raise
        finally:
            if not task.over:
                crew.close(task, "cancelled")

    async def _before(self, task: Task, after: Sequence[Json]) -> str:
        """Wait for the tasks that come first, and return what they gave."""
        lines: list[str] = []
        for item in after:
            if not isinstance(item, str):
                lines.append(f"- {render(item)}")
                continue
            try:
                earlier = self._crew.find(item)
            except ToolRetry as error:
                raise ToolRetry(f'{error}; write "$ID" for a call that has not begun') from None
            if earlier is task:
                raise ToolRetry(f"task {task.id} can't come after itself")
            await earlier.ended.wait()
            if earlier.state != "done":
                raise ToolFailed(f"task {earlier.id} was {earlier.state}, so this one was not begun")
            told = earlier.output if isinstance(earlier.output, str) else _json(earlier.output)
            lines.append(f"- {earlier.id}: {told}")
        return "\n\nResults of the tasks before it:\n" + "\n".join(lines) if lines else ""

    async def _work(self, context: Context[Deps], task: Task, text: str) -> bool:
        """Let the worker do the task; False when it was moved to another. ToolFailed when it fails."""
        if task.moves():  # before its worker had begun
            return False
        name = cast("str", task.worker)
        worker = self._workers[name]
        taker: object = worker
        if isinstance(taker, _TakesTools):
            worker = taker.with_tools(*duties(context.state, name, task))
        work = context.run(worker, text, key=task.key)
        job = task.job = asyncio.create_task(work, name=task.key)
        try:
            await asyncio.wait((job,))
        finally:
            await end_all((job,))
            error = None if job.cancelled() else job.exception()
            task.job = None
        if job.cancelled():
            if task.moves():
                return False
            raise ToolFailed(f"worker {name} was cancelled")
        if error is not None:
            if not isinstance(error, Exception):
                raise error
            raise ToolFailed(f"worker {name} failed: {' '.join(f'{type(error).__name__}: {error}'.split())}")
        task.output = job.result().output
        return True

    async def _reassign(self, context: Context[Deps], arguments: dict[str, Json]) -> dict[str, object]:
        crew = self._crew
        task, worker = crew.find(str(arguments["task"])), crew.known(str(arguments["worker"]))
        if task.over:
            raise ToolRetry(f"task {task.id} is over: it was {task.state}")
        if task.moves():
            raise ToolRetry(f"task {task.id} is just being moved to {task.wanted}")
        if (task.worker if task.state == "running" else task.wanted) != worker:
            crew.move(task, worker)
            if task.job is not None:
                await end_all((task.job,))
        return {"task": task.id, "worker": worker}

    async def _tell(self, context: Context[Deps], arguments: dict[str, Json]) -> str:
        told = self._crew.told(context.call)
        if told is not None:
            return told
        task, text = self._crew.find(str(arguments["task"])), str(arguments["text"])
        if task.state != "running":
            raise ToolRetry(f"task {task.id} is {task.state}, so there is nobody to tell")
        child = context.state.children.get(task.key)
        if child is None or child.inbox.closed:
            raise ToolRetry(f"task {task.id} is just beginning or ending: nobody hears this")
        question = self._crew.question(task, child)
        if question is None:
            interrupt = Interrupt(f"agent.{self._leader}", text)
            await child.inbox.room(interrupt)
            if child.inbox.closed:
                raise ToolRetry(f"task {task.id} is just ending: nobody hears this")
            child.put(interrupt)
        else:
            answer = encode(text, "an answer")
            child.ledger.put_fact(SignalFact(child.id, question, answer))
        told = "told" if question is None else "answered"
        context.ledger.put(f"told/{context.call}", encode({"how": told}, "how it was told"))
        await context.ledger.barrier()
        if question is not None and not (future := child.signal_of(question)).done():
            future.set_result(answer)
        return told

    async def _board(self, context: Context[Deps], arguments: dict[str, Json]) -> dict[str, object]:
        return self._crew.board()


def _json(value: object) -> str:
    return encode(value, "a task's output").decode()


def _schema(required: Sequence[str], **properties: Json) -> dict[str, Json]:
    return {"properties": properties, "required": list(required), "additionalProperties": False}
