"""The kinds of a tool: async function, async generator, plain function in a thread.

A `Call` takes the context, the arguments, and whom to tell what a generator yields.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing
from functools import partial
from typing import TypeAlias, TypeVar, cast

from agentflow.errors import UserError
from agentflow.tools.options import Progress

__all__ = ["Call", "GeneratorCall", "Yielded", "call_of", "wait_out"]

T = TypeVar("T")
Yielded: TypeAlias = Callable[[object], None]
Call: TypeAlias = Callable[[object, Mapping[str, object], Yielded | None], Awaitable[object]]


def call_of(tool: str, function: Callable[..., object], takes_context: bool) -> Call:
    """Return the call that fits `function`. Raises `UserError` for one that fits none."""
    kind: object = function
    if not inspect.isroutine(function):
        kind = getattr(function, "func", type(function).__call__)
    if inspect.isasyncgenfunction(kind):
        return GeneratorCall(function, takes_context)
    if inspect.isgeneratorfunction(kind):
        raise UserError(f"tool `{tool}`: a plain generator can't be a tool; write `async def`")
    if inspect.iscoroutinefunction(kind):
        return _Coroutine(function, takes_context)
    return _Thread(function, takes_context)


class _Coroutine:
    __slots__ = ("_function", "_takes_context")

    def __init__(self, function: Callable[..., object], takes_context: bool) -> None:
        self._function = cast("Callable[..., Awaitable[object]]", function)
        self._takes_context = takes_context

    def __call__(
        self, context: object, arguments: Mapping[str, object], yielded: Yielded | None
    ) -> Awaitable[object]:
        if self._takes_context:
            return self._function(context, **arguments)
        return self._function(**arguments)


class GeneratorCall:
    """The call of an async generator: every yielded thing is told, the last value is the result."""

    __slots__ = ("_function", "_takes_context")

    def __init__(self, function: Callable[..., object], takes_context: bool) -> None:
        self._function = cast("Callable[..., AsyncGenerator[object, None]]", function)
        self._takes_context = takes_context

    async def __call__(
        self, context: object, arguments: Mapping[str, object], yielded: Yielded | None
    ) -> object:
        """Run the generator to its end. It is closed whatever happens."""
        first = (context,) if self._takes_context else ()
        last: object = None
        async with aclosing(self._function(*first, **arguments)) as values:
            async for value in values:
                if yielded is not None:
                    yielded(value)
                if not isinstance(value, Progress):
                    last = value
        return last


class _Thread:
    __slots__ = ("_function", "_takes_context")

    def __init__(self, function: Callable[..., object], takes_context: bool) -> None:
        self._function = function
        self._takes_context = takes_context

    async def __call__(
        self, context: object, arguments: Mapping[str, object], yielded: Yielded | None
    ) -> object:
        first = (context,) if self._takes_context else ()
        pool = getattr(context, "threads", None)
        value = await _in_thread(partial(self._function, *first, **arguments), pool)
        return await value if inspect.isawaitable(value) else value


async def _in_thread(function: Callable[[], object], pool: Executor | None) -> object:
    """Run `function` in `pool`, the loop's own when that is None. A cancellation waits for the thread.

    A thread can't be stopped; leaving it behind would let work outlive its run. One
    that has not begun never does.
    """
    begun = threading.Lock()

    def work() -> object:
        return function() if begun.acquire(blocking=False) else None

    copied = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(pool, copied.run, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if begun.acquire(blocking=False):
            future.cancel()
            raise
        await wait_out(future)
        if not future.cancelled():
            future.exception()
        raise


async def wait_out(future: asyncio.Future[T]) -> None:
    """Wait until `future` is done, whatever cancels this task meanwhile.

    For the way out of a cancelled call: the caller raises the first cancellation.
    """
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
