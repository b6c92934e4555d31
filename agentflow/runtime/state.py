"""One run in the tree of runs, as the runtime knows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import TracebackType
from typing import cast

from agentflow.errors import RunError
from agentflow.runtime.budget import Budget, Limits
from agentflow.runtime.bus import Feed
from agentflow.runtime.clock import Clock
from agentflow.runtime.inbox import DROPPED, Inbox, Interrupt, Priority
from agentflow.runtime.journal import InterruptFact, RunRecord, SignalFact
from agentflow.runtime.ledger import Ledger, decode
from agentflow.runtime.signal import Signal
from agentflow_protocols.chat import Message
from agentflow_protocols.trace import Event

__all__ = ["Gate", "RunState"]


class Gate:
    """What stands between an outermost run and its next step: open, or paused.

    The events are made when they are needed: most runs are never paused, and an
    asyncio.Event takes as much memory as all else that is here.
    """

    __slots__ = ("_busy", "_clock", "_closed", "_quiet")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._busy = 0
        self._closed: asyncio.Event | None = None
        self._quiet: asyncio.Event | None = None

    def pause(self) -> None:
        """Let nothing new start; what runs goes on."""
        self._closed = self._closed or asyncio.Event()

    def resume(self) -> None:
        """Let things start again."""
        closed, self._closed = self._closed, None
        if closed is not None:
            closed.set()

    @property
    def closed(self) -> bool:
        """Whether nothing new may start."""
        return self._closed is not None

    async def passed(self) -> None:
        """Wait until the gate is open."""
        while self._closed is not None:
            with self._clock.external():
                await self._closed.wait()

    def busy(self) -> Gate:
        """Return a context manager that counts something as under way."""
        return self

    def __enter__(self) -> None:
        self._busy += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._busy -= 1
        if not self._busy and self._quiet is not None:
            self._quiet.set()

    async def quiet(self) -> None:
        """Wait until nothing is under way."""
        while self._busy:
            self._quiet = asyncio.Event()
            await self._quiet.wait()


class RunState:
    """A run: who it is, what it may spend, where its events and facts go."""

    def __init__(
        self,
        id: str,
        *,
        kind: str,
        name: str,
        clock: Clock,
        ledger: Ledger,
        limits: Limits | None,
        parent: RunState | None,
        feed: Feed,
    ) -> None:
        self.id = id
        self.kind = kind
        self.name = name
        self.clock = clock
        self.ledger = ledger
        self.parent = parent
        self.feed = feed
        self.root: RunState = parent.root if parent else self
        self.gate: Gate = parent.gate if parent else Gate(clock)
        self.budget: Budget = Budget(limits, parent.budget if parent else None)
        self.inbox = Inbox()
        self.idle = Signal()  # set while its model waits for calls that run beside it
        self.children: dict[str, RunState] = {}
        self.records: dict[str, RunRecord] = parent.records if parent else {}
        self.activity: dict[str, float] = {}
        self.artifacts: dict[str, bytes] = {}
        self.messages: list[Message] = []
        self.live: object | None = None  # what may be changed while it runs: a plan
        self.status = "running"
        self.stop_as: str | None = None  # the status that a cancellation from outside means
        self.stop_reason = ""
        self.error: BaseException | None = None
        self.task: asyncio.Task[object] | None = None  # of an outermost run
        self.began = clock.time()
        self.began_wall = time.monotonic()
        self.ended: float | None = None
        self.ended_wall: float | None = None
        own = self.began + limits.time if limits and limits.time is not None else None
        above = parent.deadline if parent else None
        self.deadline: float | None = min((d for d in (own, above) if d is not None), default=None)
        self._signals: dict[str, asyncio.Future[bytes]] = {}

    def emit(self, event: Event) -> None:
        """Tell an event of this run."""
        self.feed.emit(event, self.id)

    def finish(self, status: str, error: BaseException | None) -> None:
        """Mark the run as ended."""
        self.status, self.error = status, error
        self.inbox.close()
        self.ended, self.ended_wall = self.clock.time(), time.monotonic()
        self.activity.clear()

    @property
    def wall_s(self) -> float:
        """Wall seconds so far, or in all."""
        return (self.ended_wall if self.ended_wall is not None else time.monotonic()) - self.began_wall

    @property
    def virtual_s(self) -> float | None:
        """Seconds on a virtual clock, None on the wall clock."""
        if self.clock.kind == "wall":
            return None
        return (self.ended if self.ended is not None else self.clock.time()) - self.began

    async def interrupt(self, interrupt: Interrupt) -> None:
        """Put an interrupt into the inbox, and return once it is recorded.

        Waits for room, as the interrupt's policy says. RunError when the run has ended.
        """
        await self.inbox.room(interrupt)
        self.put(interrupt)
        await self.ledger.barrier()

    def interrupt_soon(self, source: str, text: str) -> None:
        """Put an interrupt into the inbox without waiting; the newest of a source replaces the one before."""
        if not self.inbox.closed:
            self.put(Interrupt(source, text, policy="coalesce"))

    def put(self, interrupt: Interrupt) -> None:
        """Queue an interrupt and put it down, with no wait between. RunError when the run has ended."""
        if self.inbox.closed or self.status != "running":
            how = "ended" if self.status == "running" else self.status
            raise RunError(f"run {self.id} has {how}: nothing can be sent to it")
        dropped = self.inbox.put(interrupt)
        if dropped is not None:
            self.ledger.put_fact(InterruptFact(self.id, dropped.seq, dropped.source, "", DROPPED))
        self.ledger.put_fact(
            InterruptFact(self.id, interrupt.seq, interrupt.source, interrupt.text, interrupt.priority)
        )

    def restore_interrupts(self, record: RunRecord) -> None:
        """Queue the interrupts that an earlier process recorded."""
        if not record.interrupts:
            return
        delivered: set[object] = set()
        for key, step in record.steps.items():
            if key.startswith("deliver/") and step.status == "ok":
                delivered.update(cast("dict[str, list[object]]", decode(step.output))["interrupts"])
        waiting = [
            Interrupt(fact.source, fact.text, cast("Priority", fact.priority), fact.seq, "coalesce")
            for fact in record.interrupts
            if fact.priority != DROPPED
        ]
        last = max(fact.seq for fact in record.interrupts)
        self.inbox.restore(waiting, cast("set[int]", delivered), last)

    def signal_of(self, name: str) -> asyncio.Future[bytes]:
        """Return the future of an outside event."""
        future = self._signals.get(name)
        if future is None:
            future = self._signals[name] = asyncio.get_running_loop().create_future()
            if name in self.ledger.signals:
                future.set_result(self.ledger.signals[name])
        return future

    async def signal(self, name: str, value: bytes) -> None:
        """Let an outside event happen, once it is recorded: here, or below where it is waited for."""
        target = next((state for state in self.walk() if name in state._signals), self)
        target.ledger.put_fact(SignalFact(target.id, name, value))
        await target.ledger.barrier()
        future = target.signal_of(name)
        if not future.done():
            future.set_result(value)

    def walk(self) -> Iterator[RunState]:
        """Yield this run and all below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def tree(self, depth: int = 0) -> str:
        """Return the run, what it does and the runs below it, a line each."""
        now = self.clock.time()
        pad = "  " * depth
        seconds = (self.ended if self.ended is not None else now) - self.began
        lines = [f"{pad}{self.name} [{self.status}] {seconds:.1f} s  {self.id}"]
        lines += [f"{pad}  · {what} {now - since:.1f} s" for what, since in self.activity.items()]
        lines += [child.tree(depth + 1) for child in self.children.values()]
        return "\n".join(lines)
