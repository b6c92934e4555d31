"""Running a plan: a step starts in the very turn in which the last thing that it waits for is there.

A worker that has ended a step goes on with the next one that is ready, the most urgent first;
so a chain costs no task a step. Nothing polls, and no round waits for its slowest.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

from agentflow.errors import PlanFailed, RunError, UserError
from agentflow.plan.attempts import Attempts
from agentflow.plan.call import Callee, callee_of
from agentflow.plan.changes import Changes
from agentflow.plan.ends import End, Ends
from agentflow.plan.maps import Maps
from agentflow.plan.node import Node
from agentflow.plan.outputs import Outputs
from agentflow.plan.ready import ReadyQueue, needs_of
from agentflow.plan.states import Bar, State
from agentflow.plan.step import Output, Step, resolved
from agentflow.runtime.ledger import decode, digest, encode
from agentflow_protocols.trace import Event, StepFinished, StepReady, StepStarted

if TYPE_CHECKING:
    from agentflow.plan.graph import Graph
    from agentflow.plan.plan import Plan
    from agentflow.runtime.context import Context

__all__ = ["Executor"]

_TURNS = 1_000  # steps that a worker ends before it lets others have a turn


class Executor:
    """One run of a plan. Use it once."""

    def __init__(self, plan: Plan, context: Context[object], graph: Graph, input: object = None) -> None:
        self.plan = plan
        self._context = context
        self._state = context.state
        self._ledger = context.ledger
        self._input = input
        self._durable = context.ledger.durable
        self.queue = ReadyQueue(plan.resources)
        self.outputs = Outputs()
        self.ledger = context.ledger
        self.changes = 0  # how often it was changed while it ran
        self._active = 0
        self.left = 0
        self.group: asyncio.TaskGroup | None = None
        self._open = plan.open
        self._names: dict[str, int] = {}
        self._ended = asyncio.Event()
        self.cancelling: dict[int, str] = {}  # whose end was asked for, and why
        self._fresh: list[int] = []  # became ready since steps were last started
        self._attempts = Attempts(context)
        self._filling = False
        self.now = self._state.clock.time()
        self.ends = Ends(self)
        self._callees: dict[int, Callee] = {}
        self.numbers: dict[int, int] = {}
        self.nodes: list[Node] = []
        self.maps = Maps(self)
        critical = set(graph.critical_path)
        for number, step in enumerate(plan.steps):
            node = self.node(step, step.name, graph.ranks[number])
            node.after = list(graph.after[number])
            node.before = graph.before[number]
            node.missing = len(node.after)
            node.bar.critical = number in critical
        for number, step in enumerate(plan.steps):
            if isinstance(step.said.on_error, Step):
                instead = self.nodes[self.numbers[id(step.said.on_error)]]
                instead.instead_of, instead.plain = number, False

    def node(self, step: Step[object], key: str, urgency: float) -> Node:
        """Take a step in as a node."""
        needs = needs_of(step.said.resources) if step.kind == "call" else ()
        node = Node(step, key, urgency, needs)
        if step.kind in ("call", "map"):
            callee = self._callees.get(id(step.fn))
            if callee is None:
                callee = self._callees[id(step.fn)] = callee_of(step.name, step.fn)
            node.callee = callee
            if step.said.idempotent is False and callee.tool is None:
                raise UserError(f"step {step.name}: only a tool can be not idempotent: make it one by @tool")
        if id(step) not in self.numbers:
            self.numbers[id(step)] = len(self.nodes)
        self._names[key] = self.take(node)
        return node

    def take(self, node: Node) -> int:
        """Count a further node in, and return its number."""
        self.nodes.append(node)
        self.left += 1
        return len(self.nodes) - 1

    async def work(self) -> Outputs:
        """Run all steps and return what they gave. Raises `PlanFailed`."""
        self._state.live = self
        self.left += self.plan.open
        Changes(self).repeat()
        try:
            async with asyncio.TaskGroup() as group:
                self.group = group
                for number, node in enumerate(self.nodes):
                    if node.missing == 0:
                        self.make_ready(number, node)
                self.pump()
                if self.left:
                    try:
                        await self._ended.wait()
                    except BaseException:
                        self.group = None  # no worker takes another step
                        raise
        finally:
            self._ended.set()
            self.group = None
        if self.ends.failed:
            self._raise()
        return self.outputs

    def gantt(self) -> list[Bar]:
        """Return the steps on the plan's time line, in the order in which they were added."""
        return [node.bar for node in self.nodes]

    def _raise(self) -> None:
        states: dict[str, str] = {node.key: node.bar.state for node in self.nodes}
        name, fault = next(iter(self.ends.failed.items()))
        more = f" (and {len(self.ends.failed) - 1} more)" if len(self.ends.failed) > 1 else ""
        rest = sum(state == "cancelled" for state in states.values())
        after = f"; {rest} steps were not run for it" if rest else ""
        error = PlanFailed(
            f"plan {self.plan.name}: step {name} failed{more}: {fault}{after}",
            states=states,
            faults=self.ends.failed,
        )
        raise error from self.ends.cause

    # Changes while it runs; see `Changes`.

    def find(self, name: str) -> int | None:
        """Return the number of the step of this name."""
        return self._names.get(name)

    @property
    def over(self) -> bool:
        """Whether nothing more can begin."""
        return self._ended.is_set()

    def begun_before(self, node: Node) -> bool:
        """Whether a step, or an item of it, has begun in an earlier process."""
        run, records = self._context.run_id, self._state.records
        keys = (node.key, f"{node.key}/0")
        return any(self.ledger.find(key) is not None or f"{run}/{key}" in records for key in keys)

    def tell(self, event: Event) -> None:
        """Tell an event of the plan's run."""
        self._state.emit(event)

    def close(self) -> None:
        """End an open plan with the steps that it has."""
        if self._open:
            self._open = False
            self.left -= 1
            if not self.left:
                self._ended.set()

    # Getting ready, starting.

    def make_ready(self, number: int, node: Node) -> None:
        """Queue a node all of whose waiting is over."""
        if node.bar.state != "waiting":
            return
        node.bar.state = "ready"
        node.bar.ready = self.now
        self.queue.push(number, node.urgency, node.needs)
        self._fresh.append(number)

    def pump(self) -> None:
        """Start what can start: one worker now, the others once it waits for something.

        Steps that wait for nothing are so ended by one worker, without a task each.
        """
        if not self._active:
            self._start()
        if not self._filling:
            self._filling = True
            asyncio.get_running_loop().call_soon(self._fill)

    def _fill(self) -> None:
        """Start a worker for each step that can start."""
        self._filling = False
        while self._active < self.plan.window and self._start():
            pass
        self._tell_ready()

    def _start(self) -> bool:
        """Start a worker for the most urgent step; return whether there was one that can start."""
        if self.group is None or (number := self.queue.pop()) is None:
            return False
        self._active += 1
        self.nodes[number].begun = True
        work = self._worker(number)
        try:
            self.group.create_task(work)
        except RuntimeError:  # the plan is being ended
            work.close()
            return False
        return True

    def _tell_ready(self) -> None:
        """Tell of steps that are ready and have to wait for what they need; others start at once."""
        if self._fresh and self.queue:
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
            number = None if self.group is None else self.queue.pop()
            if number is not None:
                self.nodes[number].begun = True
            if not self._filling and (self.queue or self._fresh):
                self.pump()
            turns += 1
            if turns % _TURNS == 0:
                await asyncio.sleep(0)
        self._active -= 1
        self.pump()

    # Running one step.

    async def _run(self, number: int, node: Node) -> None:
        step = node.step
        if node.bar.state != "ready":  # dropped, or cancelled, while it waited for its resources
            self.queue.release(node.needs)
            return
        node.bar.state = "running"
        node.bar.start = self.now = self._state.clock.time()
        node.task = cast("asyncio.Task[None] | None", asyncio.current_task())
        try:
            if node.parent is None and step.said.when is not None and not self._wanted(step):
                self.queue.release(node.needs)
                self.ends.skip(number, node, "its condition is false")
                return
            if self._durable and (fault := self.ends.passed_over(node)) is not None:
                self.queue.release(node.needs)
                self.ends.fail(number, node, RunError(fault), fault)
                return
            if node.parent is None and step.kind != "call":
                gather = self.maps.begin if step.kind == "map" else self.ends.join
                gather(number, node)
                return
            self._state.emit(StepStarted(node.key))
            # What has a run of its own passes the gate there: while it counted here, it could not.
            with nullcontext() if cast("Callee", node.callee).child else self._state.gate.busy():
                value = await self._value(node)
        except asyncio.CancelledError:
            if not self._withdrawn(number):
                raise
            self.queue.release(node.needs)
            self.ends.cancel(number, node)
        except Exception as error:
            self.queue.release(node.needs)
            if self.cancelling and self._withdrawn(number):  # it failed on its way out
                self.ends.cancel(number, node)
            else:
                self.ends.fail(number, node, error)
        else:
            if self.cancelling:
                self._withdrawn(number)
            if node.needs:
                self.queue.release(node.needs)
            self.settle(number, node, value)

    def _withdrawn(self, number: int) -> bool:
        """Return whether a step was cancelled by its plan, and nothing else than that was."""
        if number not in self.cancelling:
            return False
        self.nodes[number].why = self.cancelling.pop(number)
        return not cast("asyncio.Task[None]", asyncio.current_task()).uncancel()

    def _wanted(self, step: Step[object]) -> bool:
        when = step.said.when
        if isinstance(when, Output):
            return bool(self.give(when.step))
        assert when is not None
        return bool(when(self.outputs))

    def give(self, step: Step[object]) -> object:
        """Return what a step gave."""
        if step.kind == "input":
            return self._input
        return self.nodes[self.numbers[id(step)]].value

    async def _value(self, node: Node) -> object:
        """Return what a step gives, from the journal where it is known."""
        step, callee = node.step, cast("Callee", node.callee)
        args = cast("tuple[object, ...]", resolved(step.args, self.give)) if step.args else ()
        kwargs = cast("dict[str, object]", resolved(step.kwargs, self.give)) if step.kwargs else step.kwargs
        if node.parent is not None:
            args = (node.value,)
        if not self._durable and callee.simple and step.said.timeout is None and step.said.retries is None:
            return callee.check(node.key, await callee.call(args, kwargs))  # type: ignore[misc]
        if not self._durable or callee.child:
            return await self._attempts.value(node, callee, args, kwargs)
        self._ledger.claim(node.key)
        data = encode([args, kwargs] if kwargs else [args], f"the input of step {node.key}")
        known = self._ledger.recall(node.key, hashed := digest(data), data)
        if known is not None:
            return decode(known.output, callee.kind)
        began = time.time()
        value = await self._attempts.value(node, callee, args, kwargs)
        output = encode(value, f"the output of step {node.key}")
        self._ledger.put(node.key, output, input=data, input_hash=hashed, started=began)
        await self._ledger.barrier()
        return value

    # What follows from an end; where not all of what waits has to wait on, `Ends` says what.

    def end(self, node: Node, state: State) -> None:
        """Put a node into its last state."""
        node.bar.state = state
        node.bar.end = self.now = self._state.clock.time()
        node.task = None
        self.left -= 1
        if not self.left:
            self._ended.set()

    def settle(self, number: int, node: Node, value: object) -> None:
        """A step has ended well."""
        node.value = value
        self.end(node, "done")
        self._state.emit(StepFinished(node.key))
        if node.parent is not None:
            self.maps.done(node, value)
            return
        if node.instead_of is not None:
            self.ends.stood_in(node.instead_of, number, value, "well")
        self.outputs[node.key] = value
        self.release(number, node, value)

    def release(self, number: int, node: Node, value: object, how: End = "well") -> None:
        """Let what waits for a step know that it has ended, well or with nothing."""
        for later in node.before:
            after = self.nodes[later]
            if after.plain:
                after.missing -= 1
                if not after.missing:
                    self.make_ready(later, after)
            else:
                self.ends.arrived(later, number, value, how)
