"""A tool: something that a model may call, and `@tool` that makes one of a function."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cached_property, update_wrapper
from typing import Generic, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from agentflow.errors import RunError, ToolError, ToolFailed, UserError
from agentflow.runtime.clock import current_clock
from agentflow.tools.calls import Call, GeneratorCall, Yielded, call_of
from agentflow.tools.options import OptionValues, Progress, ToolOptions
from agentflow.tools.process import Process
from agentflow.tools.schema import SchemaParameters
from agentflow.tools.signature import SignatureParameters
from agentflow_protocols.chat.messages import Json, ToolSpec

__all__ = ["Parameters", "Tool", "ToolMaker", "from_function", "render", "tool", "tools_by_name"]

P = ParamSpec("P")
R = TypeVar("R")
Ro = TypeVar("Ro", covariant=True)
C = TypeVar("C")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0


class Parameters(Protocol):
    """What a model may pass: its JSON Schema, and the check of what it did pass."""

    @property
    def schema(self) -> Mapping[str, Json]:
        """The JSON Schema of the arguments object."""

    @property
    def description(self) -> str:
        """What the tool does, as far as its parameters' source says it."""

    def validate(self, arguments: str) -> dict[str, object]:
        """Return the checked arguments of a JSON text. Raises `ToolRetry`."""


