"""A plan from where a kitchen is to its goal, each step of it tried out in the simulator."""

from __future__ import annotations

from typing import Final, NamedTuple

from agentflow.environment import InvalidAction
from agentflow.errors import UserError
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.chef.errand import NEVER
from agentflow_bench.robotouille.chef.model import FIRST_CONTAINER, TABLE, Step, World
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
    """Return the actions from the present state to the goal, one a turn.

    Of several players one works, and the others wait in their turns. The kitchen is left as it was. Takes
    tenths of a second, some seconds for the longest tasks; the same state gives the same plan. Raises
    `UserError` where the goal can't be reached, or no way to it is found.
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
    """Return the best way found from here, whichever player works."""
    here = kitchen.snapshot()
    best: _Way | None = None
    why: UserError | None = None
    before: list[tuple[str, Step]] = []  # what the players do whose turns come first
    for _ in kitchen.players:
        try:
            way = _searched(kitchen, None if best is None else len(best.turns) - len(before) - 1)
            best = _Way(way.world, (*before, *way.turns))
        except UserError as error:
            why = why or error
        robot = kitchen.players[kitchen.player]
        world = read_kitchen(kitchen).world
        before.append((robot, _aside(robot, kitchen)))
        act_step(kitchen, robot, world, before[-1][1])
        if kitchen.done:
            break
    kitchen.restore(here)
    if best is None:
        raise why or UserError(f"the chef found no way to the goal of {kitchen.instance.name}")
    return best


def _searched(kitchen: Kitchen, most: int | None) -> _Way:
    """Return the best turns found when the player works who is next; at most `most` of them."""
    world, state, menu = read_kitchen(kitchen)
    search = Search(world, menu)
    least = search.estimate(state).steps
    if least >= NEVER:
        raise UserError(f"the goal of {kitchen.instance.name} can't be reached any more")
    limit = 3 * least + 60 * world.ticks
    found = search.plan(state, limit if most is None else min(limit, most), _WIDTHS, _MOST // world.ticks)
    if found is None:
        raise UserError(f"the chef found no way to the goal of {kitchen.instance.name}")
    players = len(kitchen.players)
    robots = [kitchen.players[(kitchen.player + i) % players] for i in range(players)]
    turns: list[tuple[str, Step]] = []
    for step in found.steps:
        turns += [(robots[0], step), *[(robot, _WAIT) for robot in robots[1:]]]
    return _Way(world, tuple(turns))


def _aside(robot: str, kitchen: Kitchen) -> Step:
    """Return what a player does who does not work: wait, or first go where it is in nobody's way."""
    world, state, menu = read_kitchen(kitchen)
    idle = [
        s
        for s, cell in enumerate(state.cells)
        if world.station_kinds[s] == TABLE
        and all(thing < FIRST_CONTAINER and world.item_kinds[thing] not in menu.kinds for thing in cell)
    ]
    here = next(world.stations.index(where) for player, where in kitchen.true("loc") if player == robot)
    vacant = [s for s in idle if kitchen.holds("vacant", world.stations[s])]
    vacant.sort(key=lambda s: not state.cells[s])  # an empty one last: it is of use
    return ("move", here, vacant[0]) if vacant and here not in idle else _WAIT


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
