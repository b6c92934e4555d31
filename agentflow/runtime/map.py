"""One job over many rows: typed results as they come, with back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from agentflow.errors import UserError
from agentflow.runtime.ending import end_all
from agentflow.runtime.result import Result

__all__ = ["MapStream"]

In = TypeVar("In")
Out = TypeVar("Out")


class _End:
    """Says that there is no further result."""


class MapStream(Generic[In, Out]):
    """An async context manager over an async iterator of results, in the order in which they end.

    At most `concurrency` rows are under way and as many results wait for the
    reader, so a million rows need no more memory than these.
    """

    def __init__(
        self,
        one: Callable[[In], Awaitable[Result[Out]]],
        rows: Iterable[In] | AsyncIterable[In],
        concurrency: int,
    ) -> None:
        if concurrency < 1:
            raise UserError(f"concurrency must be 1 or more, not {concurrency}")
        self._one = one
        self._rows = rows
        self._concurrency = concurrency
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> MapStream[In, Out]:
        self._results: asyncio.Queue[Result[Out] | _End] = asyncio.Queue(self._concurrency)
        self._task = asyncio.create_task(self._work(), name="map")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            await end_all((self._task,))

    def __aiter__(self) -> MapStream[In, Out]:
        return self

    async def __anext__(self) -> Result[Out]:
        if self._task is None:
            raise UserError("use `async with runtime.map(…) as results`")
        item = await self._results.get()
        if isinstance(item, Result):
            return item
        await asyncio.wait((self._task,))
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error
        raise StopAsyncIteration

    async def _work(self) -> None:
        rows = self._rows
        source = rows.__aiter__() if isinstance(rows, AsyncIterable) else _Async(iter(rows))
        lock = asyncio.Lock()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._concurrency):
                    if not await self._one_more(source, lock, group, number):
                        break
        finally:
            self._ended()

    async def _one_more(
        self, source: AsyncIterator[In], lock: asyncio.Lock, group: asyncio.TaskGroup, number: int
    ) -> bool:
        try:
            row = await anext(source)
        except StopAsyncIteration:
            return False
        group.create_task(self._worker(row, source, lock), name=f"map-{number}")
        return True

    async def _worker(self, row: In, source: AsyncIterator[In], lock: asyncio.Lock) -> None:
        while True:
            await self._results.put(await self._one(row))
            async with lock:
                try:
                    row = await anext(source)
                except StopAsyncIteration:
                    return

    def _ended(self) -> None:
        while True:
            try:
                self._results.put_nowait(_End())
                return
            except asyncio.QueueFull:
                # Only when the block is left or a row's source failed: nobody reads these.
                self._results.get_nowait()


class _Async(Generic[In]):
    """A plain iterator as an asynchronous one."""

    def __init__(self, rows: Iterator[In]) -> None:
        self._rows = rows

    def __aiter__(self) -> _Async[In]:
        return self

    async def __anext__(self) -> In:
        try:
            return next(self._rows)
        except StopIteration:
            raise StopAsyncIteration from None
