"""How a tool may be called, apart from what it does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Literal, TypeAlias, TypedDict, get_args

from agentflow.errors import UserError
from agentflow_protocols.chat.messages import Json
from agentflow_protocols.duration import parse_duration
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["OptionValues", "Progress", "ReplyMode", "ToolOptions", "Urgency"]

ReplyMode: TypeAlias = Literal["auto", "wait", "interrupt", "stream"]
Urgency: TypeAlias = Literal["now", "idle", "silent"]


@dataclass(slots=True)
class Progress:
    """How far a tool is. A generator tool yields it; `data` is any JSON."""

    data: Json = None


class OptionValues(TypedDict, total=False):
    """The keywords of `@tool`, `tool.process` and `Tool.from_schema`. See `ToolOptions`."""

    timeout: float | str | None
    retries: int
    max_parallel: int | None
    reply: ReplyMode
    urgency: Urgency
    idempotent: bool
    needs_approval: bool | Callable[..., bool]
    estimate: float | str | Callable[..., float | str] | None


@dataclass(slots=True, frozen=True, kw_only=True)
class ToolOptions:
    """How a session may call a tool.

    `timeout` is in seconds on the run's clock, for one try. `retries` counts further
    tries after an unexpected error. `max_parallel` bounds the calls of one run that
    are under way at once. `reply` says how a result comes back: `wait` holds the
    model up, `interrupt` hands it over later, `auto` weighs, `stream` hands over
    each yielded value. `urgency` says what a result does to a model that is writing:
    `now` cuts its reply, `idle` waits for the reply's end, `silent` is told only when
    something else goes in. An `idempotent` tool may be run again after a crash.
    `needs_approval` and `estimate` (seconds) are values, or functions of the
    arguments that they name.
    """

    timeout: float | None = None
    retries: int = 0
    max_parallel: int | None = None
    reply: ReplyMode = "auto"
    urgency: Urgency = "idle"
    idempotent: bool = False
    needs_approval: bool | Callable[..., bool] = False
    estimate: float | Callable[..., float | str] | None = None

    @classmethod
    def read(cls, tool: str, values: Mapping[str, object]) -> ToolOptions:
        """Return the options that `values` name, with durations such as `"10m"` as seconds.

        Raises `UserError` that names the tool and the option.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(known)}"
                raise UserError(f"tool `{tool}`: no option `{name}` ({hint})")
        read = dict(values)
        for name in ("timeout", "estimate"):
            value = read.get(name)
            if value is not None and not callable(value):
                read[name] = _seconds(tool, name, value)
        _check(tool, read)
        return cls(**read)  # type: ignore[arg-type]

    def estimate_of(self, arguments: Mapping[str, object]) -> float | None:
        """Return the seconds that a call with `arguments` should take, None when nothing is known.

        Raises `UserError` when the tool's function fails or gives no duration.
        """
        if not callable(self.estimate):
            return self.estimate
        value = _call_with("estimate", self.estimate, arguments)
        return None if value is None else _seconds("", "estimate", value)

    def approval_of(self, arguments: Mapping[str, object]) -> bool:
        """Return whether a person must approve a call with `arguments`.

        Raises `UserError` when the tool's function fails: then nothing is approved.
        """
        if callable(self.needs_approval):
            return bool(_call_with("needs_approval", self.needs_approval, arguments))
        return self.needs_approval


def _seconds(tool: str, name: str, value: object) -> float:
    where = f"tool `{tool}`: {name}" if tool else name
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except RemoteProtocolError as error:
            raise UserError(f"{where}: {error}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise UserError(f"{where}: {value!r} is no duration; allowed: seconds >= 0 or text such as `10m`")
    return float(value)


def _check(tool: str, values: Mapping[str, object]) -> None:
    for name, kind, default in (("reply", ReplyMode, "auto"), ("urgency", Urgency, "idle")):
        value = values.get(name, default)
        if value not in get_args(kind):
            raise UserError(f"tool `{tool}`: {name}: {value!r}; allowed: {', '.join(get_args(kind))}")
    for name, least in (("retries", 0), ("max_parallel", 1)):
        value = values.get(name)
        if value is None and name in values and name != "retries":
            continue
        if name in values and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise UserError(f"tool `{tool}`: {name}: {value!r}; allowed: a whole number >= {least}")


def _call_with(option: str, function: Callable[..., object], arguments: Mapping[str, object]) -> object:
    """Call `function` with those of `arguments` that its parameters name.

    Raises `UserError` for whatever it raises: no model can mend it.
    """
    parameters = inspect.signature(function).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        arguments = {p.name: arguments[p.name] for p in parameters if p.name in arguments}
    try:
        return function(**arguments)
    except Exception as error:
        name = getattr(function, "__name__", "function")
        raise UserError(f"{option}: {name} failed: {type(error).__name__}: {error}") from error
