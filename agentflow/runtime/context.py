"""What a running thing has in hand: its deps, its steps, its children, its clock."""

from __future__ import annotations

import asyncio
import inspect
import time
import typing
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Generic, ParamSpec, Protocol, TypeVar, cast

from agentflow.errors import UserError
from agentflow.runtime.inbox import Inbox, Interrupt, Policy, Priority, checked
from agentflow.runtime.journal import ArtifactFact, WaitFact
from agentflow.runtime.ledger import Ledger, decode, digest, encode
from agentflow.runtime.threads import Threads
from agentflow_protocols.chat import Json
from agentflow_protocols.trace import Custom, Event, StepFinished, StepStarted

if TYPE_CHECKING:
    from agentflow.runtime.budget import Budget, Limits
    from agentflow.runtime.clock import Clock
    from agentflow.runtime.resources import Resources
    from agentflow.runtime.result import Result
    from agentflow.runtime.runtime import Runtime
    from agentflow.runtime.state import RunState

__all__ = ["Context", "Job", "Runnable", "output_type"]

Deps = TypeVar("Deps", covariant=True)
AnyDeps = TypeVar("AnyDeps")
In = TypeVar("In")
Out = TypeVar("Out")
DepsIn = TypeVar("DepsIn", contravariant=True)
InIn = TypeVar("InIn", contravariant=True)
OutOut = TypeVar("OutOut", covariant=True)
P = ParamSpec("P")


class Runnable(Protocol[DepsIn, InIn, OutOut]):
    """Anything that can be run. An optional attribute `output_type` tells how to read its recorded output."""

    async def __run__(self, context: Context[DepsIn], input: InIn, /) -> OutOut:
        """Do the work and return the output."""


Job = Runnable[AnyDeps, In, Out] | Callable[["Context[AnyDeps]", In], Awaitable[Out]]


def output_type(x: object) -> object:
    """Return the type of a job's output, None when it tells none."""
    if (kind := getattr(x, "output_type", None)) is not None:
        return kind
    function = x if inspect.isroutine(x) else getattr(x, "__run__", None)
    try:
        hint = typing.get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None
    return None if hint is None or isinstance(hint, TypeVar) else hint


