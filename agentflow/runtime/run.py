"""A run under way, in the hands of whoever started it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Generic, TypeVar

from agentflow.errors import RunError
from agentflow.runtime.bus import EventStream
from agentflow.runtime.ending import end_all
from agentflow.runtime.execute import stopped
from agentflow.runtime.inbox import Interrupt, Policy, Priority, checked
from agentflow.runtime.ledger import encode
from agentflow.runtime.result import Result
from agentflow.runtime.state import RunState
from agentflow_protocols.chat import Json, Message, Usage

__all__ = ["Run"]

T = TypeVar("T")


class Run(Generic[T]):
    """A run: an async context manager, and an async iterable of its events.

    Leaving the block ends a run that is not done, and its requests are closed on
    the wire. Iterating yields every event from the start on and ends with the run.
    """

    def __init__(
        self,
        start: Callable[[], Coroutine[object, object, tuple[RunState, Coroutine[object, object, Result[T]]]]],
        track: Callable[[asyncio.Task[Result[T]]], None],
    ) -> None:
        self._start = start
        self._track = track
        self._state: RunState | None = None
        self._task: asyncio.Task[Result[T]] | None = None

    async def __aenter__(self) -> Run[T]:
        if self._task is not None:
            raise RunError("a run is started once: call runtime.start again for another")
        self._state, work = await self._start()
        self._task = asyncio.create_task(work, name=self._state.id)
        self._state.task = self._task
        self._track(self._task)
        try:
            await asyncio.sleep(0)  # it begins: what is sent to it comes after what the journal knows
        except asyncio.CancelledError:
            await self._end("cancelled", "its start was cancelled")
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end("cancelled", "its block was left")

    @property
    def state(self) -> RunState:
        """The run in the tree; RunError before it was started."""
        if self._state is None:
            raise RunError("the run is not started: use `async with runtime.start(…) as run`")
        return self._state

    @property
    def id(self) -> str:
        """The run's id."""
        return self.state.id

    @property
    def status(self) -> str:
        """`running`, `succeeded`, `failed`, `cancelled`, `paused` or `limit`."""
        return self.state.status

    @property
    def usage(self) -> Usage:
        """Tokens and requests so far, with everything below it."""
        return self.state.budget.usage

    @property
    def cost(self) -> float | None:
        """USD so far, None when a price is unknown."""
        return self.state.budget.cost

    @property
    def messages(self) -> list[Message]:
        """The conversation so far, when an agent runs."""
        return self.state.messages

    @property
    def wall_s(self) -> float:
        """Wall seconds so far, or in all."""
        return self.state.wall_s

    @property
    def virtual_s(self) -> float | None:
        """Seconds on a virtual clock so far, None on the wall clock."""
        return self.state.virtual_s

    def __aiter__(self) -> EventStream:
        return self.state.feed.attach(0)

    def events(self, after: int = 0) -> EventStream:
        """Return the events that came after the one of seq `after`."""
        return self.state.feed.attach(after)

    async def result(self) -> Result[T]:
        """Wait for the end and return the result; raises what the run raised.

        RunError when it was cancelled or paused.
        """
        task = self._task
        if task is None:
            raise RunError("the run is not started: use `async with runtime.start(…) as run`")
        await asyncio.wait((task,))
        if task.cancelled():
            raise stopped(self.state)
        return task.result()

    async def interrupt(
        self, text: str, *, source: str = "user", priority: Priority = "next", policy: Policy = "block"
    ) -> None:
        """Put `text` into the conversation; returns once it is recorded.

        `now` cuts a reply that is being written, `next` waits for its end, `silent`
        goes in with something else. When too many wait, `block` waits for room and
        `drop_oldest` drops the oldest of this source; with `coalesce` it takes the place
        of the one of this source that waits. RunError when the run has ended.
        """
        await self.state.interrupt(checked(Interrupt(source, text, priority, policy=policy)))

    async def signal(self, name: str, value: Json = None) -> None:
        """Let the outside event `name` happen; returns once it is recorded."""
        await self.state.signal(name, encode(value, f"the value of {name!r}"))

    async def approve(self, call: str) -> None:
        """Approve the call of this id."""
        await self.signal(f"approve/{call}", {"approved": True})

    async def deny(self, call: str, why: str = "") -> None:
        """Deny the call of this id; the model is told `why`."""
        await self.signal(f"approve/{call}", {"approved": False, "why": why})

    async def pause(self, *, stop: bool = False) -> None:
        """Start nothing new; with `stop`, end the run as `paused` once nothing is under way.

        A stopped run goes on by `runtime.resume(run_id, x)`.
        """
        gate = self.state.gate
        gate.pause()
        if stop:
            await gate.quiet()
            await self._end("paused", "it can be resumed")

    def resume(self) -> None:
        """Go on after `pause`."""
        self.state.gate.resume()

    async def cancel(self, reason: str = "") -> None:
        """End the run and everything in it, and return when nothing of it is left."""
        await self._end("cancelled", reason)

    def tree(self) -> str:
        """Return the live tree of runs and calls as text."""
        return self.state.tree()

    async def _end(self, status: str, reason: str) -> None:
        task = self._task
        if task is None:
            return
        if not task.done():
            self.state.stop_as = self.state.stop_as or status
            self.state.stop_reason = self.state.stop_reason or reason
            try:
                await end_all((task,))
            finally:
                if not task.cancelled():
                    task.exception()  # it is told by `result`, if anybody asks
        if self.state.status == "running":  # cancelled before its first step
            self.state.finish(self.state.stop_as or "cancelled", None)
            self.state.feed.close()
