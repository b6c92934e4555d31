"""Running a plan: a step starts in the very turn in which the last thing that it waits for is there.

A worker that has ended a step goes on with the next one that is ready, the most urgent first;
so a chain costs no task a step. Nothing polls, and no round waits for its slowest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from agentflow.errors import PlanFailed, UserError
from agentflow.plan.call import Callee, callee_of, child_of
from agentflow.plan.node import Elements, Node
from agentflow.plan.outputs import Outputs
from agentflow.plan.ready import ReadyQueue, needs_of
from agentflow.plan.retrying import Tries
from agentflow.plan.states import FINAL, Bar, State
from agentflow.plan.step import Output, Step, resolved
from agentflow.runtime.ledger import decode, digest, encode
from agentflow_protocols.trace import StepFailed, StepFinished, StepReady, StepSkipped, StepStarted

if TYPE_CHECKING:
    from agentflow.plan.graph import Graph
    from agentflow.plan.plan import Plan
    from agentflow.runtime.context import Context

__all__ = ["Executor"]

_TURNS = 64  # steps that a worker ends before it lets others have a turn


class Executor:
    """One run of a plan. Use it once."""

    def __init__(self, plan: Plan, context: Context[object], graph: Graph, input: object = None) -> None:
        self.plan = plan
        self._context = context
        self._state = context.state
        self._ledger = context.ledger
        self._input = input
        self._durable = context.ledger.durable
        self._ready = ReadyQueue(plan.resources)
        self._outputs = Outputs()
        self._active = 0
        self._left = 0
        self._ended = asyncio.Event()
        self._cancelling: set[int] = set()
        self._fresh: list[int] = []  # became ready since steps were last started
        self._now = self._state.clock.time()
        self._failed: dict[str, str] = {}
        self._cause: BaseException | None = None
        self._callees: dict[int, Callee] = {}
        self._numbers: dict[int, int] = {}
        self.nodes: list[Node] = []
        critical = set(graph.critical_path)
        for number, step in enumerate(plan.steps):
            node = self._node(step, step.name, graph.ranks[number])
            node.after = list(graph.after[number])
            node.before = graph.before[number]
            node.missing = len(node.after)
            node.bar.critical = number in critical
        for number, step in enumerate(plan.steps):
            if isinstance(step.said.on_error, Step):
                self.nodes[self._numbers[id(step.said.on_error)]].instead_of = number

    def _node(self, step: Step[object], key: str, urgency: float) -> Node:
        needs = needs_of(step.said.resources) if step.kind == "call" else ()
        node = Node(step, key, urgency, needs)
        if step.kind in ("call", "map"):
            callee = self._callees.get(id(step.fn))
            if callee is None:
                callee = self._callees[id(step.fn)] = callee_of(step.name, step.fn)
            node.callee = callee
        if id(step) not in self._numbers:
            self._numbers[id(step)] = len(self.nodes)
        self.nodes.append(node)
        self._left += 1
        return node

    async def work(self) -> Outputs:
        """Run all steps and return what they gave. Raises `PlanFailed`."""
        self._ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            self._group = group
            for number, node in enumerate(self.nodes):
                if node.missing == 0:
                    self._make_ready(number, node)
            self._pump()
            if self._left:
                await self._ended.wait()
        if self._failed:
            self._raise()
        return self._outputs

    def gantt(self) -> list[Bar]:
        """Return the steps on the plan's time line, in the order in which they were added."""
        return [node.bar for node in self.nodes]

    def _raise(self) -> None:
        states: dict[str, str] = {node.key: node.bar.state for node in self.nodes}
        name, fault = next(iter(self._failed.items()))
        more = f" (and {len(self._failed) - 1} more)" if len(self._failed) > 1 else ""
        rest = sum(state == "cancelled" for state in states.values())
        after = f"; {rest} steps were not run for it" if rest else ""
        error = PlanFailed(
            f"plan {self.plan.name}: step {name} failed{more}: {fault}{after}",
            states=states,
            faults=self._failed,
        )
        raise error from self._cause

    # Getting ready, starting.

    def _make_ready(self, number: int, node: Node) -> None:
        if node.bar.state != "waiting":
            return
        node.bar.state = "ready"
        node.bar.ready = self._now
        if node.step.kind == "any":
            self._settle(number, node, node.value)
            return
        self._ready.push(number, node.urgency, node.needs)
        self._fresh.append(number)

    def _pump(self) -> None:
        """Start what can start."""
        window = self.plan.window
        while self._active < window and (number := self._ready.pop()) is not None:
            self._active += 1
            self.nodes[number].begun = True
            self._group.create_task(self._worker(number))
        self._tell_ready()

    def _tell_ready(self) -> None:
        """Tell of steps that are ready and have to wait for what they need; others start at once."""
        if self._fresh and self._ready:
            for number in self._fresh:
                node = self.nodes[number]
                if node.bar.state == "ready" and not node.begun:
                    self._state.emit(StepReady(node.key))
        self._fresh.clear()

    async def _worker(self, number: int | None) -> None:
        """Run a step, and then whatever is next, until nothing is."""
        turns = 0
        gate = self._state.gate
        while number is not None:
            if gate.closed:
                await gate.passed()
            await self._run(number, self.nodes[number])
            number = self._ready.pop()
            if number is not None:
                self.nodes[number].begun = True
            if self._ready or self._fresh:
                self._pump()
            turns += 1
            if turns % _TURNS == 0:
                await asyncio.sleep(0)
        self._active -= 1
        self._pump()

    # Running one step.

    async def _run(self, number: int, node: Node) -> None:
        step = node.step
        if node.bar.state != "ready":  # dropped, or cancelled, while it waited for its resources
            self._ready.release(node.needs)
            return
        node.bar.state = "running"
        node.bar.start = self._now = self._state.clock.time()
        node.task = cast("asyncio.Task[None] | None", asyncio.current_task())
        try:
            if node.parent is None:
                if step.said.when is not None and not self._wanted(step):
                    self._skip(number, node, "its condition is false")
                    return
                if step.kind == "map":
                    self._begin_map(number, node)
                    return
            self._state.emit(StepStarted(node.key))
            with self._state.gate.busy():
                value = await self._value(node)
        except asyncio.CancelledError:
            if number not in self._cancelling:
                raise
            self._cancelling.discard(number)
            cast("asyncio.Task[None]", asyncio.current_task()).uncancel()
            self._ready.release(node.needs)
            self._cancel(number, node)
        except Exception as error:
            self._ready.release(node.needs)
            self._fail(number, node, error)
        else:
            self._ready.release(node.needs)
            self._settle(number, node, value)

    def _wanted(self, step: Step[object]) -> bool:
        when = step.said.when
        if isinstance(when, Output):
            return bool(self._give(when.step))
        assert when is not None
        return bool(when(self._outputs))

    def _give(self, step: Step[object]) -> object:
        if step.kind == "input":
            return self._input
        return self.nodes[self._numbers[id(step)]].value

    async def _value(self, node: Node) -> object:
        """Return what a step gives, from the journal where it is known."""
        step, callee = node.step, cast("Callee", node.callee)
        args = cast("tuple[object, ...]", resolved(step.args, self._give)) if step.args else ()
        kwargs = cast("dict[str, object]", resolved(step.kwargs, self._give)) if step.kwargs else step.kwargs
        if node.parent is not None:
            args = (node.value,)
        if not self._durable and callee.simple and step.said.timeout is None and step.said.retries is None:
            return callee.check(node.key, await callee.call(args, kwargs))  # type: ignore[misc]
        if not self._durable or callee.child:
            return await self._tried(node, callee, args, kwargs)
        self._ledger.claim(node.key)
        data = encode([args, kwargs] if kwargs else [args], f"the input of step {node.key}")
        known = self._ledger.recall(node.key, hashed := digest(data), data)
        if known is not None:
            return decode(known.output, callee.kind)
        began = time.time()
        value = await self._tried(node, callee, args, kwargs)
        output = encode(value, f"the output of step {node.key}")
        self._ledger.put(node.key, output, input=data, input_hash=hashed, started=began)
        await self._ledger.barrier()
        return value

    async def _tried(
        self, node: Node, callee: Callee, args: Sequence[object], kwargs: dict[str, object]
    ) -> object:
        """Call the step's function, again as its policy says, each time within its time-out."""
        said = node.step.said
        if said.retries is None and said.timeout is None:
            return callee.check(node.key, await self._called(node, callee, args, kwargs, 1))
        tries = Tries(said.retries)
        while True:
            try:
                async with asyncio.timeout(said.timeout) as bound:
                    value = await self._called(node, callee, args, kwargs, tries.number)
                return callee.check(node.key, value)
            except Exception as error:
                fault: Exception = error
                if isinstance(error, TimeoutError) and bound.expired():
                    fault = TimeoutError(f"not done within {said.timeout:g} s")
                wait = None if isinstance(error, UserError) else tries.wait_after(fault)
                if wait is None:
                    if fault is error:
                        raise
                    raise fault from None
            await asyncio.sleep(wait)

    async def _called(
        self, node: Node, callee: Callee, args: Sequence[object], kwargs: dict[str, object], number: int
    ) -> object:
        if callee.child:
            job, input = child_of(node.key, callee, args, kwargs)
            key = node.key if number == 1 else f"{node.key}/{number}"
            return (await self._context.run(job, input, key=key)).output  # type: ignore[arg-type]
        if callee.is_async:
            return await callee.call(args, kwargs)  # type: ignore[misc]
        return await callee.call_in_thread(self._context, args, kwargs)

    # What follows from an end.

    def _end(self, node: Node, state: State) -> None:
        node.bar.state = state
        node.bar.end = self._now = self._state.clock.time()
        node.task = None
        self._left -= 1
        if not self._left:
            self._ended.set()

    def _settle(self, number: int, node: Node, value: object) -> None:
        """A step has ended well."""
        node.value = value
        self._end(node, "done")
        self._state.emit(StepFinished(node.key))
        if node.parent is not None:
            self._element_done(node, value)
            return
        if node.instead_of is not None:
            self._stand_in(node.instead_of, node, value)
        self._outputs[node.key] = value
        self._release(number, node, value)

    def _skip(self, number: int, node: Node, why: str) -> None:
        """A step is passed over; what comes after it goes on with None."""
        self._ready.release(node.needs)
        self._end(node, "skipped")
        self._state.emit(StepSkipped(node.key, why))
        node.value = None
        if node.instead_of is None:
            self._outputs[node.key] = None
        self._release(number, node, None)

    def _release(self, number: int, node: Node, value: object) -> None:
        """Let what waits for a step know that it has ended."""
        for later in node.before:
            self._arrived(later, number, value, well=True)

    def _arrived(self, later: int, number: int, value: object, *, well: bool) -> None:
        after = self.nodes[later]
        if after.bar.state in FINAL:
            return
        if after.step.kind == "any":
            if well:
                after.value = value
                self._make_ready(later, after)
                self._end_losers(after, number)
                return
            after.missing -= 1
            if after.missing == 0:
                self._fail(later, after, UserError("none of the steps that it takes the first of ended well"))
            return
        if after.instead_of == number:
            if well:  # there is nothing to stand in for
                self._skip_unneeded(later, after)
            else:
                self._count(later, after)
            return
        if well:
            self._count(later, after)
        else:
            self._cancel(later, after)

    def _count(self, number: int, node: Node) -> None:
        node.missing -= 1
        if node.missing == 0:
            self._make_ready(number, node)

    def _skip_unneeded(self, number: int, node: Node) -> None:
        self._end(node, "skipped")
        self._state.emit(StepSkipped(node.key, f"{self.nodes[cast('int', node.instead_of)].key} ended well"))

    def _stand_in(self, number: int, node: Node, value: object) -> None:
        """A fallback has ended well: its value is that of the step in whose place it ran."""
        failed = self.nodes[number]
        failed.value = value
        self._outputs[failed.key] = value
        for later in failed.before:
            if later != self._numbers[id(node.step)]:
                self._arrived(later, number, value, well=True)

    def _fail(self, number: int, node: Node, error: Exception) -> None:
        """A step has failed for good."""
        fault = f"{type(error).__name__}: {error}"
        node.bar.error = fault
        self._state.emit(StepFailed(node.key, fault[:500]))
        policy = node.step.said.on_error
        if policy == "skip" and node.parent is None:
            self._end(node, "skipped")
            self._outputs[node.key] = None
            self._release(number, node, None)
            return
        self._end(node, "failed")
        if node.parent is not None:
            self._element_failed(node, error)
            return
        if isinstance(policy, Step):
            self._arrived(self._numbers[id(policy)], number, None, well=False)
            return
        self._blame(number, node, fault, error)

    def _blame(self, number: int, node: Node, fault: str, error: Exception | None) -> None:
        """The plan fails for this step; what depends on it is not run."""
        if node.instead_of is not None:
            self._failed.setdefault(self.nodes[node.instead_of].key, fault)
            self._spread(node.instead_of)
        self._failed[node.key] = fault
        self._cause = self._cause or error
        self._spread(number)
        if self.plan.on_failure == "cancel":
            for other, its in enumerate(self.nodes):
                if its.bar.state not in FINAL:
                    self._withdraw(other, its)

    def _spread(self, number: int) -> None:
        """Cancel all that depends on a step, however far away; joins on the first are told."""
        left = [number]
        while left:
            here = left.pop()
            for later in self.nodes[here].before:
                node = self.nodes[later]
                if node.bar.state in FINAL:
                    continue
                if node.step.kind == "any" or node.instead_of == here:
                    if node.instead_of != here:
                        self._arrived(later, here, None, well=False)
                    elif node.bar.state == "waiting":
                        self._cancel_one(node)
                    continue
                self._cancel_one(node)
                left.append(later)

    def _cancel_one(self, node: Node) -> None:
        self._end(node, "cancelled")
        self._state.emit(StepSkipped(node.key, "what it waits for has failed"))

    def _cancel(self, number: int, node: Node) -> None:
        """A step is given up, and with it all that depends on it."""
        if node.bar.state in FINAL:
            return
        self._cancel_one(node)
        if node.parent is None:
            self._spread(number)

    def _withdraw(self, number: int, node: Node) -> None:
        """End a step wherever it stands."""
        if node.bar.state == "running" and node.task is not None:
            self._cancelling.add(number)
            node.task.cancel()
        elif node.bar.state == "running":  # a map: its elements are ended one by one
            self._cancel_one(node)
        else:
            if node.bar.state == "ready":
                self._ready.drop(number, node.needs)
            self._cancel_one(node)

    def _end_losers(self, node: Node, winner: int) -> None:
        """End the other steps that a join on the first took, unless they are left to themselves."""
        if node.step.fn == "leave":
            return
        for number in node.after:
            loser = self.nodes[number]
            only = all(self.nodes[later] is node for later in loser.before)
            if number != winner and only and loser.bar.state not in FINAL:
                self._withdraw(number, loser)

    # Maps.

    def _begin_map(self, number: int, node: Node) -> None:
        """Make a step of each item, as many at once as may be."""
        node.task = None
        (items,) = cast("tuple[object, ...]", resolved(node.step.args, self._give))
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise UserError(f"step {node.key} maps over a list, not {type(items).__name__}")
        self._state.emit(StepStarted(node.key))
        elements = node.elements = Elements(len(items))
        if not items:
            self._settle(number, node, [])
            return
        most = node.step.max_parallel or len(items)
        needs = needs_of(node.step.said.resources)
        for position, item in enumerate(items):
            element = Node(node.step, f"{node.key}/{position}", node.urgency, needs)
            element.callee, element.value = node.callee, item
            element.parent, element.position = number, position
            self.nodes.append(element)
            self._left += 1
            if position < most:
                self._make_element_ready(len(self.nodes) - 1, element)
            else:
                elements.waiting.append(len(self.nodes) - 1)
        elements.waiting.reverse()
        self._pump()

    def _make_element_ready(self, number: int, element: Node) -> None:
        element.bar.state = "ready"
        element.bar.ready = self._now
        self._ready.push(number, element.urgency, element.needs)

    def _element_done(self, element: Node, value: object) -> None:
        number = cast("int", element.parent)
        node = self.nodes[number]
        elements = node.elements
        if elements is None or node.bar.state in FINAL:
            return
        elements.values[element.position] = value
        elements.left -= 1
        if not elements.left:
            self._settle(number, node, elements.values)
        elif elements.waiting:
            following = elements.waiting.pop()
            self._make_element_ready(following, self.nodes[following])

    def _element_failed(self, element: Node, error: Exception) -> None:
        if element.step.said.on_error == "skip":
            self._element_done(element, None)
            return
        number = cast("int", element.parent)
        node = self.nodes[number]
        if node.bar.state in FINAL:
            return
        for other, its in enumerate(self.nodes):
            if its.parent == number and its.bar.state not in FINAL:
                self._withdraw(other, its)
        self._fail(number, node, error)
