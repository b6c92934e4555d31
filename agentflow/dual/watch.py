"""Watch: perception that never stops, a decision at each thing seen, and reactions that take their time.

Source of the idea: Dispider, arXiv 2501.03218: perception and decision are light and always on, and the
response is made beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from agentflow.runtime import Context

__all__ = ["Decision", "Watch", "WatchReport"]

Seen = TypeVar("Seen")
Out = TypeVar("Out")

Decision: TypeAlias = Literal["react", "interrupt"] | None
"""`react` waits for the reaction under way, `interrupt` ends it for a new one."""


@dataclass(slots=True)
class WatchReport(Generic[Out]):
    """What came of watching: how much was seen, and the outcomes of reactions in the order of their ends.

    `merged` triggers gave way to a later one while a reaction was under way; `delays` are seconds on the
    run's clock from a trigger to the beginning of its reaction.
    """

    seen: int = 0
    reactions: int = 0
    interrupted: int = 0
    merged: int = 0
    failed: int = 0
    outcomes: list[Out] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)


class Watch(Generic[Seen, Out]):
    """See all of a stream, and react to some of it; run it, and the output is a `WatchReport`.

    `decide` is a plain, quick function of one thing seen. `react` is an async function of a Context and
    the thing; each call is a run of its own. The stream is read on while it works: what triggers
    meanwhile waits (the latest only), or ends it. After the stream's end the last reaction is awaited.
    """

    kind = "watch"
    output_type = WatchReport

    def __init__(
        self,
        stream: AsyncIterable[Seen],
        *,
        decide: Callable[[Seen], Decision],
        react: Callable[[Context[object], Seen], Awaitable[Out]],
        name: str = "watch",
    ) -> None:
        self.name = name
        self._stream = stream
        self._decide = decide
        self._react = react

    async def __run__(self, context: Context[object], input: object = None, /) -> WatchReport[Out]:
        """Watch to the stream's end. A decision or a stream that raises ends it, a reaction does not."""
        report = WatchReport[Out]()
        async with asyncio.TaskGroup() as group:
            reactions = _Reactions(self._react, context, group, report)
            try:
                async for seen in self._stream:
                    report.seen += 1
                    reactions.trigger(self._decide(seen), seen)
            except BaseException:
                reactions.end()
                raise
        return report


class _Reactions(Generic[Seen, Out]):
    """The reactions of one watch: one at a time, and the latest that waits."""

    def __init__(
        self,
        react: Callable[[Context[object], Seen], Awaitable[Out]],
        context: Context[object],
        group: asyncio.TaskGroup,
        report: WatchReport[Out],
    ) -> None:
        self._react = react
        self._context = context
        self._group = group
        self._report = report
        self._task: asyncio.Task[None] | None = None
        self._waiting: tuple[Seen, float] | None = None

    def trigger(self, decision: Decision, seen: Seen) -> None:
        now = self._context.clock.time()
        if decision is None:
            return
        if self._task is None:
            self._begin(seen, now)
        elif decision == "interrupt":
            self._report.interrupted += 1
            self._task.cancel()
            self._waiting = None
            self._begin(seen, now)
        else:
            self._report.merged += self._waiting is not None
            self._waiting = (seen, now)

    def end(self) -> None:
        self._waiting = None
        if self._task is not None:
            self._task.cancel()

    def _begin(self, seen: Seen, triggered: float) -> None:
        self._report.reactions += 1
        number = self._report.reactions
        self._task = self._group.create_task(self._work(seen, number, triggered), name=f"reaction-{number}")

    async def _work(self, seen: Seen, number: int, triggered: float) -> None:
        report, context = self._report, self._context
        report.delays.append(context.clock.time() - triggered)
        found: list[Out] = []

        async def react(inner: Context[object], input: None) -> None:
            found.append(await self._react(inner, seen))

        try:
            await context.run(react, None, key=f"reaction-{number}")
            report.outcomes += found
        except Exception as error:
            report.failed += 1
            if len(report.faults) < 5:
                report.faults.append(f"{type(error).__name__}: {error}"[:200])
        finally:
            if number == report.reactions:  # no later one has taken its place
                self._task = None
                if self._waiting is not None:
                    (seen, at), self._waiting = self._waiting, None
                    self._begin(seen, at)
