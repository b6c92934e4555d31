"""A kitchen in few numbers: the state a search copies, what one step does to it, what can be done next.

It follows the rules of the simulator to the tick: effects are a list, one that ends makes the next miss a
tick, a lifted pot or patty pauses. A few things are left out, since a plan never wants them: what a cut does
to food that was made fryable otherwise, or that was cut before, and a pot that is filled at two sinks at
once. So the simulator has the last word on a plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "BOARD",
    "COOKED",
    "CUT",
    "CUTS",
    "DELAY",
    "EMPTY",
    "FIRST_CONTAINER",
    "FRIED",
    "FRYABLE",
    "FRYER",
    "OTHER",
    "SINK",
    "STOVE",
    "TABLE",
    "Effect",
    "Kind",
    "State",
    "Step",
    "Water",
    "World",
    "given",
    "put",
    "runs",
    "start_cut",
    "started",
    "taken",
    "tick",
]

TABLE, BOARD, STOVE, FRYER, SINK, OTHER = range(6)

# What can be true of an item: bits of its entry in `State.items`.
CUT: Final = 1
COOKED: Final = 2
FRIED: Final = 4
FRYABLE: Final = 8
COOKING: Final = 16

EMPTY: Final = -1  # hands, and a container without a meal
FIRST_CONTAINER: Final = 100  # container number 0 where an item's number may stand
DELAY: Final = 4  # ticks of a delayed effect
CUTS: Final = 3


class Kind:
    """Which effect runs."""

    COUNT: Final = 0  # cuts of an item so far
    AFTER_CUT: Final = 1  # food that can be fried once it is cut
    IDLE: Final = 2  # the same for other food: never ends, does nothing but lie in the list
    COOK: Final = 3
    FRY: Final = 4
    FILL: Final = 5
    BOIL: Final = 6  # its subject is the meal's number * 16 + the pot's


Effect: TypeAlias = tuple[int, int, int, int]
"""Kind, subject, station, count."""
Water: TypeAlias = tuple[bool, tuple[int, ...]]
"""Whether it boils, and the items in it, sorted."""
Step: TypeAlias = tuple[str, int, int]
"""An action by name, with two numbers: stations of a `move`; else what is handled, and what it meets."""


class State(NamedTuple):
    """A moment: all that changes."""

    place: int
    held: int
    cells: tuple[tuple[int, ...], ...]  # by station: items, bottom first, or one container
    items: tuple[int, ...]
    meals: tuple[int, ...]  # by container: the number of what is in it, or EMPTY
    waters: tuple[Water, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class World:
    """What never changes. Items, stations and containers are numbers here; the names are kept beside."""

    stations: tuple[str, ...]
    station_kinds: tuple[int, ...]
    items: tuple[str, ...]
    item_kinds: tuple[str, ...]
    cuttable: tuple[bool, ...]
    cookable: tuple[bool, ...]
    fryable_if_cut: tuple[bool, ...]
    containers: tuple[str, ...]
    pots: tuple[bool, ...]  # by container; a container that is no pot is a bowl
    waters: tuple[str, ...]  # meals that exist at the start; those made later have the next numbers
    ticks: int = 1  # steps that pass with each action: other players wait in their turns


def tick(state: State) -> State:
    """Return the state after the running effects had one step."""
    effects = state.effects
    if not effects:
        return state
    cells, items, meals, waters = state.cells, state.items, state.meals, state.waters
    kept = list(effects)
    ended = False
    i = 0
    while i < len(kept):
        kind, subject, station, count = kept[i]
        done = False
        if kind == Kind.COOK or kind == Kind.FRY:
            here = cells[station][:1] == (subject,)
            flags = items[subject]
            if here:
                count += 1
                done = count == DELAY
                if kind == Kind.FRY:
                    new = flags | FRIED if done else flags
                else:
                    new = (flags | COOKED) & ~COOKING if done else flags | COOKING
                kept[i] = (kind, subject, station, count)
            else:
                new = flags & ~COOKING if kind == Kind.COOK else flags
            if new != flags:
                items = (*items[:subject], new, *items[subject + 1 :])
        elif kind == Kind.FILL:
            if cells[station] == (FIRST_CONTAINER + subject,):
                count += 1
                kept[i] = (kind, subject, station, count)
                if count == DELAY:
                    done = True
                    meals = (*meals[:subject], len(waters), *meals[subject + 1 :])
                    waters = (*waters, (False, ()))
        elif kind == Kind.BOIL:
            if cells[station] == (FIRST_CONTAINER + (subject & 15),):
                count += 1
                kept[i] = (kind, subject, station, count)
                if count == DELAY:
                    done = True
                    water = subject >> 4
                    waters = (*waters[:water], (True, waters[water][1]), *waters[water + 1 :])
        elif kind == Kind.COUNT:
            done = count >= CUTS
        elif kind == Kind.AFTER_CUT:
            flags = items[subject]
            done = bool(flags & CUT)
            if done and not flags & FRYABLE:
                items = (*items[:subject], flags | FRYABLE, *items[subject + 1 :])
        if done:
            del kept[i]
            ended = True
        i += 1
    return State(state.place, state.held, cells, items, meals, waters, _tidy(kept) if ended else tuple(kept))


def _tidy(effects: list[Effect]) -> tuple[Effect, ...]:
    """Return the list without idle effects that can't shield another from a missed tick."""
    kept: list[Effect] = []
    for effect in effects:
        if effect[0] != Kind.IDLE or (kept and kept[-1][0] != Kind.IDLE):
            kept.append(effect)
    return tuple(kept)


