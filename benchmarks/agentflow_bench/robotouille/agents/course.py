"""Course: the plan of a dish that runs, with its steps by name, as its agent adds to it and stops it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from agentflow.errors import UserError
from agentflow.plan import LivePlan
from agentflow.runtime import Context

__all__ = ["Course"]


class Course:
    """The plan that a context's run runs. A step that is there already is not added again."""

    def __init__(self, context: Context[object]) -> None:
        self._context = context
        self._plan: LivePlan | None = None

    @property
    def _live(self) -> LivePlan:
        if self._plan is None:
            self._plan = LivePlan.of(self._context)
        return self._plan

    @cached_property
    def _names(self) -> dict[str, tuple[object, ...]]:
        """The steps and their arguments, in order: at first those of a process that ended."""
        return {step.name: step.args for step in self._live.steps}

    def add(
        self,
        run: str,
        *args: object,
        name: str,
        after: Sequence[str] = (),
        needs: Mapping[str, int] | None = None,
    ) -> None:
        """Add a step after others, unless it is there."""
        if name not in self._names:
            self._live.add(run, *args, name=name, after=after, resources=needs or {})
            self._names[name] = args

    def arguments(self, prefix: str) -> dict[str, tuple[object, ...]]:
        """Return the steps whose names begin so, with their arguments."""
        return {name: args for name, args in self._names.items() if name.startswith(prefix)}

    def state(self, name: str) -> str | None:
        """Return how a step stands, None when there is none of this name."""
        return self._live.state(name).state if name in self._names else None

    def stop(self) -> None:
        """Take out all that has not begun, the last first: so nothing begins by it."""
        for name in reversed(self._names):
            if self.state(name) in ("waiting", "ready"):
                with suppress(UserError):  # it begins in this very turn
                    self._live.drop(name)