class Tool(Generic[P, Ro]):
    """Something that a model may call. Made by `@tool`, `tool.process` or `Tool.from_schema`.

    Calling the tool itself calls the function behind it, with the function's own types.
    """

    def __init__(
        self,
        function: Callable[P, Ro],
        call: Call,
        parameters: Parameters,
        *,
        name: str,
        description: str | None = None,
        options: ToolOptions | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise UserError(f"tool `{name}`: a name has 1 to 64 letters, digits, `_` or `-`")
        self.name = name
        self.options = options or ToolOptions()
        if self.options.reply == "stream" and not isinstance(call, GeneratorCall):
            raise UserError(f'tool `{name}`: reply="stream" needs an async generator function')
        self._function = function
        self._call = call
        self._parameters = parameters
        self._description = description

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Ro:
        """Call the function behind the tool directly: no checks, no retries, no time-out."""
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as a model sees it. Raises `UserError` for a parameter without a JSON form."""
        text = self._parameters.description if self._description is None else self._description
        return ToolSpec(self.name, text, self._parameters.schema)

    def validate(self, arguments: str) -> dict[str, object]:
        """Return the checked and converted arguments of a model's JSON text.

        Raises `ToolRetry` with one line: the path, what was found, what is allowed.
        """
        return self._parameters.validate(arguments)

    async def run(
        self, context: object, arguments: Mapping[str, object], yielded: Yielded | None = None
    ) -> Json:
        """Call the tool with validated `arguments` and return its value as JSON.

        Keeps the tool's time-out, and tries again after unexpected errors as often as
        its `retries` say, with waits of 0.5, 1, 2, … at most 30 seconds. `yielded` is
        told each `Progress`, and with reply `stream` each other value; then the call's
        own value is None.

        Raises `ToolRetry` and `ToolFailed` of the tool as they are, and `ToolFailed` for
        any other error (its cause is kept). `UserError` and `RunError` pass: no model
        can mend those.
        """
        tries = 0
        streams = self.options.reply == "stream"
        told = yielded if streams or yielded is None else _only_progress(yielded)
        while True:
            try:
                value = await self._within(context, arguments, told)
                return None if streams else _to_json(self.name, value)
            except (ToolError, UserError, RunError):
                raise
            except Exception as error:
                if tries >= self.options.retries:
                    raise self._failure(error) from error
            await asyncio.sleep(min(_FIRST_WAIT * 2**tries, _LONGEST_WAIT))
            tries += 1

    def with_options(
        self, *, name: str | None = None, description: str | None = None, **options: Unpack[OptionValues]
    ) -> Tool[P, Ro]:
        """Return the same tool with another name, description or other options."""
        name = self.name if name is None else name
        merged = {field: getattr(self.options, field) for field in ToolOptions.__slots__} | options
        return Tool(
            self._function,
            self._call,
            self._parameters,
            name=name,
            description=self._description if description is None else description,
            options=ToolOptions.read(name, merged),
        )

    @staticmethod
    def from_schema(
        name: str,
        description: str,
        parameters: Mapping[str, Json],
        function: Callable[[C, dict[str, Json]], Awaitable[object]],
        **options: Unpack[OptionValues],
    ) -> Tool[[C, dict[str, Json]], Awaitable[object]]:
        """Return a tool whose arguments follow a JSON Schema of an object.

        `function` gets the context and the checked arguments.
        """
        return Tool(
            function,
            _Explicit(cast("Callable[[object, dict[str, Json]], Awaitable[object]]", function)),
            SchemaParameters(name, parameters),
            name=name,
            description=description,
            options=ToolOptions.read(name, options),
        )

    async def _within(
        self, context: object, arguments: Mapping[str, object], yielded: Yielded | None
    ) -> object:
        """Call once, within the time-out.

        On a clock that can stand still while real work holds it, wall time counts too.
        """
        seconds = self.options.timeout
        if seconds is None:
            return await self._call(context, arguments, yielded)
        clock = current_clock()
        limit, guard = asyncio.timeout(seconds), clock.guard(None if clock.kind == "wall" else seconds)
        try:
            async with guard, limit:
                return await self._call(context, arguments, yielded)
        except TimeoutError as error:
            if limit.expired() or guard.expired:
                raise _TimedOut(f"timed out after {seconds:g} s") from error
            raise

    def _failure(self, error: Exception) -> ToolFailed:
        what = str(error) if isinstance(error, _TimedOut) else f"{type(error).__name__}: {error}"
        return ToolFailed(f"{self.name}: {' '.join(what.split()).removesuffix(':')}")


class _TimedOut(Exception):
    """The tool's own time-out passed."""


class _Explicit:
    """The call of a tool that takes its arguments as one object."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[object, dict[str, Json]], Awaitable[object]]) -> None:
        self._function = function

    def __call__(
        self, context: object, arguments: Mapping[str, object], yielded: Yielded | None
    ) -> Awaitable[object]:
        return self._function(context, cast("dict[str, Json]", dict(arguments)))


def from_function(
    function: Callable[P, R],
    *,
    name: str | None = None,
    description: str | None = None,
    **options: Unpack[OptionValues],
) -> Tool[P, R]:
    """Return a tool that calls `function`: async, async generator, or plain (in a thread).

    Raises `UserError` for a function whose parameters a JSON object can't fill.
    """
    if isinstance(function, Tool):
        return cast("Tool[P, R]", function.with_options(name=name, description=description, **options))
    if not callable(function) or isinstance(function, type):
        raise UserError(f"a tool is made of a function, not of {function!r}")
    name = name or getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise UserError(f"a tool of {function!r} needs a name: tool(name=…)")
    read = ToolOptions.read(name, options)
    parameters = SignatureParameters(name, function)
    call = call_of(name, function, parameters.takes_context)
    made = Tool(function, call, parameters, name=name, description=description, options=read)
    update_wrapper(made, function, updated=())
    return made


class ToolMaker:
    """What `tool` is: a decorator, with or without arguments, and `tool.process`."""

    @overload
    def __call__(self, function: Callable[P, R], /) -> Tool[P, R]: ...

    @overload
    def __call__(
        self, /, *, name: str | None = None, description: str | None = None, **options: Unpack[OptionValues]
    ) -> Callable[[Callable[P, R]], Tool[P, R]]: ...

    def __call__(
        self,
        function: Callable[P, R] | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        **options: Unpack[OptionValues],
    ) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
        """Make a tool of a function. The options are those of `ToolOptions`."""

        def make(function: Callable[P, R]) -> Tool[P, R]:
            return from_function(function, name=name, description=description, **options)

        return make if function is None else make(function)

    def process(
        self,
        command: Iterable[str],
        *,
        name: str,
        description: str,
        parameters: Mapping[str, str | Mapping[str, Json]] | None = None,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        ok_exit: Iterable[int] = (0,),
        max_output: int = 256 * 1024,
        **options: Unpack[OptionValues],
    ) -> Tool[[object, dict[str, Json]], Awaitable[str]]:
        """Return a tool that runs a program and returns what it prints.

        `{name}` in an argument or in `stdin` is a parameter, `{{` a brace. No shell is
        involved. `parameters` gives each its description or its JSON Schema; a bare one
        is a string. The program gets `PATH`, `HOME` and the locale from this process, and
        `env`. Output beyond `max_output` bytes is dropped, with a note. When the call is
        cancelled or times out, the program's whole process group is killed.
        """
        work = Process(
            name,
            tuple(command),
            parameters or {},
            stdin=stdin,
            env=env,
            cwd=cwd,
            ok_exit=tuple(ok_exit),
            max_output=max_output,
        )
        return Tool(
            work.run,
            _Explicit(work.run),
            SchemaParameters(name, work.schema),
            name=name,
            description=description,
            options=ToolOptions.read(name, options),
        )


tool = ToolMaker()


def render(value: Json) -> str:
    """Return a tool's value as the text that a model reads: a string as it is, else JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def tools_by_name(tools: Iterable[Tool[..., object]]) -> dict[str, Tool[..., object]]:
    """Return `tools` by name. Raises `UserError` for a name used twice or a thing that is no tool."""
    found: dict[str, Tool[..., object]] = {}
    for each in tools:
        if not isinstance(each, Tool):
            raise UserError(f"{each!r} is no tool; put `@tool` on it")
        if each.name in found:
            raise UserError(f"two tools are named `{each.name}`; rename one: tool(name=…)")
        found[each.name] = each
    return found


def _only_progress(yielded: Yielded) -> Yielded:
    return lambda value: yielded(value) if isinstance(value, Progress) else None


def _to_json(tool: str, value: object) -> Json:
    if value is None or isinstance(value, str | int | float):
        return value
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return cast("Json", to_jsonable_python(value))
    except (PydanticSerializationError, ValueError) as error:
        raise ToolFailed(f"{tool}: its value has no JSON form: {error}") from error
