"""The fast side: from a tick to an action, by an assignment where one holds, else by the state machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentflow.dual import Now
from agentflow_bench.overcooked.belief import fits
from agentflow_bench.overcooked.floor import Floor
from agentflow_bench.overcooked.kitchen import floor_of
from agentflow_bench.overcooked.macro import MACROS, Macro, action_of
from agentflow_bench.overcooked.roles import ROLES, next_macro
from agentflow_bench.overcooked.seen import Cell, Seen
from agentflow_protocols.chat import Json

__all__ = ["Frozen", "PerMacro", "allowed", "cook", "named", "obey", "tasks_of"]

_LONGEST = 45  # ticks of one macro
_PATIENCE = 60


def allowed(task: Json) -> str | None:
    """Return what is wrong with a task of a model, or None."""
    match task:
        case {"role": str(role)} if role in ROLES:
            return None
        case {"macro": str(macro)} if macro in MACROS:
            return None
    return f"a task is {{'role': {' | '.join(ROLES)}}} or {{'macro': {' | '.join(MACROS)}}}"


def cook(now: Now[Seen]) -> str:
    """Return the action of an assignment that holds, else of the state machine."""
    seen = now.seen
    floor = floor_of(seen.layout)
    return action_of(_wanted(now, floor) or next_macro(seen, floor), seen, floor)


def obey(now: Now[Seen]) -> str:
    """Return the action of an assignment; nothing without one: there is no state machine behind it."""
    floor = floor_of(now.seen.layout)
    wanted = _wanted(now, floor)
    return "stay" if wanted is None else action_of(wanted, now.seen, floor)


def _wanted(now: Now[Seen], floor: Floor) -> Macro | None:
    tasks = [now.wish] if now.wish is not None else tasks_of(now)
    for task in tasks:
        if isinstance(task, Mapping):
            macro = _macro(task, now.seen, floor)
            if macro is not None:
                return macro
    return None


def tasks_of(now: Now[Seen]) -> Sequence[object]:
    """Return the assignment that stands."""
    found = now.slots.get("assignment")
    return found if isinstance(found, list) else []


def _macro(task: Mapping[object, object], seen: Seen, floor: Floor) -> Macro | None:
    """Return the macro of a task; None where it does not hold, or can't be done now."""
    partner, asked = task.get("partner"), task.get("asked", 0)
    if isinstance(partner, str) and isinstance(asked, int) and not fits(partner, asked, seen):
        return None
    role, name = task.get("role"), task.get("macro")
    if role in ROLES:
        return next_macro(seen, floor, str(role))
    return named(str(name), seen, floor) if name in MACROS else None


def named(name: str, seen: Seen, floor: Floor) -> Macro | None:
    """Return a macro by its name with the places where it can be done; None where there is none now."""
    me = seen.chefs[0]
    taken = dict(seen.counters)
    free = tuple(place for place in floor.of("counter", me.at) if place not in taken)

    def lying(thing: str) -> tuple[Cell, ...]:
        return tuple(p for p, what in seen.counters if what == thing and floor.reaches(me.at, p))

    def pots(cooks: bool) -> tuple[Cell, ...]:
        found = (pot for pot in seen.pots if (pot.left is not None if cooks else pot.open))
        return tuple(pot.at for pot in found if floor.reaches(me.at, pot.at))

    hands, places = {
        "onion": ("", (*floor.of("onions", me.at), *lying("onion"))),
        "dish": ("", (*floor.of("dishes", me.at), *lying("dish"))),
        "take": ("", lying("soup")),
        "fill": ("onion", pots(False)),
        "plate": ("dish", pots(True)),
        "serve": ("soup", floor.of("window", me.at)),
        "pass": (None, tuple(place for place in floor.shared if place in free)),
        "clear": (None, free),
    }.get(name, (me.holds, ()))
    fit = bool(me.holds) if hands is None else me.holds == hands
    if name == "wait":
        return Macro("wait", tuple(pot.at for pot in seen.pots))
    return Macro(name, places) if fit and places else None


@dataclass(slots=True)
class Frozen:
    """The fast side of one game that stands still while somebody thinks, every so many ticks."""

    every: int = 20

    def __call__(self, now: Now[Seen]) -> str:
        """Return the action; `stay` until the answer to the last question is there."""
        asked = now.tick - now.tick % self.every
        for task in tasks_of(now):
            if isinstance(task, Mapping) and task.get("asked") == asked:
                return cook(now)
        return "stay"


@dataclass(slots=True)
class PerMacro:
    """The fast side of one game in which each macro is thought about: it waits for the answer.

    A question that is not answered in 60 ticks, since it failed, is asked again.
    """

    asked: int = -1
    macro: str = ""
    hands: str = ""
    ends: int = 0
    again: int = 0

    def wants(self, now: Now[object]) -> bool:
        """Return whether a macro has to be thought about; then it is being thought about."""
        if self.macro or now.tick < self.again:
            return False
        self.again = now.tick + _PATIENCE
        return True

    def __call__(self, now: Now[Seen]) -> str:
        """Return the action of the macro under way."""
        seen = now.seen
        for task in tasks_of(now):
            asked = task.get("asked") if isinstance(task, Mapping) else None
            if isinstance(task, Mapping) and isinstance(asked, int) and asked > self.asked:
                self.asked, self.macro = asked, str(task.get("macro", "wait"))
                self.hands = seen.chefs[0].holds
                self.ends = now.tick + (_LONGEST if self.macro != "wait" else 1)
        if not self.macro:
            return "stay"
        floor = floor_of(seen.layout)
        macro = named(self.macro, seen, floor)
        if macro is None or seen.chefs[0].holds != self.hands or now.tick >= self.ends:
            self.macro, self.again = "", 0
            return "stay"
        return action_of(macro, seen, floor)
