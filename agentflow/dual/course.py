"""Course: one slow process in one game: its calls, which wait, begin, end, or are ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from agentflow.dual.brief import Brief, Output, Partial, Update
from agentflow.dual.report import SlowReport
from agentflow.dual.slow import POLICY, Slow, Think
from agentflow.errors import UserError

if TYPE_CHECKING:
    from agentflow.runtime import Context, Runnable

__all__ = ["Course", "Table"]

_FAULTS = 5  # texts of faults that a report keeps
_SAID = 100_000  # characters of a partial text


class Table(Protocol):
    """What a course needs of its game."""

    @property
    def context(self) -> Context[object]:
        """The game's run."""

    @property
    def group(self) -> asyncio.TaskGroup:
        """Its tasks."""

    @property
    def over(self) -> bool:
        """Whether it has ended."""

    def brief(
        self, slow: Slow, why: str, messages: list[str], rebase: Output | None
    ) -> Brief[object, object]:
        """Return what a slow process is told of the present."""

    def arrive(self, course: Course, output: Output) -> None:
        """Take an output in, to be looked at when the next tick begins."""


class Course:
    """One slow process in one game. `partial` is what its call under way has written."""

    def __init__(self, slow: Slow, table: Table) -> None:
        self.slow = slow
        self.report = SlowReport()
        self.partial: Partial | None = None
        self.run = ""  # the run of the call under way, when it is an agent's
        self.messages: list[str] = []
        self._table = table
        self._number = 0  # of the call that counts: an earlier one that goes on is not listened to
        self._task: asyncio.Task[None] | None = None
        self._line: deque[Brief[object, object]] = deque()
        self._again: tuple[str, Output | None] | None = None

    @property
    def thinking(self) -> bool:
        """Whether a call is under way."""
        return self._task is not None

    def trigger(self, why: str, rebase: Output | None = None) -> None:
        """Begin a call, or do what `inflight` says while one is under way."""
        if self._task is None:
            self._begin(self._brief(why, rebase))
        elif self.slow.inflight == "restart":
            self.report.restarted += 1
            self._task.cancel()
            self._begin(self._brief(why, rebase))
        elif self.slow.inflight == "queue":
            if len(self._line) == self.slow.line:
                self._line.popleft()
                self.report.merged += 1
            self._line.append(self._brief(why, rebase))
        else:
            self.report.merged += self._again is not None
            self._again = (why, rebase or (self._again[1] if self._again else None))

    def end(self) -> None:
        """End the call under way: the game is over."""
        self._number += 1
        if self._task is not None:
            self._task.cancel()

    def fault(self, text: str) -> None:
        """Keep what went wrong, of the first few times."""
        if len(self.report.faults) < _FAULTS:
            self.report.faults.append(" ".join(text.split())[:200])

    def _brief(self, why: str, rebase: Output | None) -> Brief[object, object]:
        messages, self.messages = self.messages, []
        return self._table.brief(self.slow, why, messages, rebase)

    def _begin(self, brief: Brief[object, object]) -> None:
        self._number += 1
        self.report.calls += 1
        self.partial, self.run = None, ""
        work = self._work(brief, self._number)
        try:
            self._task = self._table.group.create_task(work, name=f"slow/{self.slow.name}")
        except RuntimeError:  # the game is being ended
            work.close()
            self._task = None

    def _next(self) -> None:
        """Begin what has waited for the call that has ended."""
        self._task, self.partial, self.run = None, None, ""
        if self._table.over:
            return
        if self._line:
            self._begin(self._line.popleft())
        elif self._again is not None:
            (why, rebase), self._again = self._again, None
            self._begin(self._brief(why, rebase))

    async def _work(self, brief: Brief[object, object], number: int) -> None:
        clock = self._table.context.clock
        issued = clock.time()

        def say(text: str) -> None:
            if self._number == number:
                self.hear(text, brief.tick)

        brief = replace(brief, say=say)
        try:
            async with asyncio.timeout(self.slow.timeout) as timeout:
                value = await self._think(brief, number)
        except Exception as error:
            if self._number == number:
                self._failed(error, isinstance(error, TimeoutError) and timeout.expired())
        else:
            if self._number == number and value is not None:
                self._arrived(value, brief, issued, clock.time())
        finally:
            if self._number == number:
                self._next()

    def hear(self, text: str, based_on: int) -> None:
        """Add to the text of the call under way."""
        before = "" if self.partial is None else self.partial.text
        self.partial = Partial((before + text)[-_SAID:], based_on)

    def _failed(self, error: Exception, timed_out: bool) -> None:
        if timed_out:
            self.report.timed_out += 1
            self.fault(f"no answer in {self.slow.timeout:g} s")
        else:
            self.report.failed += 1
            self.fault(f"{type(error).__name__}: {error}")

    async def _think(self, brief: Brief[object, object], number: int) -> object:
        """Return what the process thinks, in a run of its own below the game's."""
        context = self._table.context
        key = f"{self.slow.name}-{number}"
        think = self.slow.think
        if hasattr(think, "__run__"):
            assert self.slow.prompt is not None
            self.run = f"{context.run_id}/{key}"
            self.partial = Partial("", brief.tick)
            agent = cast("Runnable[object, str, object]", think)
            return (await context.run(agent, self.slow.prompt(brief), key=key)).output
        found: list[object] = []

        async def work(inner: Context[object], input: None) -> None:
            found.append(await cast("Think", think)(inner, brief))

        await context.run(work, None, key=key)
        return found[0]

    def _arrived(self, value: object, brief: Brief[object, object], issued: float, now: float) -> None:
        try:
            update = self._update(value)
        except UserError as error:
            self.report.invalid += 1
            self.fault(str(error))
            return
        rebased = 0 if brief.rebase is None else brief.rebase.rebased + 1
        model = self.slow.model
        output = Output(self.slow.name, update, brief.tick, issued, now, model, brief.seen, rebased)
        self._table.arrive(self, output)

    def _update(self, value: object) -> Update:
        """Return what a process gave as an update. Raises `UserError`."""
        if isinstance(value, Update):
            return value
        if self.slow.into == POLICY:
            return Update({}, policy=value)
        if self.slow.into is not None:
            return Update({self.slow.into: value})
        if isinstance(value, Mapping):
            return Update({str(name): each for name, each in value.items()})
        kind = type(value).__name__
        raise UserError(
            f"it gave a {kind}: an Update or a mapping of slots is wanted, or into= names the slot"
        )
