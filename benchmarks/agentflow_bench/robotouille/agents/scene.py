"""Scene: a kitchen in words, as short as one who works in it needs them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentflow_bench.robotouille.kitchen import Kitchen

__all__ = ["Scene", "kind_of", "without_actions"]

_WORDS = {"iscut": "cut", "iscooked": "cooked", "isfried": "fried", "iscooking": "cooking"}


def kind_of(name: str) -> str:
    """Return the kind of a thing: `patty` of `patty2`."""
    return name.rstrip("0123456789")


def without_actions(seen: str) -> str:
    """Return an observation without its list of valid actions."""
    return "\n\n".join(block for block in seen.split("\n\n") if not block.startswith("Valid Actions:"))


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a robot is and what it holds, and what is at each station, bottom first.

    `words` says of a thing what has become of it, `inside` what is in a container.
    """

    place: str
    held: str | None
    piles: dict[str, list[str]]
    words: dict[str, list[str]]
    inside: dict[str, str]

    @classmethod
    def of(cls, kitchen: Kitchen, robot: str) -> Scene:
        """Return what there is now."""
        place, held = "", None
        piles: dict[str, list[str]] = {name: [] for name, type_ in kitchen.objects if type_ == "station"}
        above: dict[str, str] = {}
        words: dict[str, list[str]] = {}
        meals: dict[str, list[str]] = {}
        inside: dict[str, str] = {}
        for predicate, *of in kitchen.facts():
            if predicate == "loc" and of[0] == robot:
                place = of[1]
            elif predicate in ("has_item", "has_container") and of[0] == robot:
                held = of[1]
            elif predicate in ("item_on", "container_at"):
                piles[of[1]].insert(0, of[0])
            elif predicate == "atop":
                above[of[1]] = of[0]
            elif predicate in _WORDS:
                words.setdefault(of[0], []).append(_WORDS[predicate])
            elif predicate == "addedto":
                meals.setdefault(of[1], []).append(of[0])
            elif predicate == "isboiling":
                words.setdefault(of[0], []).append("boiling")
            elif predicate == "in":
                inside[of[1]] = of[0]
        for pile in piles.values():
            while pile and pile[-1] in above:
                pile.append(above[pile[-1]])
        told = {
            container: " with ".join(
                [" ".join([*words.get(meal, []), kind_of(meal)]), *filter(None, [_list(meals.get(meal, []))])]
            )
            for container, meal in inside.items()
        }
        return cls(place, held, piles, words, told)

    def where(self, thing: str) -> str | None:
        """Return the station of an item or a container, None when a robot holds it."""
        return next((station for station, pile in self.piles.items() if thing in pile), None)

    def over(self, thing: str) -> list[str]:
        """Return what lies on a thing, the next first."""
        station = self.where(thing)
        pile = [] if station is None else self.piles[station]
        return pile[pile.index(thing) + 1 :] if station else []

    def thing(self, name: str) -> str:
        """Return a thing and what has become of it: `patty1 (cooked)`."""
        more = [*self.words.get(name, []), *([self.inside[name]] if name in self.inside else [])]
        return f"{name} ({', '.join(more)})" if more else name

    def station(self, name: str) -> str:
        """Return what is at a station, from below: `table1 (bread1, cheese1)`."""
        pile = self.piles[name]
        return f"{name} ({', '.join(map(self.thing, pile)) if pile else 'empty'})"

    def __str__(self) -> str:
        held = "nothing" if self.held is None else self.thing(self.held)
        return f"at {self.station(self.place)}, holding {held}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
