"""Calling what a step is: a function, an Agent, a Tool, or another Plan."""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from agentflow.errors import UserError
from agentflow.runtime.context import Context, output_type
from agentflow.runtime.ledger import encode
from agentflow.tools import Tool
from agentflow_protocols.trace import StepProgress

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = [
    "BEGUN",
    "Callee",
    "begin_once",
    "callee_of",
    "child_of",
]

BEGUN = "call"  # the key, in a step's own run, of a tool's call that must not be made twice

_PLAIN = (str, int, float, bool, list, dict, tuple, set, bytes)


class Callee:
    """A step's function, looked at once: how it is called, and what it says it returns."""

    __slots__ = ("_adapter", "_kind", "child", "fn", "is_async", "takes_context", "tool")

    def __init__(self, fn: object) -> None:
        self.fn = fn
        self.tool = (
            fn if isinstance(fn, Tool) else cast("Tool[..., object] | None", getattr(fn, "tool", None))
        )
        self.takes_context = _takes_context(fn)
        self.child = hasattr(fn, "__run__") or isinstance(fn, Tool) or self.takes_context
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
            getattr(fn, "__call__", None)  # noqa: B004
        )
        self._kind = None if isinstance(fn, Tool) else output_type(fn)
        self._adapter: TypeAdapter[object] | None = None

    @property
    def simple(self) -> bool:
        """Whether it is an async function that needs no run of its own."""
        return self.is_async and not self.child

    @property
    def kind(self) -> object:
        """The type that it says it returns, None when it does not say."""
        return self._kind

    def call(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Awaitable[object] | object:
        """Call an async function that takes no context."""
        return cast("Callable[..., Awaitable[object]]", self.fn)(*args, **kwargs)

    async def call_in_thread(
        self, context: Context[object], args: Sequence[object], kwargs: Mapping[str, object]
    ) -> object:
        """Call a plain function in a thread."""
        function = cast("Callable[..., object]", self.fn)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(context.threads, lambda: function(*args, **kwargs))

    def check(self, step: str, value: object) -> object:
        """Return the value when it is of the type that the function says. Raises `UserError`."""
        kind = self._kind
        if kind is None or kind is object or type(value) is kind:
            return value
        if kind in _PLAIN:
            raise _wrong(step, value, kind)
        try:
            if self._adapter is None:
                from pydantic import TypeAdapter

                self._adapter = TypeAdapter(cast("type[object]", kind))
            self._adapter.validate_python(value, strict=True)
        except Exception as error:
            if type(error).__name__ != "ValidationError":
                self._kind = None  # a type that pydantic does not know: nothing can be said
                return value
            raise _wrong(step, value, kind) from None
        return value


async def begin_once(context: Context[object]) -> None:
    """Put down, before a tool begins that must not be run twice, that it does."""
    if context.ledger.durable:
        context.ledger.put(BEGUN, None, status="started")
        await context.ledger.barrier()


class _Bound:
    """A call with its arguments, as a job of its own run."""

    kind = "step"

    def __init__(
        self, name: str, callee: Callee, args: Sequence[object], kwargs: Mapping[str, object], once: bool
    ) -> None:
        self.name = name
        self.output_type = callee.kind
        self._callee = callee
        self._args = args
        self._kwargs = kwargs
        self._once = once

    async def __run__(self, context: Context[object], input: object, /) -> object:
        fn = self._callee.fn
        if isinstance(fn, Tool):
            names = cast("Mapping[str, object]", fn.spec.parameters["properties"])
            named = dict(zip(names, self._args, strict=False))
            arguments = encode({**named, **self._kwargs}, f"the arguments of step {self.name}")
            checked = fn.validate(arguments.decode())
            with context.state.gate.busy():
                if self._once:
                    await begin_once(context)
                return await fn.run(context, checked)
        above = context.state.parent
        if above is not None:
            context = context.for_call("", "", lambda data: above.emit(StepProgress(self.name, data)))
        value = cast("Callable[..., object]", fn)(context, *self._args, **self._kwargs)
        return await value if inspect.isawaitable(value) else value


def child_of(
    name: str, callee: Callee, args: Sequence[object], kwargs: Mapping[str, object], *, once: bool = False
) -> tuple[object, object]:
    """Return what is run as a child run for a step, and its input; a tool `once` must not be run twice."""
    if hasattr(callee.fn, "__run__"):
        if kwargs or len(args) > 1:
            raise UserError(f"step {name}: {type(callee.fn).__name__} takes one input")
        return callee.fn, args[0] if args else None
    return _Bound(name, callee, args, kwargs, once), None


def callee_of(step: str, fn: object) -> Callee:
    """Return a step's function, looked at. Raises `UserError` for what can't be called."""
    if not callable(fn) and not hasattr(fn, "__run__"):
        what = type(fn).__name__
        raise UserError(f"step {step}: {what} can't be run: give a function, an Agent, a Tool or a Plan")
    return Callee(fn)


def _takes_context(fn: object) -> bool:
    """Return whether a function's first parameter is a Context."""
    if hasattr(fn, "__run__") or isinstance(fn, Tool) or not callable(fn):
        return False
    try:
        first = next(iter(inspect.signature(fn).parameters.values()), None)
        if first is None or first.annotation is inspect.Parameter.empty:
            return False
        hint = first.annotation
        if isinstance(hint, str):
            hint = typing.get_type_hints(fn).get(first.name)
    except (TypeError, ValueError, NameError):
        return False
    return typing.get_origin(hint) is Context or hint is Context


def _wrong(step: str, value: object, kind: object) -> UserError:
    said = getattr(kind, "__name__", None) or str(kind)
    return UserError(f"step {step} gave {type(value).__name__}, where it says that it returns {said}")
