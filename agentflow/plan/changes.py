"""Changes of a plan that runs: made, put down, and made again after a crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from agentflow.errors import UserError
from agentflow.plan.call import callee_of
from agentflow.plan.edit import Edit
from agentflow.plan.states import FINAL
from agentflow.plan.step import Output, Step, outputs_in
from agentflow.runtime.ledger import decode, encode
from agentflow_protocols.trace import PlanChanged

if TYPE_CHECKING:
    from agentflow.plan.executor import Executor
    from agentflow.plan.node import Node

__all__ = ["Changes"]

_KEY = "plan/change"  # a key that no step can have: its name has no slash
_MARK = "$output"


class Changes:
    """What may be done to the steps of a running plan that have not begun."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._plan = executor.plan
        self._edit = Edit(executor)

    def number(self, step: Step[object] | str) -> int:
        """Return the number of a step. Raises `UserError`, which names the nearest."""
        name = step if isinstance(step, str) else step.name
        number = self._executor.find(name)
        if number is None:
            names = [node.key for node in self._executor.nodes]
            near = get_close_matches(name, names, 1)
            hint = f" (did you mean `{near[0]}`?)" if near else ""
            raise UserError(f"plan {self._plan.name}: no step {name!r}{hint}")
        return number

    def made(
        self,
        run: str | object,
        args: Sequence[object],
        name: str | None,
        after: Sequence[Step[object] | str],
        resources: Mapping[str, int] | None,
        estimate: float | str | None,
    ) -> Step[object]:
        """Return a step that is to be added. Raises `UserError`."""
        function, word = self._function(run)
        step = self._plan.new_step(word or function, function, tuple(args))
        waits = [self._executor.nodes[self.number(one)].step for one in after]
        step.options(name=name, after=waits, resources=resources, estimate=estimate)
        return step

    def add(self, step: Step[object], *, put: bool = True) -> None:
        """Add a step."""
        if self._executor.over:
            raise UserError(f"plan {self._plan.name} has ended: {step.name} would not be run")
        if self._executor.find(step.name) is not None:
            raise UserError(f"plan {self._plan.name}: there is a step {step.name!r} already")
        self._plan.check_needs(step)
        after = [self.number(one) for one in step.waits_for()]
        if put:
            said = {
                "args": self._said(step.args, step.name),
                "after": [one.name for one in step.said.after],
                "resources": step.said.resources,
                "estimate": step.said.estimate,
                "run": self._word(step.fn, step.name),
            }
            self._put("add", step.name, said)
        self._edit.add(step, after)

    def drop(self, number: int, *, put: bool = True) -> None:
        """Take a step out."""
        node = self._waiting(number, put=put)
        if node.instead_of is not None and self._executor.nodes[node.instead_of].bar.state == "failed":
            failed = self._executor.nodes[node.instead_of].key
            raise UserError(
                f"plan {self._plan.name}: step {node.key} runs in the place of {failed}, which has failed"
            )
        if put:
            self._refuse_taken(node)
            self._put("drop", node.key, {})
        self._edit.drop(number)

    def _refuse_taken(self, node: Node) -> None:
        """Raise `UserError` when a step that may be run, now or after a crash, takes its output."""
        for later in node.before:
            taker = self._executor.nodes[later]
            taken = outputs_in([taker.step.args, taker.step.kwargs])
            open_yet = taker.bar.state not in FINAL or taker.bar.state == "cancelled"
            if open_yet and any(output.step is node.step for output in taken):
                raise UserError(
                    f"plan {self._plan.name}: step {taker.key} takes the output of {node.key}: change that"
                    " one first"
                )

    def replace(self, number: int, run: str | object, args: Sequence[object], *, put: bool = True) -> None:
        """Let a step call something else."""
        node = self._waiting(number, put=put)
        function, word = self._function(run)
        callee = callee_of(node.key, function)
        step: Step[object] = Step(node.key, function, tuple(args))
        step.said.after, step.said.when = node.step.said.after, node.step.said.when
        if node.step.kind != "call":
            self._refuse_other_kind(node, step)
        after = [self.number(one) for one in step.waits_for()]
        self._refuse_cycle(number, after)
        if node.instead_of is not None and node.instead_of not in after:
            after.append(node.instead_of)
        if put:
            said = {"args": self._said(step.args, step.name), "run": word or self._word(function, step.name)}
            self._put("replace", node.key, said)
        self._edit.replace(number, step, callee, after)

    def _refuse_other_kind(self, node: Node, step: Step[object]) -> None:
        where = f"plan {self._plan.name}: step {node.key}"
        if node.step.kind == "any":
            raise UserError(f"{where} takes the first of several steps; it can't be replaced")
        if len(step.args) != 1:
            raise UserError(f"{where} maps over a list: replace it with one argument, not {len(step.args)}")

    def repeat(self) -> None:
        """Make the changes of an earlier process again."""
        ledger, number = self._executor.ledger, 1
        while (fact := ledger.find(f"{_KEY}/{number}")) is not None:
            ledger.claim(f"{_KEY}/{number}")
            self._executor.changes = number
            said = cast("dict[str, object]", decode(fact.output))
            change, name = str(said["change"]), str(said["step"])
            args = [self._meant(arg) for arg in cast("list[object]", said.get("args", []))]
            if change == "add":
                after = cast("list[str]", said["after"])
                resources = cast("dict[str, int]", said["resources"])
                estimate = cast("float | None", said["estimate"])
                self.add(self.made(said["run"], args, name, after, resources, estimate), put=False)
            elif change == "drop":
                self.drop(self.number(name), put=False)
            else:
                self.replace(self.number(name), said["run"], args, put=False)
            number += 1

    def _waiting(self, number: int, *, put: bool) -> Node:
        node = self._executor.nodes[number]
        before = put and self._executor.begun_before(node)
        if node.bar.state not in ("waiting", "ready") or node.begun or before:
            state = "begun, before a crash" if before else "under way" if node.begun else node.bar.state
            raise UserError(f"plan {self._plan.name}: step {node.key} is {state}; it can't be changed")
        return node

    def _function(self, run: str | object) -> tuple[object, str | None]:
        if not isinstance(run, str):
            return run, None
        if run not in self._plan.library:
            near = get_close_matches(run, self._plan.library, 1)
            hint = f" (did you mean `{near[0]}`?)" if near else ""
            there = ", ".join(self._plan.library) or "nothing"
            raise UserError(f"plan {self._plan.name}: its library has no {run!r}{hint}; it has {there}")
        return self._plan.library[run], run

    def _word(self, function: object, step: str) -> str:
        """Return the name of a function in the library, where a journal needs one."""
        word = next((name for name, one in self._plan.library.items() if one is function), "")
        if not word and self._executor.ledger.durable:
            raise UserError(
                f"step {step} calls something that a journal can't hold: put it into Plan(library=…), and add"
                " it by its name"
            )
        return word

    def _said(self, args: Sequence[object], step: str) -> object:
        """Return arguments in JSON, outputs by the names of their steps."""

        def said(value: object) -> object:
            if isinstance(value, Output):
                return {_MARK: value.step.name}
            if isinstance(value, list | tuple):
                return [said(item) for item in value]
            if isinstance(value, dict):
                return {key: said(item) for key, item in value.items()}
            return value

        return decode(encode([said(arg) for arg in args], f"the arguments of step {step}"))

    def _meant(self, value: object) -> object:
        if isinstance(value, list):
            return [self._meant(item) for item in value]
        if isinstance(value, dict):
            if set(value) == {_MARK}:
                return self._executor.nodes[self.number(str(value[_MARK]))].step.output
            return {key: self._meant(item) for key, item in value.items()}
        return value

    def _refuse_cycle(self, number: int, after: Sequence[int]) -> None:
        nodes = self._executor.nodes
        left, seen = [number], {number: number}
        while left:
            here = left.pop()
            if here in after:
                path = [here]
                while path[-1] != number:
                    path.append(seen[path[-1]])
                names = " -> ".join(nodes[one].key for one in [*reversed(path), number])
                raise UserError(f"plan {self._plan.name}: that would be a cycle: {names}")
            of = nodes[here].instead_of  # who waits for that one waits for its stand-in, too
            for later in (*nodes[here].before, *(() if of is None else nodes[of].before)):
                if later not in seen and later != of:
                    seen[later] = here
                    left.append(later)

    def _put(self, change: str, step: str, said: Mapping[str, object]) -> None:
        """Put a change down, and tell it."""
        executor = self._executor
        executor.changes += 1
        ledger = executor.ledger
        if ledger.durable:
            key = f"{_KEY}/{executor.changes}"
            ledger.claim(key)
            ledger.put(key, encode({"change": change, "step": step, **said}, "a change of the plan"))
        executor.tell(PlanChanged(change, step))
