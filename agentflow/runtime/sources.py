"""What interrupts a run by itself: timers, and any async iterable that is listened to.

Each run reads an iterator of its own, in a task of its own that ends with the run. A
source that fails is told to the model in one line, and the run goes on.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeAlias, TypeVar

from agentflow.errors import RunError, UserError
from agentflow.runtime.clock import current_clock
from agentflow.runtime.context import Context
from agentflow.runtime.ending import end_all
from agentflow.runtime.inbox import Interrupt, Policy, Priority, checked
from agentflow.runtime.ledger import encode
from agentflow_protocols.chat import Json
from agentflow_protocols.duration import parse_duration
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["Listened", "Listening", "Source", "Timer"]

Deps = TypeVar("Deps")

Values: TypeAlias = AsyncIterable[str] | AsyncIterable[Json] | AsyncIterable[Mapping[str, Json]]
Source: TypeAlias = Values | Callable[[Context[Deps]], Values]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_TAKEN = ("user", "system", "agent")


class Timer:
    """A source that says `text` every so often, on the run's clock.

    `every` and `after` are seconds or a duration such as `"10m"`; the first tick comes
    `after` that long (default: `every`), the others at whole multiples of `every` later,
    `times` in all (None: as long as the run). A tick that is late is not made up for.
    After a crash a timer begins anew.
    """

    def __init__(
        self,
        every: float | str,
        text: str = "time has passed",
        *,
        after: float | str | None = None,
        times: int | None = None,
    ) -> None:
        self.every = _seconds("every", every, least=1e-6)
        self.after = self.every if after is None else _seconds("after", after, least=0.0)
        if times is not None and times < 1:
            raise UserError(f"a timer's times must be 1 or more, not {times!r}")
        self.text = text
        self.times = times

    def __repr__(self) -> str:
        return f"Timer({self.every:g})"

    def __aiter__(self) -> AsyncIterator[str]:
        return _Ticks(self)


class _Ticks:
    """The ticks of one run's timer."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._first = current_clock().time() + timer.after
        self._told = 0
        self._next = 0  # of all multiples, the one that is due next

    def __aiter__(self) -> _Ticks:
        return self

    async def __anext__(self) -> str:
        timer, clock = self._timer, current_clock()
        if timer.times is not None and self._told >= timer.times:
            raise StopAsyncIteration
        late = (clock.time() - self._first) / timer.every
        self._next = max(self._next, math.floor(late + 1e-9))
        await asyncio.sleep(max(0.0, self._first + self._next * timer.every - clock.time()))
        self._next += 1
        self._told += 1
        return timer.text


def _seconds(what: str, value: float | str, least: float) -> float:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else float(value)
    except (RemoteProtocolError, TypeError, ValueError):
        seconds = math.nan
    if not least <= seconds < math.inf:
        raise UserError(f'a timer\'s {what} is seconds or a duration such as "10m", not {value!r}')
    return seconds


@dataclass(frozen=True, slots=True)
class Listened(Generic[Deps]):
    """A source that an agent listens to, its name and how what it says goes in."""

    source: Source[Deps]
    name: str
    priority: Priority = "next"
    policy: Policy = "coalesce"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name.split(".")[0] in _TAKEN:
            raise UserError(
                f"a source can't be named {self.name!r}: a name has letters, digits and `_.-`, begins with a"
                f" letter, and is none of {', '.join(_TAKEN)}"
            )
        checked(Interrupt(self.name, "", self.priority, policy=self.policy))
        if hasattr(self.source, "__anext__"):
            raise UserError(
                f"source {self.name}: an iterator can be read by one run only; give the function that makes"
                " it, or an object whose __aiter__ does"
            )
        if not callable(self.source) and not hasattr(self.source, "__aiter__"):
            raise UserError(
                f"source {self.name}: listen to an async iterable, or a function of the context that returns"
                f" one, not to {type(self.source).__name__}"
            )

    def values(self, context: Context[Deps]) -> Values:
        """Return what one run reads."""
        source = self.source
        return source if isinstance(source, AsyncIterable) else source(context)


class Listening(Generic[Deps]):
    """The open sources of one run: a context manager whose end leaves nothing of them."""

    def __init__(self, context: Context[Deps], sources: Iterable[Listened[Deps]]) -> None:
        self._context = context
        self._sources = tuple(sources)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Listening[Deps]:
        for source in self._sources:
            self._context.inbox.sources += 1
            self._tasks.append(asyncio.create_task(self._read(source), name=f"source {source.name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end_all(self._tasks)
        faults = [fault for task in self._tasks if not task.cancelled() and (fault := task.exception())]
        if faults and kind is None:
            raise faults[0]

    async def _read(self, source: Listened[Deps]) -> None:
        """Put every value of a source into the inbox, and say so when it fails."""
        inbox = self._context.inbox
        try:
            await self._all(source)
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            await self._say(
                source.name, f"this source failed, and says nothing more: {told}", "next", "block"
            )
        finally:
            inbox.sources -= 1
            inbox.changed.set()  # a trap that waited for it alone is over

    async def _all(self, source: Listened[Deps]) -> None:
        values: AsyncIterator[object] = aiter(source.values(self._context))
        try:
            async for value in values:
                text = value if isinstance(value, str) else encode(value, f"source {source.name}").decode()
                await self._say(source.name, text, source.priority, source.policy)
                await asyncio.sleep(0)  # one that never waits lets others run
        finally:
            close = getattr(values, "aclose", None)
            if close is not None:
                await close()

    async def _say(self, name: str, text: str, priority: Priority, policy: Policy) -> None:
        """Interrupt the run, unless it has ended."""
        try:
            await self._context.state.interrupt(Interrupt(name, text, priority, policy=policy))
        except RunError:
            if not self._context.inbox.closed:
                raise
