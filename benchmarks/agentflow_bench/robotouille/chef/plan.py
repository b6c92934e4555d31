"""A plan from where a kitchen is to its goal, each step of it tried out in the simulator."""

from __future__ import annotations

from typing import Final, NamedTuple

from agentflow.environment import InvalidAction
from agentflow.errors import UserError
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.chef.errand import NEVER
from agentflow_bench.robotouille.chef.model import Step, World
from agentflow_bench.robotouille.chef.reading import act_step, read_kitchen
from agentflow_bench.robotouille.chef.search import Search
from agentflow_bench.robotouille.kitchen import Kitchen, State

__all__ = ["Planned", "plan_actions", "planned"]

_WIDTHS: Final = (10, 40, 160)
_MOST: Final = 60_000  # states looked at for one plan
_ATTEMPTS: Final = 5  # how often the rest is planned anew where the simulator goes another way


class Planned(NamedTuple):
    """An action, and the state in which it is meant to be done."""

    action: Action
    before: State


def plan_actions(kitchen: Kitchen) -> list[Action]:
    """Return the actions from the present state to the goal, one a turn; other players wait in theirs.

    The kitchen is left as it was. Takes tenths of a second, some seconds for the longest tasks; the same
    state gives the same plan. Raises `UserError` where the goal can't be reached, or no way to it is found.
    """
    return [step.action for step in planned(kitchen)]


def planned(kitchen: Kitchen) -> list[Planned]:
    """Return the same plan as `plan_actions`, with the state before each action."""
    kept = kitchen.snapshot()
    steps: list[Planned] = []
    try:
        for _ in range(_ATTEMPTS):
            if kitchen.done:
                break
            world, found = _search(kitchen)
            steps += _tried(kitchen, world, found)
        if not kitchen.done:
            raise UserError(f"the chef's plans do not reach the goal of {kitchen.instance.name}")
    finally:
        kitchen.restore(kept)
    return steps


def _search(kitchen: Kitchen) -> tuple[World, tuple[Step, ...]]:
    """Return the best steps found from here."""
    world, state, menu = read_kitchen(kitchen)
    search = Search(world, menu)
    least = search.estimate(state).steps
    if least >= NEVER:
        raise UserError(f"the goal of {kitchen.instance.name} can't be reached any more")
    found = search.plans(state, 3 * least + 60 * world.ticks, _WIDTHS, _MOST)
    if not found:
        raise UserError(f"the chef found no way to the goal of {kitchen.instance.name}")
    return world, found[0].steps


def _tried(kitchen: Kitchen, world: World, steps: tuple[Step, ...]) -> list[Planned]:
    """Do the steps as far as they can be done, and return them."""
    robot = kitchen.players[kitchen.player]
    done: list[Planned] = []
    for step in steps:
        for turn in range(world.ticks):
            before = kitchen.snapshot()
            try:
                action = act_step(kitchen, robot, world, step if turn == 0 else ("wait", 0, 0))
            except InvalidAction:
                return done
            done.append(Planned(action, before))
            if kitchen.done:
                return done
    return done
