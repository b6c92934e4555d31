"""Chore: a line of a plan of a dish, such as `cut lettuce1 on board1`, and the actions that it takes.

The next action is found in the real kitchen each time, by a few rules: hands that hold something else
are emptied, what lies on a thing is taken off, what must be cut or cooked is brought to where that is
done, and what is still cooking is waited for. So a chore that was begun can be begun again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from agentflow.environment import InvalidAction
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.agents.robot import Robot
from agentflow_bench.robotouille.agents.scene import Scene, kind_of
from agentflow_bench.robotouille.kitchen import Kitchen

__all__ = ["VERBS", "Chore", "Verb", "next_action", "read_chore"]

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Verb:
    """What a chore does: to what kind of thing, and where to or what with.

    `where` kinds of things may be left out of the line when they are `at` a kind of station. `action` is
    done there; one that is slow goes on by itself then.
    """

    thing: tuple[str, ...]
    where: tuple[str, ...] = ()
    at: str = ""
    action: str = ""
    slow: bool = False


VERBS: Mapping[str, Verb] = {
    "put": Verb(("item", "container"), ("station", "item")),
    "stack": Verb(("item",), ("item",)),
    "cut": Verb(("item",), at="board", action="cut"),
    "cook": Verb(("item",), at="stove", action="cook", slow=True),
    "fry": Verb(("item",), at="fryer", action="fry", slow=True),
    "fill": Verb(("pot",), at="sink", action="fill-pot", slow=True),
    "boil": Verb(("pot",), at="stove", action="boil-water", slow=True),
    "add": Verb(("item",), ("pot",)),
    "serve": Verb(("pot",), ("bowl",)),
}
"""The words that a line begins with."""

_ORDER = {
    "move": ("s2",),
    "pick-up-item": ("i1",),
    "pick-up-container": ("c1",),
    "unstack": ("i1",),
    "place-item": ("i1",),
    "place-container": ("c1",),
    "stack": ("i1", "i2"),
    "cut": ("i1",),
    "cook": ("i1",),
    "fry": ("i1",),
    "fill-pot": ("c1",),
    "boil-water": ("c1",),
    "add-to": ("i1", "c1"),
    "fill-bowl": ("c1", "c2"),
}  # the parameters that say which action it is, for one who stands where it is done
_DONE = {"cut": "iscut", "cook": "iscooked", "fry": "isfried"}


@dataclass(frozen=True, slots=True)
class Chore:
    """A verb, the thing that it is about, and what else the line names, "" for nothing."""

    verb: str
    thing: str
    where: str = ""

    @property
    def slow(self) -> bool:
        """Whether it goes on by itself after it was begun."""
        return VERBS[self.verb].slow

    def __str__(self) -> str:
        return " ".join(filter(None, (self.verb, self.thing, self.where)))


def read_chore(text: str, kitchen: Kitchen) -> Chore:
    """Return the chore of a line. Raises `InvalidAction`, which says what is wrong with it."""
    words = _WORD.findall(text.lower())
    verb = words[0] if words else ""
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"it begins with {', '.join(VERBS)}"
        raise InvalidAction(f"`{text[:100]}` is no step of a plan: {hint}")
    types = dict(kitchen.objects)
    if VERBS[verb].at and not any(kind_of(name) == VERBS[verb].at for name in types):
        raise InvalidAction(f"`{text[:100]}`: there is no {VERBS[verb].at}")
    names = [word for word in words[1:] if word in types]
    kind, found = VERBS[verb], ["", ""]
    for place, wanted in enumerate((kind.thing, kind.where or ("station",))):
        if place < len(names):
            name = names[place]
            if types[name] not in wanted and kind_of(name) not in wanted:
                raise InvalidAction(f"`{text[:100]}`: {name} is no {' or '.join(wanted)}")
            found[place] = name
        elif place == 0 or kind.where:
            raise InvalidAction(f"`{text[:100]}` does not name a {' or '.join(wanted)} that there is")
    if found[1] and kind.at and kind_of(found[1]) != kind.at:
        raise InvalidAction(f"`{text[:100]}`: {found[1]} is no {kind.at}")
    if verb == "put" and types[found[1]] == "item":
        verb = "stack"
    return Chore(verb, *found)


def next_action(robot: Robot, chore: Chore) -> Action | None:
    """Return what to do next for a chore, None when it is done or goes on by itself.

    Raises `InvalidAction`, which says why it can't be done.
    """
    return _Way(robot, chore).next()


class _Way:
    """The way from a scene towards the end of a chore."""

    def __init__(self, robot: Robot, chore: Chore) -> None:
        self._robot, self._chore = robot, chore
        self._kitchen = robot.kitchen
        self._scene: Scene = robot.scene

    def next(self) -> Action | None:
        """Return the next action."""
        chore, scene = self._chore, self._scene
        verb = VERBS[chore.verb]
        if self._over():
            return None
        if verb.at:
            return self._work(verb)
        if chore.verb == "put":
            pile = scene.piles[chore.where]
            if pile and chore.thing not in pile:
                raise self._cannot(f"{scene.station(chore.where)} is not empty")
            return self._hold(chore.thing) or self._put(chore.where)
        target = scene.where(chore.where)
        if target is None:
            raise self._cannot(f"{chore.where} lies nowhere")
        if chore.verb == "stack" and (above := scene.over(chore.where)) and above[-1] != chore.thing:
            raise self._cannot(f"{above[-1]} lies on {chore.where}")
        step = self._hold(chore.thing) or self._go(target)
        if step is not None:
            return step
        if chore.verb == "stack":
            return self._act("stack", chore.thing, chore.where)
        if chore.verb == "add":
            if chore.where not in scene.inside and self._robot.begun("fill-pot", chore.where):
                return self._kitchen.action("wait")
            return self._act("add-to", chore.thing, chore.where)
        return self._act("fill-bowl", chore.where, chore.thing)

    def _over(self) -> bool:
        """Return whether nothing is left to do."""
        chore, kitchen, scene = self._chore, self._kitchen, self._scene
        if self._robot.begun(VERBS[chore.verb].action, chore.thing) is not None:
            return True
        if chore.verb in _DONE:
            return kitchen.holds(_DONE[chore.verb], chore.thing)
        if chore.verb in ("fill", "boil"):
            meal = scene.inside.get(chore.thing, "")
            return bool(meal) if chore.verb == "fill" else "boiling" in meal.split()
        if chore.verb == "serve":
            return chore.where in scene.inside
        if chore.verb == "add":
            return scene.held != chore.thing and scene.where(chore.thing) is None
        if chore.verb == "put":
            return scene.piles[chore.where][:1] == [chore.thing]
        return scene.over(chore.where)[:1] == [chore.thing]

    def _work(self, verb: Verb) -> Action | None:
        """Bring the thing to where it is worked on, and do it there with free hands."""
        chore, scene = self._chore, self._scene
        here = scene.where(chore.thing)
        if here is not None and kind_of(here) == verb.at and scene.piles[here] == [chore.thing]:
            if scene.held is not None:
                return self._lay_down(here)
            return self._go(here) or self._act(verb.action, chore.thing)
        return self._free(verb.at) or self._hold(chore.thing) or self._put(self._station(verb.at))

    def _station(self, kind: str) -> str:
        """Return an empty station of a kind: the one that is named, or where the robot is, or the first."""
        scene = self._scene
        empty = [name for name, pile in scene.piles.items() if kind_of(name) == kind and not pile]
        for name in (self._chore.where, scene.place):
            if name in empty:
                return name
        if not empty:
            raise self._cannot(f"no {kind} is empty")
        return empty[0]

    def _free(self, kind: str) -> Action | None:
        """Take away what lies on all stations of a kind, if that is done with."""
        scene = self._scene
        stations = [name for name in scene.piles if kind_of(name) == kind]
        if not stations:
            raise self._cannot(f"there is no {kind}")
        if any(not scene.piles[name] or scene.piles[name][-1] == self._chore.thing for name in stations):
            return None
        busy = {slow.station for slow in self._robot.slow}
        idle = [name for name in stations if name not in busy]
        if not idle:
            return self._go(stations[0]) or self._kitchen.action("wait")
        chosen = self._chore.where if self._chore.where in idle else idle[0]
        if scene.held is not None:
            return self._lay_down(chosen)
        return self._go(chosen) or self._take(scene.piles[chosen][-1])

    def _hold(self, thing: str) -> Action | None:
        """Return what brings a thing into the hands, None when it is there."""
        scene = self._scene
        if scene.held == thing:
            return None
        if scene.held is not None:
            return self._lay_down(self._chore.where)
        station = scene.where(thing)
        if station is None:
            raise self._cannot(f"{thing} can't be taken")
        if any(slow.station == station for slow in self._robot.slow):
            return self._go(station) or self._kitchen.action("wait")
        return self._go(station) or self._take(scene.piles[station][-1])

    def _take(self, thing: str) -> Action:
        scene = self._scene
        if self._is_container(thing):
            return self._act("pick-up-container", thing)
        return self._act("pick-up-item" if scene.piles[scene.place] == [thing] else "unstack", thing)

    def _lay_down(self, not_on: str) -> Action:
        """Return what puts down what is held: where the robot is, on a table, or anywhere."""
        scene = self._scene
        empty = [name for name, pile in scene.piles.items() if not pile and name != not_on]
        tables = [name for name in empty if kind_of(name) == "table"]
        chosen = next((one for one in (scene.place, *tables, *empty) if one in (tables or empty)), None)
        if chosen is None:
            raise self._cannot(f"there is no place for {scene.held}")
        return self._put(chosen)

    def _put(self, station: str) -> Action:
        held = self._scene.held or ""
        name = "place-container" if self._is_container(held) else "place-item"
        return self._go(station) or self._act(name, held)

    def _go(self, station: str) -> Action | None:
        return None if self._scene.place == station else self._act("move", station)

    def _act(self, name: str, *objects: str) -> Action:
        """Return the valid action of a name that is about some objects, in their order."""
        for action in self._robot.valid((name,)):
            given = dict(action.arguments)
            if [given[parameter] for parameter in _ORDER[name]] == list(objects):
                return action
        raise self._cannot(f"`{name}` of {', '.join(objects)} is not valid")

    def _cannot(self, why: str) -> InvalidAction:
        return InvalidAction(f"`{self._chore}` can't be done: {why}; the robot is {self._scene}")

    def _is_container(self, thing: str) -> bool:
        return dict(self._kitchen.objects).get(thing) == "container"
