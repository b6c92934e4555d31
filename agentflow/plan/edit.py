"""Putting a step into a running plan, taking one out, and letting one be another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentflow.plan.call import Callee
from agentflow.plan.node import Node
from agentflow.plan.step import Step

if TYPE_CHECKING:
    from agentflow.plan.executor import Executor

__all__ = ["Edit"]


class Edit:
    """Edits the nodes of one running plan. What may be edited is for `Changes` to say."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def add(self, step: Step[object], after: Sequence[int]) -> None:
        """Take a further step, which comes after some that are there."""
        executor = self._executor
        known = [n.step.said.estimate for n in executor.nodes if n.step.said.estimate is not None]
        mean = sum(known) / len(known) if known else 1.0
        urgency = mean if step.said.estimate is None else step.said.estimate
        node = executor.node(step, step.name, urgency)
        self._place(len(executor.nodes) - 1, node, after)

    def drop(self, number: int) -> None:
        """Take a step out that has not begun."""
        executor = self._executor
        node = executor.nodes[number]
        if node.bar.state == "ready":
            executor.queue.drop(number, node.needs)
        executor.end(node, "dropped")
        executor.release(number, node, None, "skipped")
        self._go_on()

    def replace(self, number: int, step: Step[object], callee: Callee, after: Sequence[int]) -> None:
        """Let a step that has not begun call what `step` calls."""
        executor = self._executor
        node = executor.nodes[number]
        if node.bar.state == "ready":
            executor.queue.drop(number, node.needs)
        for earlier in node.after:
            executor.nodes[earlier].before.remove(number)
        node.step.fn, node.step.args, node.step.kwargs = step.fn, step.args, step.kwargs
        node.callee, node.bar.state = callee, "waiting"
        self._place(number, node, after)

    def _place(self, number: int, node: Node, after: Sequence[int]) -> None:
        """Let a step wait for what it comes after."""
        executor = self._executor
        node.after = list(after)
        node.missing = 0
        failed = False
        for earlier in after:
            before = executor.nodes[earlier]
            before.before.append(number)
            if earlier == node.instead_of:
                node.missing += before.bar.state != "failed"
                continue
            end = executor.ends.end_of(before)
            node.missing += end is None
            failed = failed or end == "failed"
        self._raise_urgency(number)
        if failed:
            executor.ends.give_up(number, node)
        elif node.missing == 0 and executor.group is not None:
            executor.make_ready(number, node)
        self._go_on()

    def _raise_urgency(self, number: int) -> None:
        """Make those that a step waits for more urgent than it is."""
        nodes = self._executor.nodes
        left = [number]
        while left:
            here = nodes[left.pop()]
            for earlier in here.after:
                node = nodes[earlier]
                urgency = here.urgency + (node.step.said.estimate or 0.0)
                if node.bar.state == "waiting" and node.urgency < urgency:
                    node.urgency = urgency
                    left.append(earlier)

    def _go_on(self) -> None:
        """Start what an edit has made ready, once the plan runs."""
        if self._executor.group is not None:
            self._executor.pump()
