"""From a kitchen of the simulator to the chef's few numbers, and back from steps to actions."""

from __future__ import annotations

from typing import NamedTuple

from agentflow.environment import InvalidAction
from agentflow.errors import UserError
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.chef.dishes import Literal, Menu, read_menu
from agentflow_bench.robotouille.chef.model import (
    BOARD,
    COOKED,
    COOKING,
    CUT,
    EMPTY,
    FIRST_CONTAINER,
    FRIED,
    FRYABLE,
    FRYER,
    OTHER,
    SINK,
    STOVE,
    TABLE,
    Effect,
    Kind,
    State,
    Step,
    World,
)
from agentflow_bench.robotouille.instance import Goal
from agentflow_bench.robotouille.kitchen import Kitchen

__all__ = ["Reading", "act_step", "read_kitchen"]

_STATIONS = {"table": TABLE, "board": BOARD, "stove": STOVE, "fryer": FRYER, "sink": SINK}
_FLAGS = {"iscut": CUT, "iscooked": COOKED, "isfried": FRIED, "isfryable": FRYABLE, "iscooking": COOKING}
_STARTED = {"cook": Kind.COOK, "fry": Kind.FRY, "fill-pot": Kind.FILL, "boil-water": Kind.BOIL}


class Reading(NamedTuple):
    """A kitchen as the chef sees it."""

    world: World
    state: State
    menu: Menu


def read_kitchen(kitchen: Kitchen) -> Reading:
    """Return what the player whose turn it is finds. Raises `UserError` for a goal that is no dish."""
    objects = kitchen.objects
    stations, items, containers, meals = (
        tuple(name for name, type_ in objects if type_ == each)
        for each in ("station", "item", "container", "meal")
    )
    robot = kitchen.players[kitchen.player]
    places = _places(kitchen)

    def every(predicate: str, names: tuple[str, ...]) -> tuple[bool, ...]:
        true = {objects[0] for objects in kitchen.true(predicate)}
        return tuple(name in true for name in names)

    world = World(
        stations,
        tuple(_STATIONS.get(_kind(name), OTHER) for name in stations),
        items,
        tuple(_kind(name) for name in items),
        every("iscuttable", items),
        every("iscookable", items),
        every("isfryableifcut", items),
        containers,
        every("ispot", containers),
        meals,
        len(kitchen.players),
    )
    flags = dict.fromkeys(items, 0)
    for predicate, bit in _FLAGS.items():
        for (name,) in kitchen.true(predicate):
            flags[name] |= bit
    inside = {container: meals.index(meal) for meal, container in kitchen.true("in")}
    state = State(
        stations.index(places[robot]),
        _held(kitchen, world, robot),
        tuple(_cells(kitchen, world)),
        tuple(flags[name] for name in items),
        tuple(inside.get(name, EMPTY) for name in containers),
        tuple(_waters(kitchen, world)),
        (),
    )
    state = state._replace(effects=_effects(kitchen, world, state))
    return Reading(world, state, _menu(kitchen.instance.goal))


def act_step(kitchen: Kitchen, robot: str, world: World, step: Step) -> Action:
    """Do a step in the simulator and return its action. Raises `InvalidAction` where it can't be done."""
    name, first, second = step
    at = {"p1": robot}
    here = _places(kitchen)[robot]
    if name == "wait":
        action = kitchen.action("wait")
    elif name == "move":
        action = kitchen.action("move", **at, s1=world.stations[first], s2=world.stations[second])
    else:
        at["s1"] = here
        thing = _name(world, first)
        if name in ("stack", "unstack"):
            at |= {"i1": thing, "i2": _name(world, second)}
        elif name == "add-to":
            at |= {"i1": thing, "c1": _name(world, second)}
        elif name == "fill-bowl":
            at |= {"c1": thing, "c2": _name(world, second)}
        else:
            at["c1" if first >= FIRST_CONTAINER else "i1"] = thing
        if name in ("add-to", "boil-water", "fill-bowl"):
            pot = at.get("c2", at["c1"])
            meal = next((meal for meal, where in kitchen.true("in") if where == pot), None)
            if meal is None:
                raise InvalidAction(f"`{name}`: nothing is in {pot}")
            at["m1"] = meal
        action = kitchen.action(name, **at)
    kitchen.step(action)
    return action


def _kind(name: str) -> str:
    return name.rstrip("0123456789")


def _places(kitchen: Kitchen) -> dict[str, str]:
    return {where[0]: where[1] for where in kitchen.true("loc")}


def _name(world: World, thing: int) -> str:
    return world.items[thing] if thing < FIRST_CONTAINER else world.containers[thing - FIRST_CONTAINER]


def _held(kitchen: Kitchen, world: World, robot: str) -> int:
    for player, item in kitchen.true("has_item"):
        if player == robot:
            return world.items.index(item)
    for player, container in kitchen.true("has_container"):
        if player == robot:
            return FIRST_CONTAINER + world.containers.index(container)
    return EMPTY


def _cells(kitchen: Kitchen, world: World) -> list[tuple[int, ...]]:
    """Return what is at each station, bottom first."""
    bottom = {station: item for item, station in kitchen.true("item_on")}
    above = {lower: upper for upper, lower in kitchen.true("atop")}
    vessels = {station: container for container, station in kitchen.true("container_at")}
    cells = []
    for station in world.stations:
        pile: list[int] = []
        item = bottom.get(station)
        while item is not None:
            pile.append(world.items.index(item))
            item = above.get(item)
        if station in vessels:
            pile = [FIRST_CONTAINER + world.containers.index(vessels[station])]
        cells.append(tuple(pile))
    return cells


def _waters(kitchen: Kitchen, world: World) -> list[tuple[bool, tuple[int, ...]]]:
    boiling = {meal for (meal,) in kitchen.true("isboiling")}
    added = kitchen.true("addedto")
    return [
        (meal in boiling, tuple(sorted(world.items.index(item) for item, into in added if into == meal)))
        for meal in world.waters
    ]


def _effects(kitchen: Kitchen, world: World, state: State) -> tuple[Effect, ...]:
    """Return the running effects. A boil is that of the pot that the water is in, or else of the first."""
    found: list[Effect] = []
    for running in kitchen.effects:
        station = world.stations.index(running.station) if running.station else 0
        if running.action == "cut":
            item = world.items.index(running.object)
            if running.kind == "repetitive":
                found.append((Kind.COUNT, item, 0, running.ticks))
            elif world.fryable_if_cut[item]:
                found.append((Kind.AFTER_CUT, item, 0, 0))
            else:
                found.append((Kind.IDLE, 0, 0, 0))
            continue
        kind = _STARTED[running.action]
        if kind == Kind.BOIL:
            water = world.waters.index(running.object)
            pots = [c for c, pot in enumerate(world.pots) if pot]
            pot = next((c for c in pots if state.meals[c] == water), pots[0])
            subject = water << 4 | pot
        elif kind == Kind.FILL:
            subject = world.containers.index(running.object)
        else:
            subject = world.items.index(running.object)
        found.append((kind, subject, station, running.ticks))
    return tuple(found)


def _menu(goal: Goal) -> Menu:
    literals = []
    for predicate, terms in goal.literals:
        variables = tuple(term for term in terms if isinstance(term, tuple))
        if len(variables) < len(terms):
            raise UserError("the chef knows no dish of one object that is named in the goal")
        literals.append(Literal(predicate, variables))
    return read_menu(literals)
