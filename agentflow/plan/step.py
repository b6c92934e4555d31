"""Step: one thing to do in a plan, what it comes after, and how it is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, NoReturn, TypeVar, cast

from agentflow.errors import RemoteProtocolError, UserError
from agentflow_protocols.duration import seconds_range

if TYPE_CHECKING:
    from agentflow.endpoints import Retry
    from agentflow.plan.outputs import Outputs

__all__ = [
    "Output",
    "Step",
    "StepOptions",
    "checked_name",
    "checked_seconds",
    "checked_units",
    "outputs_in",
    "resolved",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_ATOMS = frozenset((str, int, float, bool, bytes, type(None)))
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Output:
    """Stands for what a step will give: it may be passed on to other steps, and nothing else."""

    __slots__ = ("step",)

    def __init__(self, step: Step[object]) -> None:
        self.step = step

    def __repr__(self) -> str:
        return f"<the output of step {self.step.name}>"

    def _refuse(self, *_: object) -> NoReturn:
        raise UserError(
            f"the output of step {self.step.name!r} is not there yet: pass it to another step, which gets"
            " the value"
        )

    __str__ = __format__ = __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __int__ = __float__ = __index__ = __call__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse()


@dataclass(slots=True)
class StepOptions:
    """How a step is run; see `Step.options`."""

    after: list[Step[object]] = field(default_factory=list)
    resources: dict[str, int] = field(default_factory=dict)
    estimate: float | None = None
    retries: int | Retry | None = None
    timeout: float | None = None
    when: Callable[[Outputs], object] | Output | None = None
    on_error: Literal["fail", "skip"] | Step[object] = "fail"
    idempotent: bool | None = None


class Step(Generic[T_co]):
    """One step of a plan, made by `Plan.step`. `output` is its value, for other steps' arguments."""

    __slots__ = ("_output", "args", "each", "fn", "kind", "kwargs", "max_parallel", "name", "said")

    def __init__(
        self,
        name: str,
        fn: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        kind: Literal["call", "map", "any", "input"] = "call",
        max_parallel: int | None = None,
    ) -> None:
        self.name = name
        self.fn = fn
        self.args = args
        self.kwargs = dict(kwargs or {})
        self.kind = kind
        self.max_parallel = max_parallel
        self.said = StepOptions()
        self._output: Output | None = None

    def __repr__(self) -> str:
        return f"Step({self.name!r})"

    @property
    def output(self) -> T_co:
        """Stands for the step's value: pass it to another step, and that one waits for it."""
        if self._output is None:
            self._output = Output(cast("Step[object]", self))
        return cast("T_co", self._output)

    def options(
        self,
        *,
        name: str | None = None,
        after: Sequence[Step[object]] | Step[object] | None = None,
        resources: Mapping[str, int] | None = None,
        estimate: float | str | None = None,
        retries: int | Retry | None = None,
        timeout: float | str | None = None,
        when: object = None,
        on_error: Literal["fail", "skip"] | Step[object] | None = None,
        idempotent: bool | None = None,
    ) -> Step[T_co]:
        """Set how the step is run, and return the same step.

        `after` are steps that must have ended. `resources` are units that it holds while it runs,
        `estimate` how long that takes (seconds, or "10m"), `timeout` how long it may. `retries`
        is how often it is run again, or a policy. `when` is an output, or a function of the plan's
        outputs so far: where it is false the step is skipped, and its value is None.
        `on_error`: `fail` ends what depends on it, `skip` goes on with None, a step is run in its place.
        `idempotent`: whether a tool that was under way in a crash is run again; else the tool says it.
        """
        said = self.said
        if name is not None:
            self.name = checked_name(name)
        if after is not None:
            said.after = [after] if isinstance(after, Step) else list(after)
        if resources is not None:
            said.resources = checked_units(self.name, resources)
        if estimate is not None:
            said.estimate = checked_seconds(self.name, "estimate", estimate)
        if timeout is not None:
            said.timeout = checked_seconds(self.name, "timeout", timeout)
        if retries is not None:
            if isinstance(retries, int) and retries < 0:
                raise UserError(f"step {self.name}: retries must be 0 or more, not {retries}")
            said.retries = retries
        if when is not None:
            if not callable(when) and not isinstance(when, Output):
                raise UserError(f"step {self.name}: `when` is an output or a function of the outputs")
            said.when = cast("Callable[[Outputs], object]", when)
        if on_error is not None:
            said.on_error = on_error
        if idempotent is not None:
            said.idempotent = idempotent
        return self

    def waits_for(self) -> list[Step[object]]:
        """Return the steps that it comes after: by its arguments, by `when`, and by `after`."""
        found: dict[int, Step[object]] = {}
        for value in (*self.args, *self.kwargs.values(), self.said.when):
            for output in (value,) if type(value) is Output else outputs_in(value):
                if output.step.kind != "input":
                    found[id(output.step)] = output.step
        for step in self.said.after:
            found[id(step)] = step
        return list(found.values())


def outputs_in(value: object) -> list[Output]:
    """Return the placeholders inside a value, in lists, tuples and mappings too."""
    found: list[Output] = []
    if value is None or type(value) in _ATOMS:
        return found
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, Output):
            found.append(item)
        elif isinstance(item, list | tuple):
            left += reversed(item)
        elif isinstance(item, dict):
            left += reversed(list(item.values()))
    return found


def resolved(value: object, values: Callable[[Step[object]], object]) -> object:
    """Return a value with each placeholder replaced by what its step gave."""
    kind = type(value)
    if kind is Output:
        return values(value.step)  # type: ignore[attr-defined]
    if kind in _ATOMS:
        return value
    if isinstance(value, list):
        return [resolved(item, values) for item in value]
    if kind is tuple:
        return tuple([resolved(item, values) for item in cast("tuple[object, ...]", value)])
    if isinstance(value, dict):
        return {key: resolved(item, values) for key, item in value.items()}
    return value


def checked_name(name: str) -> str:
    """Return a step's name. Raises `UserError` for one that is none."""
    if not NAME.fullmatch(name):
        raise UserError(f"a step can't be named {name[:60]!r}: a name is letters, digits and `_`")
    return name


def checked_units(step: str, resources: Mapping[str, int]) -> dict[str, int]:
    """Return what a step needs. Raises `UserError`."""
    for name, units in resources.items():
        if not isinstance(units, int) or isinstance(units, bool) or units < 0:
            raise UserError(f"step {step}: it needs a whole number of {name!r}, 0 or more, not {units!r}")
    return dict(resources)


def checked_seconds(step: str, what: str, value: float | str) -> float:
    """Return a duration in seconds: a number, or words such as `10m` or `1 hour`. Raises `UserError`."""
    if isinstance(value, str):
        try:
            value = seconds_range(value)[1]
        except RemoteProtocolError as error:
            raise UserError(f"step {step}: {what}: {error}") from None
    if not 0 <= value < float("inf") or (what == "timeout" and value == 0):
        raise UserError(
            f"step {step}: {what} must be {'above 0' if what == 'timeout' else '0 or more'} seconds"
        )
    return float(value)
