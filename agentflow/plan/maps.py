"""Steps that run once for each item of a list: a node for each, and one that gathers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from agentflow.errors import UserError
from agentflow.plan.node import Elements, Node
from agentflow.plan.ready import needs_of
from agentflow.plan.states import FINAL
from agentflow.plan.step import resolved
from agentflow_protocols.trace import StepStarted

if TYPE_CHECKING:
    from agentflow.plan.executor import Executor

__all__ = ["Maps"]


class Maps:
    """The maps of one running plan."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def begin(self, number: int, node: Node) -> None:
        """Make a node of each item, of which as many as may be are ready at once."""
        executor = self._executor
        node.task = None
        (items,) = cast("tuple[object, ...]", resolved(node.step.args, executor.give))
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise UserError(f"step {node.key} maps over a list, not {type(items).__name__}")
        executor.tell(StepStarted(node.key))
        first = len(executor.nodes)
        elements = node.elements = Elements(range(first, first + len(items)))
        if not items:
            executor.settle(number, node, [])
            return
        most = node.step.max_parallel or len(items)
        needs = needs_of(node.step.said.resources)
        for position, item in enumerate(items):
            element = Node(node.step, f"{node.key}/{position}", node.urgency, needs)
            element.callee, element.value = node.callee, item
            element.parent, element.position = number, position
            at = executor.take(element)
            if position < most:
                self._make_ready(at, element)
            else:
                elements.waiting.append(at)
        elements.waiting.reverse()
        executor.pump()

    def done(self, element: Node, value: object) -> None:
        """Take in what an element gave; the map ends with its last."""
        number = cast("int", element.parent)
        node = self._executor.nodes[number]
        elements = node.elements
        if elements is None or node.bar.state in FINAL:
            return
        elements.values[element.position] = value
        elements.left -= 1
        if not elements.left:
            self._executor.settle(number, node, elements.values)
        elif elements.waiting:
            following = elements.waiting.pop()
            self._make_ready(following, self._executor.nodes[following])

    def failed(self, element: Node, error: Exception) -> None:
        """Take in that an element failed: the map fails with it, or goes on with None."""
        executor = self._executor
        if element.step.said.on_error == "skip":
            self.done(element, None)
            return
        number = cast("int", element.parent)
        node = executor.nodes[number]
        if node.bar.state in FINAL:
            return
        assert node.elements is not None
        for other in node.elements.numbers:
            executor.ends.withdraw(other, executor.nodes[other], "another item has failed")
        executor.ends.fail(number, node, error)

    def _make_ready(self, number: int, element: Node) -> None:
        element.bar.state = "ready"
        element.bar.ready = self._executor.now
        self._executor.queue.push(number, element.urgency, element.needs)
