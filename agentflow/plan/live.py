"""LivePlan: a plan that runs, and may be changed where it has not begun.

Each change is an event and a fact of the journal, so that after a crash the same plan goes on.
What a journal can hold is the name of a function in the plan's `library`, and arguments in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from agentflow.errors import RunError
from agentflow.plan.changes import Changes
from agentflow.plan.executor import Executor
from agentflow.plan.states import Bar
from agentflow.plan.step import Step

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.runtime.run import Run

__all__ = ["LivePlan"]

Out = TypeVar("Out")


class LivePlan:
    """A plan under way: `LivePlan.of(run)` from outside, `LivePlan.of(context)` from one of its steps.

    Only steps that have not begun may be changed. Raises `UserError` for a change that is none: a
    cycle, a name that is there, a step that has begun, a plan that has ended.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._changes = Changes(executor)

    @classmethod
    def of(cls, where: Run[Out] | Context[object]) -> LivePlan:
        """Return the plan that a run runs, or the nearest above a step. RunError when there is none."""
        state = where.state
        while True:
            if isinstance(state.live, Executor):
                return cls(state.live)
            if state.parent is None:
                raise RunError(f"run {where.state.id} runs no plan")
            state = state.parent

    def add(
        self,
        run: str | object,
        *args: object,
        name: str | None = None,
        after: Sequence[Step[object] | str] = (),
        resources: Mapping[str, int] | None = None,
        estimate: float | str | None = None,
    ) -> Step[object]:
        """Add a step that calls `run`, a name in the plan's library (or a function, without a journal)."""
        step = self._changes.made(run, args, name, after, resources, estimate)
        self._changes.add(step)
        return step

    def drop(self, step: Step[object] | str) -> None:
        """Take a step out. Steps that come after it go on; one that takes its output forbids it."""
        self._changes.drop(self._changes.number(step))

    def replace(self, step: Step[object] | str, run: str | object, *args: object) -> None:
        """Let a step call something else, with other arguments. Its name and what comes after it stay."""
        self._changes.replace(self._changes.number(step), run, args)

    def gantt(self) -> list[Bar]:
        """Return the steps on the plan's time line."""
        return self._executor.gantt()

    def state(self, step: Step[object] | str) -> Bar:
        """Return where a step stands."""
        return self._executor.nodes[self._changes.number(step)].bar

    def close(self) -> None:
        """Say that no more steps are added to an open plan: it ends with those that it has."""
        self._executor.close()

    @property
    def steps(self) -> list[Step[object]]:
        """The steps that it has now."""
        return cast("list[Step[object]]", [node.step for node in self._executor.nodes if node.parent is None])