class Context(Generic[Deps]):
    """The first parameter of a job, and of a tool that asks for it.

    `deps` is what the caller of `run` gave. In a tool, `call` is the call's id and
    `idempotency_key` stays the same when the call is run again after a crash.
    """

    __slots__ = ("_group", "_progress", "_state", "call", "deps", "runtime", "tool")

    def __init__(
        self,
        runtime: Runtime,
        state: RunState,
        deps: Deps,
        group: asyncio.TaskGroup,
        call: str = "",
        tool: str = "",
        progress: Callable[[Json], None] | None = None,
    ) -> None:
        self.runtime = runtime
        self.deps = deps
        self.call = call
        self.tool = tool
        self._state = state
        self._group = group
        self._progress = progress

    def for_call(self, call: str, tool: str, progress: Callable[[Json], None]) -> Context[Deps]:
        """Return the context that one tool call sees; `progress` is told how far it is."""
        return Context(self.runtime, self._state, self.deps, self._group, call, tool, progress)

    @property
    def run_id(self) -> str:
        """The run's id; a child's is its parent's, a slash and its key."""
        return self._state.id

    @property
    def state(self) -> RunState:
        """The run in the tree."""
        return self._state

    @property
    def clock(self) -> Clock:
        """The run's clock."""
        return self._state.clock

    @property
    def budget(self) -> Budget:
        """What the run has spent and may spend."""
        return self._state.budget

    @property
    def deadline(self) -> float | None:
        """When the run must have ended, on its clock."""
        return self._state.deadline

    @property
    def ledger(self) -> Ledger:
        """The run's page of the journal."""
        return self._state.ledger

    @property
    def inbox(self) -> Inbox:
        """What comes to the run from outside."""
        return self._state.inbox

    @property
    def resources(self) -> Resources:
        """What the Runtime keeps open."""
        return self.runtime.resources

    @property
    def threads(self) -> Executor:
        """The Runtime's pool for work that blocks."""
        return self.runtime.resources.get("threads", Threads).executor

    @property
    def idempotency_key(self) -> str:
        """A key for the outside world, the same each time this call is run."""
        return f"{self._state.id}/{self.call}" if self.call else self._state.id

    async def step(
        self, key: str, fn: Callable[P, Awaitable[Out] | Out], *args: P.args, **kwargs: P.kwargs
    ) -> Out:
        """Run `fn` as the named step `key`, or return what it returned before a crash.

        The output must have a JSON form; it is read back as `fn`'s return type. When
        this returns, the step is durable. UserError: a key used twice, or another
        input than the recorded one.
        """
        state = self._state
        ledger = state.ledger
        ledger.claim(key)
        await state.gate.passed()
        data: bytes | None = None
        hashed = ""
        if ledger.durable:
            data = encode([args, kwargs] if kwargs else [args], f"the input of step {key!r}")
            hashed = digest(data)
            known = ledger.recall(key, hashed, data)
            if known is not None:
                state.emit(StepFinished(key, replayed=True))
                return cast("Out", decode(known.output, output_type(fn)))
            await ledger.barrier()
        state.emit(StepStarted(key))
        started = time.time()
        with state.gate.busy():
            try:
                value = fn(*args, **kwargs)
                if inspect.isawaitable(value):
                    value = await value
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
                ledger.put(
                    key, None, input=data, input_hash=hashed, status="failed", error=fault, started=started
                )
                state.emit(StepFinished(key, error=fault))
                raise
            if ledger.durable:
                output = encode(value, f"the output of step {key!r}")
                ledger.put(key, output, input=data, input_hash=hashed, started=started)
                await ledger.barrier()
        state.emit(StepFinished(key))
        return cast("Out", value)

    async def run(
        self, x: Job[Deps, In, Out], input: In | None = None, *, key: str, limits: Limits | None = None
    ) -> Result[Out]:
        """Run `x` as a child run and return its result. `key` is its own among its siblings."""
        return await self.runtime.run_child(self, x, input, key=key, limits=limits)

    def spawn(
        self, x: Job[Deps, In, Out], input: In | None = None, *, key: str, limits: Limits | None = None
    ) -> asyncio.Task[Result[Out]]:
        """Start a child run beside this one; this run does not end before it."""
        coroutine = self.runtime.run_child(self, x, input, key=key, limits=limits)
        try:
            return self._group.create_task(coroutine, name=key)
        except RuntimeError:
            coroutine.close()
            raise

    async def send(
        self, run: str, text: str, *, priority: Priority = "next", policy: Policy = "block"
    ) -> None:
        """Interrupt another run of this tree: a child's key, or a run's id.

        Its source is `agent.NAME`, by this run's name. Returns once it is recorded. See
        `Run.interrupt`. UserError when there is no such run, RunError when it has ended.
        """
        states = list(self._state.root.walk())
        target = next((s for s in states if s.id in (run, f"{self._state.id}/{run}")), None)
        if target is None:
            raise UserError(f"no run {run!r} in this tree: there are {', '.join(s.id for s in states)}")
        source = f"agent.{self._state.name}"
        await target.interrupt(checked(Interrupt(source, text, priority, policy=policy)))

    async def sleep(self, seconds: float) -> None:
        """Sleep on the run's clock."""
        await asyncio.sleep(seconds)

    def emit(self, event: Event | str, data: Json = None) -> None:
        """Tell an event: one of your own by its name and data, or a known one."""
        self._state.emit(Custom(event, data) if isinstance(event, str) else event)

    def progress(self, data: Json) -> None:
        """Tell how far this tool call, or this job, is."""
        if self._progress is not None:
            self._progress(data)
        else:
            self._state.emit(Custom("progress", data))

    async def wait_for(self, name: str, payload: Json = None) -> Json:
        """Wait for an outside event of this name, over restarts too, and return its value.

        It comes by `run.signal`, `agentflow runs send` or a person's approval.
        """
        state = self._state
        state.ledger.claim(f"wait/{name}")
        future = state.signal_of(name)
        if not future.done():
            state.ledger.put_fact(WaitFact(state.id, name, encode(payload, f"the payload of {name!r}")))
            await state.ledger.barrier()
            with state.clock.external():
                await asyncio.wait((future,))
        return cast("Json", decode(future.result()))

    async def awaited(self) -> None:
        """Wait until the model has nothing to do but to wait for calls that run beside it.

        For a world whose time passes only when its agent lets it, as a game's does: whoever
        awaits this may let it pass until such a call has ended. Each wait is told once.
        """
        idle = self._state.idle
        await idle.wait()
        idle.clear()

    async def artifact(self, name: str, data: bytes) -> None:
        """Keep a large value beside the run; read it by `read_artifact`."""
        self._state.artifacts[name] = data
        self._state.ledger.put_fact(ArtifactFact(self._state.id, name, data))

    async def read_artifact(self, name: str) -> bytes:
        """Return an artifact of this run; RunError when there is none."""
        found = self._state.artifacts.get(name)
        return found if found is not None else await self._state.ledger.artifact(name)
