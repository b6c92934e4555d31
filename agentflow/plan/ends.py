"""What follows from a step's end: who may begin, who is skipped, who is given up with it.

A step has ended for those that wait for it when nothing more will come of it: one that has failed
and has a stand-in ends as that one does. A failure that, directly or through other steps, only joins
on the first wait for is theirs: the plan fails for it when they do. What later steps have seen is put
down, a failure that the plan went on from and the winner of a join too, so that they see the same
after a crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from agentflow.errors import RunError
from agentflow.plan.states import FINAL
from agentflow.plan.step import Step
from agentflow.runtime.ledger import decode, encode
from agentflow_protocols.trace import StepFailed, StepSkipped

if TYPE_CHECKING:
    from agentflow.plan.executor import Executor
    from agentflow.plan.node import Node

__all__ = ["End", "Ends"]

End: TypeAlias = Literal["well", "skipped", "failed"]

_FIRST = "plan/first"  # keys that no step can have: its name has no slash
_FAILED = "plan/failed"
_SHOWN = 1_000  # letters of a long fault, at either end


class Ends:
    """The ends of one running plan's steps."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.failed: dict[str, str] = {}  # what the plan fails for
        self.cause: BaseException | None = None
        self._spared: dict[str, str] = {}  # what it fails for if joins do
        self._first: BaseException | None = None

    # What a step has come to.

    def end_of(self, node: Node) -> End | None:
        """Return how a step has ended for those that wait for it, None when it has not."""
        state, policy = node.bar.state, node.step.said.on_error
        if state == "failed" and isinstance(policy, Step):
            instead = self._instead(policy)[1].bar.state
            if instead not in FINAL:
                return None
            return "well" if instead == "done" else "skipped" if instead == "skipped" else "failed"
        if state not in FINAL:
            return None
        return "well" if state == "done" else "failed" if state in ("failed", "cancelled") else "skipped"

    def skip(self, number: int, node: Node, why: str) -> None:
        """A step is passed over; what comes after it goes on with None."""
        executor = self._executor
        executor.end(node, "skipped")
        executor.tell(StepSkipped(node.key, why))
        self._gave_nothing(number, node)

    def _gave_nothing(self, number: int, node: Node) -> None:
        executor = self._executor
        node.value = None
        if node.instead_of is None:
            executor.outputs[node.key] = None
        else:
            self.stood_in(node.instead_of, number, None, "skipped")
        executor.release(number, node, None, "skipped")

    def fail(self, number: int, node: Node, error: Exception, fault: str = "") -> None:
        """A step has failed for good."""
        executor = self._executor
        fault = _clipped(fault or f"{type(error).__name__}: {error}")
        node.bar.error = fault
        executor.tell(StepFailed(node.key, fault[:500]))
        policy = node.step.said.on_error
        if policy == "skip" and node.parent is None:
            self._passed_over(node, fault)
            executor.end(node, "skipped")
            self._gave_nothing(number, node)
            return
        if policy == "skip":
            self._passed_over(node, fault)
        executor.end(node, "failed")
        if node.parent is not None:
            executor.maps.failed(node, error)
            return
        if isinstance(policy, Step):
            at, instead = self._instead(policy)
            if instead.bar.state not in FINAL:
                self._passed_over(node, fault)
                self._count(at, instead)
                return
        self._blame(number, node, fault, error)

    def passed_over(self, node: Node) -> str | None:
        """Return for what a step failed in an earlier process that went on without it."""
        ledger, key = self._executor.ledger, f"{_FAILED}/{node.key}"
        known = ledger.find(key)
        if known is None or node.step.said.on_error == "fail":
            return None
        return str(decode(known.output))

    def _passed_over(self, node: Node, fault: str) -> None:
        """Put down that a step has failed, and that the plan goes on: later steps have seen that."""
        ledger, key = self._executor.ledger, f"{_FAILED}/{node.key}"
        if ledger.durable:
            ledger.claim(key)
            if ledger.find(key) is None:
                ledger.put(key, encode(fault, f"the fault of step {node.key}"))

    # Those that wait.

    def arrived(self, later: int, number: int, value: object, how: End) -> None:
        """Tell a join on the first, or a stand-in, that a step which it waits for has ended."""
        after = self._executor.nodes[later]
        if after.bar.state in FINAL:
            return
        if after.step.kind == "any":
            self._member(later, after, number, value, how)
        elif after.instead_of == number:  # there is nothing to stand in for
            self._executor.end(after, "skipped")
            ended = "ended well" if how == "well" else "was skipped"
            self._executor.tell(StepSkipped(after.key, f"{self._executor.nodes[number].key} {ended}"))
            self._executor.release(later, after, None, "skipped")
        else:
            self._count(later, after)

    def _count(self, number: int, node: Node) -> None:
        node.missing -= 1
        if node.missing == 0:
            self._executor.make_ready(number, node)

    def stood_in(self, number: int, instead: int, value: object, how: End) -> None:
        """A stand-in has ended: what it gave is the value of the step in whose place it ran."""
        executor = self._executor
        failed = executor.nodes[number]
        failed.value = value
        executor.outputs[failed.key] = value
        for later in failed.before:
            if later == instead:
                continue
            after = executor.nodes[later]
            if after.plain:
                self._count(later, after)
            else:
                self.arrived(later, number, value, how)

    def _instead(self, step: Step[object]) -> tuple[int, Node]:
        number = self._executor.numbers[id(step)]
        return number, self._executor.nodes[number]

    # Joins on the first.

    def _member(self, later: int, join: Node, number: int, value: object, how: End) -> None:
        """A step that a join takes has ended well, or was skipped."""
        executor = self._executor
        if join.bar.state != "waiting":
            return
        if how == "well" and self._may_win(join, number):
            join.value = value
            executor.make_ready(later, join)
            self._end_losers(join, number)
        else:
            self._lost(later, join)

    def join(self, number: int, join: Node) -> None:
        """Give a join that is ready the value of its first; without one it is skipped, or fails."""
        if join.missing:
            self._executor.settle(number, join, join.value)
        elif all(self.end_of(self._executor.nodes[one]) == "skipped" for one in join.after):
            self.skip(number, join, "all steps that it takes the first of were skipped")
        else:
            fault = "none of the steps that it takes the first of ended well"
            self.fail(number, join, RunError(fault), fault)

    def _may_win(self, join: Node, number: int) -> bool:
        """Return whether a step may be the first, and put down that it is: the journal knows it later."""
        ledger, nodes, key = self._executor.ledger, self._executor.nodes, f"{_FIRST}/{join.key}"
        if not ledger.durable:
            return True
        known = ledger.find(key)
        if known is not None:
            winner = decode(known.output)
            there = [nodes[one].key for one in join.after]
            return winner == nodes[number].key or winner not in there
        ledger.put(key, encode(nodes[number].key, f"the first of {join.key}"))
        return True

    def _lost(self, number: int, join: Node) -> None:
        """Count a step that is not the first of a join; it is ready when none is left that could be."""
        if join.bar.state == "waiting":
            join.missing -= 1
            if not join.missing:
                self._executor.make_ready(number, join)

    def _end_losers(self, join: Node, winner: int) -> None:
        """End the other steps that a join took, with their stand-ins, unless they are left to themselves."""
        if join.step.fn == "leave":
            return
        nodes = self._executor.nodes
        why = f"{nodes[winner].key} was the first"
        for number in join.after:
            loser, policy = nodes[number], nodes[number].step.said.on_error
            instead = self._instead(policy) if isinstance(policy, Step) else None
            only = all(nodes[later] is join or nodes[later].instead_of == number for later in loser.before)
            if number == winner or not only or (instead is not None and instead[1].before):
                continue
            self.withdraw(number, loser, why)
            if instead is not None:
                self.withdraw(*instead, why)
            if loser.bar.state == "cancelled":
                self._spread(number)

    # Giving up.

    def _blame(self, number: int, node: Node, fault: str, error: Exception | None) -> None:
        """What depends on a step is not run, and the plan fails for it, unless it is for joins to say."""
        self._first = self._first or error
        if node.instead_of is None:
            self._spared[node.key] = fault
            lost = self._spread(number)
        else:
            self._spared.setdefault(self._executor.nodes[node.instead_of].key, fault)
            self._spared[node.key] = fault
            lost = self._spread(node.instead_of)
            self._spread(number)
        if lost:
            self._own_up()

    def _own_up(self) -> None:
        """The plan fails, for all that has failed so far."""
        self.failed.update(self._spared)
        self._spared.clear()
        self.cause = self.cause or self._first
        if self._executor.plan.on_failure == "cancel":
            for other, its in enumerate(self._executor.nodes):
                self.withdraw(other, its, "the plan has failed")
            self._executor.close()

    def _spread(self, number: int) -> bool:
        """Cancel all that depends on a step, however far away; joins on the first are told.

        Return whether something is lost by it: a step, of these and itself, for which no other waits.
        """
        nodes = self._executor.nodes
        left, lost = [number], False
        while left:
            here = left.pop()
            waited = nodes[here].instead_of is not None
            for later in nodes[here].before:
                node = nodes[later]
                waited = waited or (node.instead_of != here and node.bar.state != "dropped")
                if node.bar.state in FINAL:
                    continue
                if node.step.kind == "any":
                    self._lost(later, node)
                    continue
                self._cancel_one(node)
                left.append(later)
                of = node.instead_of
                if of is not None and nodes[of].bar.state == "failed":  # nobody stands in for it any more
                    self._spared.setdefault(nodes[of].key, nodes[of].bar.error or "")
                    left.append(of)
            lost = lost or not waited
        return lost

    def _cancel_one(self, node: Node) -> None:
        self._executor.end(node, "cancelled")
        self._executor.tell(StepSkipped(node.key, node.why))

    def cancel(self, number: int, node: Node) -> None:
        """A step is given up, and with it all that depends on it."""
        if node.bar.state in FINAL:
            return
        self._cancel_one(node)
        if node.parent is None:
            self._spread(number)

    def give_up(self, number: int, node: Node) -> None:
        """A step was added, or changed, that waits for one that has failed: it is not run."""
        self._cancel_one(node)
        if self._spread(number):
            self._own_up()

    def withdraw(self, number: int, node: Node, why: str) -> None:
        """End a step wherever it stands; one that waits for what it needs is passed by in the queue."""
        if node.bar.state in FINAL:
            return
        if node.task is not None:
            if number not in self._executor.cancelling:
                self._executor.cancelling[number] = why
                node.task.cancel()
            return
        node.why = why
        self._cancel_one(node)
        if node.elements is not None:
            for element in node.elements.numbers:
                self.withdraw(element, self._executor.nodes[element], why)


def _clipped(fault: str) -> str:
    """Return a fault with its beginning and its end: plans in plans tell those of the inner ones."""
    return fault if len(fault) <= 2 * _SHOWN else f"{fault[:_SHOWN]} … {fault[-_SHOWN:]}"
