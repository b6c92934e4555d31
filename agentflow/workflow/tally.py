"""The tool calls of a run and their seconds, counted from its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agentflow.runtime import Context, EventStream
from agentflow.session.blocks import BUILTINS, TRANSFER
from agentflow_protocols.trace import Event, ToolFinished

__all__ = ["Tally", "counts", "own_seconds", "tally_of"]


@dataclass(slots=True)
class Tally:
    """Counts the tool calls of a run from its events."""

    context: Context[object]
    stream: EventStream
    seen: int
    calls: int = 0
    seconds: float = 0.0
    task: asyncio.Task[None] | None = field(default=None)
    inner: dict[str, float] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Count the event, when it is the end of a call."""
        self.seen = event.seq
        inside = event.run == self.context.run_id or event.run.startswith(f"{self.context.run_id}/")
        if isinstance(event, ToolFinished) and inside and counts(event.name):
            self.calls += 1
            self.seconds += own_seconds(event, self.inner)

    async def follow(self) -> None:
        """Count what comes, until cancelled."""
        async for event in self.stream:
            self.take(event)

    async def caught_up(self) -> None:
        """Stop following, and count what has been told and not yet read."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        while self.seen < self.context.state.feed.seq:
            self.take(await anext(self.stream))


def counts(name: str) -> bool:
    """Return whether a call of this name is a tool's, and not one that the session answers itself."""
    return name not in BUILTINS and not name.startswith(TRANSFER)


def own_seconds(event: ToolFinished, inner: dict[str, float]) -> float:
    """Return the seconds of a call without those of the calls in it, when it was an agent's.

    `inner` keeps the seconds of the calls of each run, and is brought up to date.
    """
    within = inner.pop(f"{event.run}/{event.name}-{event.call}", 0.0)
    inner[event.run] = inner.get(event.run, 0.0) + event.seconds
    return max(0.0, event.seconds - within)


@asynccontextmanager
async def tally_of(context: Context[object]) -> AsyncIterator[Tally]:
    """Count the tool calls of the run while the block lasts."""
    feed = context.state.feed
    tally = Tally(context, feed.attach(feed.seq), feed.seq)
    tally.task = asyncio.create_task(tally.follow(), name=f"{context.run_id}/tally")
    try:
        yield tally
    finally:
        tally.task.cancel()
        await asyncio.wait([tally.task])
        feed.leave(tally.stream)
