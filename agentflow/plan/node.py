"""A step of a plan that runs: where it stands, and what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentflow.plan.ready import Needs
from agentflow.plan.states import Bar
from agentflow.plan.step import Step

if TYPE_CHECKING:
    from agentflow.plan.call import Callee

__all__ = ["Elements", "Node"]


class Node:
    """A step of a running plan."""

    __slots__ = (
        "after", "bar", "before", "begun", "callee", "elements", "instead_of", "key", "missing", "needs",
        "parent", "plain", "position", "step", "task", "urgency", "value", "why",
    )  # fmt: skip

    def __init__(self, step: Step[object], key: str, urgency: float, needs: Needs) -> None:
        self.step = step
        self.key = key
        self.urgency = urgency
        self.needs = needs
        self.callee: Callee | None = None
        self.after: list[int] = []
        self.before: list[int] = []
        self.missing = 0
        self.plain = step.kind != "any"  # it starts when all that it waits for has ended well
        self.begun = False  # a worker has it
        self.value: object = None
        self.task: asyncio.Task[None] | None = None
        self.instead_of: int | None = None  # the step that this one is a fallback of
        self.parent: int | None = None  # the map that this one is an element of
        self.position = 0
        self.elements: Elements | None = None
        self.why = "what it waits for has failed"  # that it is cancelled
        self.bar = Bar(key, "waiting")


class Elements:
    """A map that is under way: its items' numbers, what came, and what has not begun."""

    __slots__ = ("left", "numbers", "values", "waiting")

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers
        self.values: list[object] = [None] * len(numbers)
        self.left = len(numbers)
        self.waiting: list[int] = []