def _with(
    cells: tuple[tuple[int, ...], ...], place: int, cell: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    return (*cells[:place], cell, *cells[place + 1 :])


def start_cut(world: World, state: State, item: int) -> State:
    """Return the state in which one more cut of `item` was made, before its tick."""
    effects = list(state.effects)
    items = state.items
    for i, (kind, subject, _, count) in enumerate(effects):
        if kind == Kind.COUNT and subject == item:
            effects[i] = (kind, subject, 0, count + 1)
            break
    else:
        i = len(effects)
        after = (Kind.AFTER_CUT, item, 0, 0) if world.fryable_if_cut[item] else (Kind.IDLE, 0, 0, 0)
        effects += [(Kind.COUNT, item, 0, 1), after]
    if effects[i][3] == CUTS:
        flags = items[item] | CUT
        if (Kind.AFTER_CUT, item, 0, 0) in effects:
            flags |= FRYABLE
        items = (*items[:item], flags, *items[item + 1 :])
    return state._replace(items=items, effects=_tidy(effects))


def started(state: State, effect: Effect) -> State:
    """Return the state in which an effect begins, before its tick."""
    kind, subject, _, _ = effect
    items = state.items
    if kind == Kind.COOK:
        items = (*items[:subject], items[subject] | COOKING, *items[subject + 1 :])
    return state._replace(items=items, effects=(*state.effects, effect))


def runs(state: State, kind: int, subject: int, station: int) -> bool:
    """Return whether this very effect is under way, be it paused."""
    for effect in state.effects:
        if effect[0] == kind and effect[1] == subject and effect[2] == station:
            return True
    return False


def put(state: State, place: int, kept: tuple[int, ...], held: int) -> State:
    """Return the state with `kept` at the robot's station and `held` in its hands."""
    return State(
        place, held, _with(state.cells, place, kept), state.items, state.meals, state.waters, state.effects
    )


def taken(state: State, place: int) -> tuple[Step, State]:
    """Return the step that takes the top of what is at a station, and the state before its tick."""
    cell = state.cells[place]
    top = cell[-1]
    if top >= FIRST_CONTAINER:
        step = ("pick-up-container", top, place)
    elif len(cell) == 1:
        step = ("pick-up-item", top, place)
    else:
        step = ("unstack", top, cell[-2])
    return step, put(state, place, cell[:-1], top)


def given(world: World, state: State, place: int) -> tuple[Step, State] | None:
    """Return the step that lets go of an item at a station, and the state before its tick; None: it can't."""
    held, cell = state.held, state.cells[place]
    if not cell:
        return ("place-item", held, place), put(state, place, (held,), EMPTY)
    vessel = cell[0] - FIRST_CONTAINER
    if vessel < 0:
        return ("stack", held, cell[-1]), put(state, place, (*cell, held), EMPTY)
    water = state.meals[vessel]
    if water == EMPTY or not world.pots[vessel]:
        return None
    boils, inside = state.waters[water]
    new = (boils, tuple(sorted((*inside, held))))
    waters = (*state.waters[:water], new, *state.waters[water + 1 :])
    return ("add-to", held, cell[0]), state._replace(place=place, held=EMPTY, waters=waters)
