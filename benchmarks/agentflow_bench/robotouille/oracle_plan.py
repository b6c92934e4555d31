"""How the oracle plans like a graph: the chef's plan as lines, with their durations and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.agents.chore import VERBS
from agentflow_bench.robotouille.agents.scene import Scene
from agentflow_bench.robotouille.chef.plan import plan_actions
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.oracle_calls import own_actions

__all__ = ["planned_lines"]

_DELAY = 3  # steps that something takes by itself
_WORDS = {"cut": "cut", "cook": "cook", "fry": "fry", "fill-pot": "fill", "boil-water": "boil"}
_WHERE = {"cut": "on", "cook": "on", "fry": "in", "fill": "at", "boil": "on", "put": "on", "stack": "on"}


@dataclass(slots=True)
class _Line:
    verb: str
    thing: str
    where: str
    steps: int

    @property
    def slow(self) -> bool:
        return VERBS[self.verb].slow

    @property
    def text(self) -> str:
        between = {"add": "to", "serve": "in"}.get(self.verb) or _WHERE[self.verb]
        return f"{self.verb} {self.thing} {between} {self.where} ({self.steps + _DELAY * self.slow} steps)"


def planned_lines(instance: Instance) -> str:
    """Return the chef's plan from a kitchen's beginning. Raises `UserError`."""
    kitchen = Kitchen(instance)
    held = Scene.of(kitchen, kitchen.players[0]).held or ""
    lines = _lines(own_actions(plan_actions(kitchen), kitchen), held)
    return "\n".join(
        f"{number}. {line.text}{_arrow(_needs(lines, number - 1))}" for number, line in enumerate(lines, 1)
    )


def _lines(actions: Sequence[Action], held: str) -> list[_Line]:
    """Return what is done, without the ways and the waits. What is brought and worked on is one line."""
    lines: list[_Line] = []
    steps = 0
    for action in actions:
        given = dict(action.arguments)
        if action.name == "wait":
            continue
        steps += 1
        thing = given.get("i1") or given.get("c1", "")
        if action.name in ("pick-up-item", "pick-up-container", "unstack"):
            held = thing
        elif action.name in _WORDS:
            verb, last = _WORDS[action.name], lines[-1] if lines else None
            if last is not None and last.thing == thing and last.verb in ("put", verb) and steps == 1:
                last.verb, last.steps = verb, last.steps + 1
            else:
                lines.append(_Line(verb, thing, given["s1"], steps))
            steps = 0
        elif action.name != "move":
            verb, where = {
                "stack": ("stack", given.get("i2", "")),
                "add-to": ("add", given.get("c1", "")),
                "fill-bowl": ("serve", given.get("c1", "")),
            }.get(action.name, ("put", given.get("s1", "")))
            lines.append(_Line(verb, held, where, steps))
            steps = 0
    return lines


def _needs(lines: Sequence[_Line], at: int) -> list[int]:
    """Return the numbers of the lines that must be finished before one.

    These are the last that holds the robot up, and what goes on by itself and is taken away in it. Water
    that is not there yet is waited for with the item in the hand.
    """
    line = lines[at]
    quick = next((n for n in range(at - 1, -1, -1) if not lines[n].slow), None)
    found = [] if quick is None else [quick + 1]
    for number, other in enumerate(lines[:at], 1):
        if other.slow and other.thing in (line.thing, line.where) and line.verb != "add":
            found.append(number)
    return sorted(set(found))


def _arrow(needs: Sequence[int]) -> str:
    return f" <- {', '.join(map(str, needs))}" if needs else ""
