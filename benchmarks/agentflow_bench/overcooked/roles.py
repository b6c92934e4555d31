"""The state machine: which macro is next, for a role. It knows only what is seen, not who the partner is.

`all` does whatever the soups lack, counting what the partner has in hand. `onion` fills pots and leaves
the rest to the partner, `dish` plates and serves, `solo` does everything as if alone, `supply` puts
onions on counters from which a partner gets them to the pots with fewer steps. In a kitchen that
a counter divides, each role passes on what it can't use on its own side.
"""

from __future__ import annotations

from agentflow_bench.overcooked.floor import Floor
from agentflow_bench.overcooked.macro import Macro
from agentflow_bench.overcooked.seen import Cell, Pot, Seen

__all__ = ["ROLES", "next_macro"]

_LAZY = 12  # ticks
_STOCK = 3
"""Onions that lie ready on counters."""

ROLES = ("all", "onion", "dish", "solo", "supply")


def next_macro(seen: Seen, floor: Floor, role: str = "all") -> Macro:
    """Return what the first chef does now in a role."""
    return _Choice(seen, floor, role).macro()


class _Choice:
    """One choice: what is seen, put into the terms in which the rules speak."""

    def __init__(self, seen: Seen, floor: Floor, role: str) -> None:
        self.seen, self.floor, self.role = seen, floor, role
        self.me, self.other = seen.chefs
        at = self.me.at
        self.pots = [pot for pot in seen.pots if floor.reaches(at, pot.at)]
        self.open = [pot for pot in self.pots if pot.open]
        self.cooking = [pot for pot in self.pots if pot.left is not None]
        self.windows = floor.of("window", at)
        lying: dict[str, tuple[Cell, ...]] = {}
        for place, thing in seen.counters:
            if floor.reaches(at, place):
                lying[thing] = (*lying.get(thing, ()), place)
        self.lying = lying
        theirs = self.other.at
        self.partner_pots = any(floor.reaches(theirs, pot.at) for pot in seen.pots)
        self.partner_window = bool(floor.of("window", theirs))
        taken = {place for place, _ in seen.counters}
        self.free = tuple(p for p in floor.of("counter", at) if p not in taken)
        self.pass_over = tuple(p for p in floor.shared if p in self.free)

    def macro(self) -> Macro:
        """Return the macro."""
        match self.me.holds:
            case "soup":
                return self._with_soup()
            case "onion":
                return self._with_onion()
            case "dish":
                return self._with_dish()
            case _:
                return self._empty_handed()

    # With something in hand.

    def _with_soup(self) -> Macro:
        if self.windows:
            return Macro("serve", self.windows)
        return self._hand_over() if self.partner_window else self._put_down()

    def _with_onion(self) -> Macro:
        if not self.pots:
            return self._hand_over() if self.partner_pots else self._put_down()
        across = tuple(p for p in self.floor.bridges(self.me.at) if p in self.free)
        if self.role == "supply" and across and self._across() < _STOCK:
            return Macro("pass", across)
        if self.role == "dish":
            return self._fill() if self.open and not self.cooking else self._put_down()
        if self.open:
            return self._fill()
        if self.role == "onion" or self._dishes_short() <= 0:
            return Macro("wait", tuple(pot.at for pot in self._soonest()))
        return self._put_down()

    def _with_dish(self) -> Macro:
        if not self.pots:
            return self._hand_over() if self.partner_pots else self._put_down()
        ready = self._soonest()
        if self.role == "onion":
            return self._put_down()
        if ready:
            return self._plate(ready[0])
        if self.role == "dish":
            return Macro("wait", tuple(pot.at for pot in self._fullest()))
        return self._put_down()

    def _plate(self, pot: Pot) -> Macro:
        assert pot.left is not None
        route = self.floor.route(self.me.at, (pot.at,), None)
        steps = 0 if route is None else route.steps + 1
        return Macro("plate" if pot.left <= steps else "wait", (pot.at,))

    def _fill(self) -> Macro:
        """Put an onion into the fullest open pot to which a way is free; of equals into the nearest."""
        blocked = self.other.at
        free = [p for p in self.open if self.floor.route(self.me.at, (p.at,), blocked) is not None]
        most = max(pot.onions for pot in free or self.open)
        return Macro("fill", tuple(pot.at for pot in free or self.open if pot.onions == most))

    def _hand_over(self) -> Macro:
        return Macro("pass", self.pass_over) if self.pass_over else Macro("wait")

    def _put_down(self) -> Macro:
        own = tuple(place for place in self.free if place not in self.floor.shared) or self.free
        return Macro("clear", own) if own else Macro("wait")

    # With empty hands.

    def _empty_handed(self) -> Macro:
        if not self.pots:
            return self._supply()
        soups = self.lying.get("soup")
        if soups and self.windows:
            return Macro("take", soups)
        match self.role:
            case "onion":
                return self._fetch("onion") or self._fetch_dish_at_need() or Macro("wait")
            case "dish":
                return self._fetch("dish") or self._fetch_onion_at_need() or Macro("wait")
            case "supply" if self.floor.bridges(self.me.at):
                found = self._empty_handed_supplier()
                if found is not None:
                    return found
        short, room = self._dishes_short(), self._room()
        urgent = short > 0 and any((pot.left or 0) <= self._dish_way(pot) for pot in self.cooking)
        if urgent or (short > 0 and room <= 0):
            return self._fetch("dish") or self._fetch("onion") or Macro("wait")
        if room > 0:
            return self._fetch("onion") or self._fetch("dish") or Macro("wait")
        return self._fetch("onion") or Macro("wait")

    def _empty_handed_supplier(self) -> Macro | None:
        """Keep onions on the counters, but for a dish when a soup will soon be done and nobody has one.

        None where enough lie there, and nobody takes them.
        """
        soon = any((pot.left or 0) <= self._dish_way(pot) for pot in self.cooking)
        lack = min(_STOCK, sum(3 - pot.onions for pot in self.open) + 1)
        onions = self.floor.of("onions", self.me.at)
        if self._dishes_short() > 0 and (soon or self._across() >= lack):
            return self._fetch("dish") or Macro("wait")
        if self._across() < lack:
            return Macro("onion", onions)
        return Macro("wait", onions) if self.other.holds == "onion" else None

    def _across(self) -> int:
        """Return how many onions lie where the partner can take them."""
        bridges = self.floor.bridges(self.me.at)
        return sum(thing == "onion" and place in bridges for place, thing in self.seen.counters)

    def _fetch_dish_at_need(self) -> Macro | None:
        return self._fetch("dish") if not self.open and self.cooking else None

    def _fetch_onion_at_need(self) -> Macro | None:
        return self._fetch("onion") if self.open and not self.cooking else None

    def _fetch(self, thing: str) -> Macro | None:
        """Fetch from where it is nearest: where it is given out, or where it lies."""
        places = self.floor.of("onions" if thing == "onion" else "dishes", self.me.at)
        places += self.lying.get(thing, ())
        return Macro(thing, places) if places else None

    def _supply(self) -> Macro:
        """Bring over what the partner's side lacks: onions for open pots, then a dish for each soup."""
        if not self.partner_pots or not self.pass_over:
            return Macro("wait", self.floor.shared)
        waiting: dict[str, int] = {"onion": 0, "dish": 0}
        for place, thing in self.seen.counters:
            if place in self.floor.shared and thing in waiting:
                waiting[thing] += 1
        if self.other.holds in waiting:
            waiting[self.other.holds] += 1
        room = sum(3 - pot.onions for pot in self.seen.pots if pot.open)
        soups = sum(pot.left is not None for pot in self.seen.pots)
        soups += any(pot.open and 3 - pot.onions <= waiting["onion"] for pot in self.seen.pots)
        lack_onions = waiting["onion"] < min(room, 3)
        lack_dish = waiting["dish"] < soups
        first = "dish" if lack_dish and (self.role == "dish" or not lack_onions) else "onion"
        if self.role == "onion" and not lack_onions:
            first = "dish" if lack_dish else ""
        found = self._fetch_new(first) if first and (lack_onions or lack_dish) else None
        return found or Macro("wait", self.floor.shared)

    def _fetch_new(self, thing: str) -> Macro | None:
        places = self.floor.of("onions" if thing == "onion" else "dishes", self.me.at)
        places += tuple(p for p in self.lying.get(thing, ()) if p not in self.floor.shared)
        return Macro(thing, places) if places else None

    # What there is.

    def _room(self) -> int:
        """Return how many onions the pots still take, less the one that the partner brings."""
        return sum(3 - pot.onions for pot in self.open) - self._brings("onion")

    def _dishes_short(self) -> int:
        """Return how many soups nobody has a dish for."""
        return len(self.cooking) - self._brings("dish")

    def _brings(self, thing: str) -> bool:
        """Return whether the partner brings a thing: not when it stands still where it could be used."""
        usable = any(pot.left == 0 for pot in self.pots) if thing == "dish" else bool(self.open)
        idle = usable and self.other.still >= _LAZY
        return self.role != "solo" and self.other.holds == thing and not idle

    def _dish_way(self, pot: Pot) -> int:
        """Return about how long it takes to be beside a pot with a dish."""
        dishes = self.floor.of("dishes", self.me.at) + self.lying.get("dish", ())
        to_dish = self.floor.route(self.me.at, dishes, None) if dishes else None
        if to_dish is None:
            return 0
        back = self.floor.route(self.floor.beside(to_dish.target)[0], (pot.at,), None)
        return to_dish.steps + (0 if back is None else back.steps) + 3

    def _soonest(self) -> list[Pot]:
        """Return the pots that cook, what is done first in front, then the nearer."""
        return sorted(self.cooking, key=lambda pot: (pot.left, self._steps(pot.at), pot.at))

    def _fullest(self) -> list[Pot]:
        most = max((pot.onions for pot in self.pots), default=0)
        return [pot for pot in self.pots if pot.onions == most]

    def _steps(self, place: Cell) -> int:
        route = self.floor.route(self.me.at, (place,), None)
        return 999 if route is None else route.steps
