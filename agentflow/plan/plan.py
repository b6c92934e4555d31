"""Plan: steps with an order, typed values between them, and shared resources."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec, TypeVar, cast, overload

from agentflow.errors import UserError
from agentflow.plan.graph import Graph, Slot
from agentflow.plan.outputs import Outputs
from agentflow.plan.step import Step, checked_name, checked_units

if TYPE_CHECKING:
    from agentflow.agent import Agent
    from agentflow.runtime.context import Context, Runnable
    from agentflow.tools import Tool

__all__ = ["Plan"]

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

WINDOW = 2_000  # steps that are under way at once


class Plan:
    """Steps that run as soon as what they wait for is there; run it like an agent.

    `resources` are units that steps share ("stove": 2). `on_failure` says what becomes of steps
    that do not depend on one that failed: they `finish`, or are ended (`cancel`). At most `window`
    steps are under way at once. `library` has what steps that are added while it runs may call, by
    name. An `open` plan does not end before it is closed (see `LivePlan`). The output is an
    `Outputs`: `(await runtime.run(plan)).output[step]`.
    """

    kind = "plan"
    output_type = Outputs

    def __init__(
        self,
        *,
        name: str = "plan",
        resources: Mapping[str, int] | None = None,
        on_failure: Literal["finish", "cancel"] = "finish",
        window: int = WINDOW,
        library: Mapping[str, object] | None = None,
        open: bool = False,
    ) -> None:
        self.name = name
        self.resources = checked_units(name, resources or {})
        self.on_failure = on_failure
        if window < 1:
            raise UserError(f"plan {name}: the window must be 1 or more, not {window}")
        self.window = window
        self.library = dict(library or {})
        self.open = open
        self.steps: list[Step[object]] = []
        self.given: Step[object] = Step("input", None, kind="input")
        self._taken: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"Plan({self.name!r}, {len(self.steps)} steps)"

    def input(self, kind: type[T]) -> T:
        """Stands for what the plan is run with: pass it to steps, as an output."""
        return cast("T", self.given.output)

    @overload
    def step(
        self, fn: Callable[Concatenate[Context[object], P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> Step[T]: ...

    @overload
    def step(self, fn: Agent[object, T], input: str, /) -> Step[T]: ...

    @overload
    def step(self, fn: Tool[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Step[T]: ...

    @overload
    def step(self, fn: Plan, input: object = None, /) -> Step[Outputs]: ...

    @overload
    def step(self, fn: Runnable[object, Item, T], input: Item, /) -> Step[T]: ...

    @overload
    def step(self, fn: Runnable[object, None, T], /) -> Step[T]: ...

    @overload
    def step(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Step[T]: ...

    @overload
    def step(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Step[T]: ...

    def step(self, fn: object, *args: object, **kwargs: object) -> Step[object]:
        """Add a step that calls `fn`: an async or a plain function, a Tool, or what can be run.

        What can be run has `__run__`, as an Agent, a Team, a Batch or another Plan; it takes one input.
        A function may take a `Context` first. Arguments that are outputs of other steps draw the
        order. Its name is the function's, with a number where that is taken.
        """
        return self._add(self.new_step(fn, fn, args, kwargs))

    def new_step(
        self,
        named: object,
        fn: object,
        args: tuple[object, ...],
        kwargs: Mapping[str, object] | None = None,
    ) -> Step[object]:
        """Return a step with a name of its own that is not part of the plan yet."""
        return Step(self._name(named), fn, args, kwargs)

    @overload
    def map(
        self,
        fn: Callable[[Item], Awaitable[T]],
        items: Sequence[Item],
        /,
        *,
        max_parallel: int | None = None,
    ) -> Step[list[T]]: ...

    @overload
    def map(
        self, fn: Agent[object, T], items: Sequence[str], /, *, max_parallel: int | None = None
    ) -> Step[list[T]]: ...

    @overload
    def map(
        self, fn: Runnable[object, Item, T], items: Sequence[Item], /, *, max_parallel: int | None = None
    ) -> Step[list[T]]: ...

    @overload
    def map(
        self, fn: Callable[[Item], T], items: Sequence[Item], /, *, max_parallel: int | None = None
    ) -> Step[list[T]]: ...

    def map(self, fn: object, items: object, /, *, max_parallel: int | None = None) -> Step[list[T]]:
        """Add a step that calls `fn` with each item of a list; its value is the list of what comes.

        At most `max_parallel` are under way at once. What `.options` says (resources, retries,
        timeout) holds for each item; with `on_error="skip"` an item that fails gives None.
        """
        if max_parallel is not None and max_parallel < 1:
            raise UserError(f"plan {self.name}: max_parallel must be 1 or more, not {max_parallel}")
        step = Step[list[T]](self._name(fn), fn, (items,), kind="map", max_parallel=max_parallel)
        return self._add(step)

    def any_of(self, *steps: Step[T], losers: Literal["cancel", "leave"] = "cancel") -> Step[T]:
        """Add a step that has the value of the first of `steps` that ends well; it fails when all fail.

        The others are cancelled, or left to themselves.
        """
        if not steps:
            raise UserError(f"plan {self.name}: any_of needs steps")
        step = Step[T](self._name("any_of"), losers, kind="any")
        step.said.after = [cast("Step[object]", one) for one in steps]
        return self._add(step)

    def _add(self, step: Step[T]) -> Step[T]:
        self.steps.append(cast("Step[object]", step))
        return step

    def _name(self, fn: object) -> str:
        said = fn if isinstance(fn, str) else getattr(fn, "name", None) or getattr(fn, "__name__", None)
        name = re.sub(r"\W+", "_", str(said or type(fn).__name__), flags=re.ASCII).strip("_") or "step"
        name = checked_name(name[:90] if not name[0].isdigit() else f"step_{name[:80]}")
        count = self._taken[name] = self._taken.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def find(self, name: str) -> Step[object]:
        """Return the step of this name. Raises `UserError`, which names the nearest."""
        for step in self.steps:
            if step.name == name:
                return step
        near = get_close_matches(name, [step.name for step in self.steps], 1)
        hint = f" (did you mean `{near[0]}`?)" if near else ""
        raise UserError(f"plan {self.name}: no step {name!r}{hint}")

    def check(self, learned: Mapping[str, float] | None = None) -> Graph:
        """Return the plan's graph; `learned` are seconds of steps without an estimate.

        Raises `UserError` for a cycle, a name twice, needs that can't be met.
        """
        numbers: dict[str, int] = {}
        for number, step in enumerate(self.steps):
            if step.name in numbers:
                raise UserError(f"plan {self.name}: two steps are called {step.name!r}; rename one")
            numbers[step.name] = number
            self.check_needs(step)
        known = {id(step): number for number, step in enumerate(self.steps)}
        after: list[list[int]] = []
        for step in self.steps:
            waits = step.waits_for()
            strangers = [one.name for one in waits if id(one) not in known]
            if strangers:
                raise UserError(
                    f"plan {self.name}: step {step.name} waits for {strangers[0]!r}, a step of another plan"
                )
            after.append([known[id(one)] for one in waits])
        stand_ins = self._stand_ins(known)
        if stand_ins:
            self._check_stand_ins(after, stand_ins)
        return Graph([step.name for step in self.steps], after, self.durations(learned))

    def _stand_ins(self, known: Mapping[int, int]) -> dict[int, int]:
        """Return the steps that others stand in for, and those. Raises `UserError`."""
        found: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            instead = step.said.on_error
            if isinstance(instead, Step):
                if id(instead) not in known:
                    raise UserError(f"plan {self.name}: on_error of {step.name} is a step of another plan")
                found[number] = known[id(instead)]
        return found

    def _check_stand_ins(self, after: list[list[int]], stand_ins: Mapping[int, int]) -> None:
        """Let each stand-in come after its step. Raises `UserError` for one that can't stand in."""
        from agentflow_protocols.plan import stand_in_faults, stand_in_order

        names = [step.name for step in self.steps]
        pairs = [(names[number], names[other]) for number, other in stand_ins.items()]
        for _, fault in stand_in_faults(pairs, {step.name for step in self.steps if step.kind == "any"}):
            raise UserError(f"plan {self.name}: {fault}")
        order = stand_in_order(dict(enumerate(after)), stand_ins)
        for number, other in stand_ins.items():
            if number not in after[other]:
                after[other].append(number)
        try:
            Graph(names, [order[number] for number in range(len(names))], [0.0] * len(names))
        except UserError as error:
            raise UserError(f"{error}; who waits for a step waits for its stand-in, too") from None

    def check_needs(self, step: Step[object]) -> None:
        """Raise `UserError` for needs that can't be met."""
        for name, units in step.said.resources.items():
            if name not in self.resources:
                near = get_close_matches(name, self.resources, 1)
                hint = f" (did you mean `{near[0]}`?)" if near else ""
                raise UserError(
                    f"plan {self.name}: step {step.name} needs {name!r}, which is no resource{hint}"
                )
            if units > self.resources[name]:
                raise UserError(
                    f"plan {self.name}: step {step.name} needs {units} of {name!r}, of which there are"
                    f" {self.resources[name]}: it could never start"
                )

    def durations(self, learned: Mapping[str, float] | None = None) -> list[float]:
        """Return how long each step takes: its estimate, or what it took before, or else the others' mean."""
        learned = learned or {}
        known = [
            learned.get(step.name) if step.said.estimate is None else step.said.estimate
            for step in self.steps
        ]
        given = [value for value in known if value is not None]
        mean = sum(given) / len(given) if given else 1.0
        return [
            (0.0 if step.kind == "any" else mean) if value is None else value
            for step, value in zip(self.steps, known, strict=True)
        ]

    def makespan(self) -> float:
        """Return the shortest time for the whole in seconds, by its estimates, with enough of everything."""
        return self.check().makespan

    def critical_path(self) -> list[Step[object]]:
        """Return the steps of a longest path."""
        return [self.steps[number] for number in self.check().critical_path]

    def slack(self) -> dict[str, float]:
        """Return how many seconds later than possible each step may start without a loss."""
        return self._named(self.check().slack)

    def earliest(self) -> dict[str, float]:
        """Return when each step can start at the soonest, with enough of everything."""
        return self._named(self.check().earliest)

    def latest(self) -> dict[str, float]:
        """Return when each step must have started, for the whole to take no longer."""
        return self._named(self.check().latest)

    def schedule(self) -> list[Slot]:
        """Return when each step runs, by the estimates and with the resources that there are."""
        return self.check().schedule([step.said.resources for step in self.steps], self.resources)

    def _named(self, values: Iterable[float]) -> dict[str, float]:
        return {step.name: value for step, value in zip(self.steps, values, strict=True)}

    async def __run__(self, context: Context[object], input: object = None, /) -> Outputs:
        """Run the steps. Raises `PlanFailed` when one has failed, `UserError` for what is no plan."""
        from agentflow.plan.executor import Executor

        learned: Mapping[str, float] = {}
        if context.ledger.durable and any(step.said.estimate is None for step in self.steps):

            async def durations() -> dict[str, float]:
                return dict(await context.ledger.step_durations(self.kind, self.name))

            learned = await context.step("plan/durations", durations)  # frozen: it decides who goes first
        return await Executor(self, context, self.check(learned), input).work()
