"""Robotouille's rules written down once more, plainly and slowly, and walked beside the simulator."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from agentflow_bench.robotouille.domain import ActionRule, Domain, EffectRule, Literal
from agentflow_bench.robotouille.instance import Fact, Instance, make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.task import SUITES, Task, all_tasks

Binding = Mapping[str, str]


@dataclass
class Clock:
    """A running effect: its rule over objects, how often it counted, whether it is done."""

    rule: EffectRule
    binding: Binding
    nested: list[Clock] = field(default_factory=list)
    count: int = 0
    done: bool = False

    @property
    def identity(self) -> object:
        """What two effects have in common that the original calls equal."""
        return (
            self.rule.kind,
            self.rule.parameter,
            self.binding[self.rule.parameter],
            [(ground(each, self.binding), each.value) for each in self.rule.effects],
            [(ground(each, self.binding), each.value) for each in self.rule.conditions],
            [each.identity for each in self.nested],
        )


def ground(literal: Literal, binding: Binding) -> Fact:
    return (literal.predicate, *(binding.get(name, name) for name in literal.parameters))


def started(rule: EffectRule, binding: Binding) -> Clock:
    return Clock(rule, binding, [started(each, binding) for each in rule.nested])


class Plain:
    """A set of facts and a list of effects."""

    def __init__(self, instance: Instance) -> None:
        self.facts = {*instance.facts}
        self.effects: list[Clock] = []
        self.water = 0

    def valid(self, rule: ActionRule, binding: Binding) -> bool:
        return all((ground(each, binding) in self.facts) == each.value for each in rule.preconditions)

    def step(self, rule: ActionRule, binding: Binding) -> None:
        assert self.valid(rule, binding)
        self.put(rule.effects, binding)
        for special in rule.special:
            clock = started(special, binding)
            for other in self.effects:
                if other.identity == clock.identity:
                    clock = other
                    break
            else:
                self.effects.append(clock)
            self.update(clock, active=True)
        place = 0
        while place < len(self.effects):
            self.update(self.effects[place], active=False)
            if self.effects[place].done:
                del self.effects[place]
            place += 1

    def put(self, literals: tuple[Literal, ...], binding: Binding, opposite: bool = False) -> None:
        for each in literals:
            if each.value != opposite:
                self.facts.add(ground(each, binding))
            else:
                self.facts.discard(ground(each, binding))

    def update(self, clock: Clock, active: bool) -> None:
        rule = clock.rule
        if clock.done:
            return
        if rule.kind == "creation":
            self.water += 1
            self.put(rule.effects, {**clock.binding, "m1": f"water{self.water}"})
            clock.done = True
        elif rule.kind == "conditional":
            if any((ground(each, clock.binding) in self.facts) != each.value for each in rule.conditions):
                self.put(rule.effects, clock.binding, opposite=True)
                return
            self.put(rule.effects, clock.binding)
            for nested in clock.nested:
                self.update(nested, active)
            clock.done = all(nested.done for nested in clock.nested)
        elif active == (rule.kind == "repetitive"):
            clock.count += 1
            if clock.count == (3 if rule.kind == "repetitive" else 4):
                self.put(rule.effects, clock.binding)
                for nested in clock.nested:
                    self.update(nested, active)
                clock.done = True


@pytest.mark.parametrize(
    "task", [task for suite in SUITES for task in all_tasks(suite)], ids=lambda task: task.id
)
def test_the_simulator_follows_the_rules(task: Task) -> None:
    """Walks that rather do something than only move, now and then by way of an earlier state."""
    rules = {rule.name: rule for rule in Domain.builtin().actions}
    draw = random.Random(task.id)
    for seed in (None, 5) if task.suite != "multi_agent" else (None,):
        kitchen = Kitchen(make_instance(task, seed))
        plain = Plain(kitchen.instance)
        for _ in range(90):
            valid = kitchen.valid_actions()
            busy = [each for each in valid if each.name not in ("move", "wait")]
            action = draw.choice(busy if busy and draw.random() < 0.6 else valid)
            kept = kitchen.snapshot()
            kitchen.step(draw.choice(valid))
            kitchen.restore(kept)
            if kitchen.step(action):
                break
            plain.step(rules[action.name], dict(action.arguments))
            assert kitchen.facts() == sorted(plain.facts)
            assert [(each.kind, each.object) for each in kitchen.effects] == [
                (clock.rule.kind, clock.binding[clock.rule.parameter]) for clock in plain.effects
            ]
