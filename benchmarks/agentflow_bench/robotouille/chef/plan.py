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

_WIDTHS: Final = (12, 80)
_MOST: Final = 60_000  # states looked at for one plan
_ATTEMPTS: Final = 5  # how often the rest is planned anew where the simulator goes another way


class Planned(NamedTuple):
    """An action, and the state in which it is meant to be done."""

    action: Action
    before: State


def plan_actions(kitchen: Kitchen) -> list[Action]:
    """Return the actions from the present state to the goal, one a turn.

    Of several players one works; the others wait in their turns, and get out of its way. The kitchen is left
    as it was. Takes tenths of a second, some seconds for the longest tasks; the same state gives the same
    plan. Raises `UserError` where the goal can't be reached, or no way to it is found.
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
            steps += _tried(kitchen, _best(kitchen))
        if not kitchen.done:
            raise UserError(f"the chef's plans do not reach the goal of {kitchen.instance.name}")
    finally:
        kitchen.restore(kept)
    return steps


class _Way(NamedTuple):
    """What is done by whom, turn by turn."""

    world: World
    turns: tuple[tuple[str, Step], ...]


_WAIT: Final[Step] = ("wait", 0, 0)


def _best(kitchen: Kitchen) -> _Way:
    """Return the best way found from here when the player works who is next, or else another one."""
    here = kitchen.snapshot()
    why: UserError | None = None
    before: list[tuple[str, Step]] = []
    for robot in _in_turn(kitchen):
        try:
            way = _searched(kitchen)
        except UserError as error:
            why = why or error
        else:
            kitchen.restore(here)
            return _Way(way.world, (*before, *way.turns))
        before.append((robot, _WAIT))
        if kitchen.step(kitchen.action("wait")):
            break
    kitchen.restore(here)
    raise why or UserError(f"the chef found no way to the goal of {kitchen.instance.name}")


def _searched(kitchen: Kitchen) -> _Way:
    """Return the best turns found when the player works who is next."""
    world, state, menu = read_kitchen(kitchen)
    search = Search(world, menu)
    least = search.estimate(state).steps
    if least >= NEVER:
        raise UserError(f"the goal of {kitchen.instance.name} can't be reached any more")
    found = search.plan(state, 3 * least + 60 * world.ticks, _WIDTHS, _MOST)
    if found is None:
        raise UserError(f"the chef found no way to the goal of {kitchen.instance.name}")
    return _Way(world, tuple(_with_others(kitchen, world, state.place, list(found.steps))))


def _in_turn(kitchen: Kitchen) -> list[str]:
    """Return the players, the one first who is next."""
    return kitchen.players[kitchen.player :] + kitchen.players[: kitchen.player]


def _with_others(kitchen: Kitchen, world: World, place: int, steps: list[Step]) -> list[tuple[str, Step]]:
    """Return the steps of who works, with the turns of the others: they wait, and get out of the way."""
    robot, *others = _in_turn(kitchen)
    where = {player: world.stations.index(station) for player, station in kitchen.true("loc")}
    if others and steps and steps[0][0] == "move" and steps[0][2] in [where[other] for other in others]:
        steps.insert(0, _WAIT)
    turns: list[tuple[str, Step]] = []
    for number, step in enumerate(steps):
        turns.append((robot, step))
        if step[0] == "move":
            where[robot] = step[2]
        ahead = [one[2] for one in steps[number + 1 :] if one[0] == "move"]
        soon = steps[number + 1][2] if ahead and steps[number + 1][0] == "move" else None
        for other in others:
            turns.append((other, _WAIT))
            free = [s for s in range(len(world.stations)) if s not in where.values()]
            if free and where[other] == soon:
                to = max(free, key=lambda s: ahead.index(s) if s in ahead else len(ahead))
                turns[-1] = (other, ("move", where[other], to))
                where[other] = to
    return turns


def _tried(kitchen: Kitchen, way: _Way) -> list[Planned]:
    """Go a way as far as it can be gone, and return its actions."""
    done: list[Planned] = []
    for robot, step in way.turns:
        if kitchen.done:
            break
        before = kitchen.snapshot()
        try:
            done.append(Planned(act_step(kitchen, robot, way.world, step), before))
        except InvalidAction:
            break
    return done
