"""Which actions are valid, found by narrowing down: by player, by what is about them, by the rest.

A player's place and what it holds decide most actions; what stands at that place decides most others;
what is left is asked of a few facts. Each answer is kept by exactly the bits that it was made from, so
most steps look up three numbers, and nothing has to be thrown away when the kitchen changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import product
from operator import attrgetter
from typing import TypeAlias

from agentflow_bench.robotouille.action import Action, Actions
from agentflow_bench.robotouille.domain import ActionRule, Literal
from agentflow_bench.robotouille.instance import Fact
from agentflow_bench.robotouille.universe import Universe

__all__ = ["Choice", "Choices"]

# So many answers are kept; a long walk through a large kitchen forgets all of them at once.
_MOST = 8192
_Binding: TypeAlias = dict[str, str]
_Facts: TypeAlias = dict[str, list[Fact]]
_rank = attrgetter("ground.rank")


@dataclass(slots=True, eq=False)
class Choice:
    """Valid actions in the order of the domain, and their texts, one a line."""

    actions: tuple[Action, ...]
    lines: str = ""
    _by_text: dict[str, list[Action]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lines = "\n".join([action.text for action in self.actions])

    def by_text(self, text: str) -> list[Action]:
        """Return the actions that have this text."""
        if not self._by_text:
            for action in self.actions:
                self._by_text.setdefault(action.text, []).append(action)
        return self._by_text.get(text, [])


@dataclass(slots=True, eq=False)
class _Place:
    """What a player could do with what stands about it; the facts `care` decide the rest."""

    actions: tuple[Action, ...]
    care: int
    found: dict[int, Choice] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Spot:
    """Where a player is and what it holds: what rules make of that, and the facts `care` about it."""

    bound: list[tuple[_Rule, _Binding]]
    care: int
    known: int
    found: dict[int, _Place] = field(default_factory=dict)


class Choices:
    """Valid actions among the first `count` objects of a kitchen."""

    def __init__(self, universe: Universe, actions: Actions, count: int) -> None:
        self._universe, self._actions, self._count = universe, actions, count
        self._rules = [
            _Rule(place, rule, universe.changing) for place, rule in enumerate(universe.domain.actions)
        ]
        self._objects = {type_: universe.of_type(type_, count) for type_ in universe.domain.types}
        asked = {each.predicate for rule in self._rules for each in rule.rule.preconditions}
        self._asked = sum(1 << at for at, fact in enumerate(universe.facts) if fact[0] in asked)
        self._players: list[tuple[int, int, dict[int, _Spot]]] = [
            (player, universe.about[player] & self._asked, {}) for player in self._objects["player"]
        ]
        self._known: dict[tuple[int | str, ...], tuple[Action, ...]] = {}
        self._answers = 0
        self._merged: dict[tuple[Choice, ...], Choice] = {}

    def of(self, mask: int) -> Choice:
        """Return what is valid when `mask` is true, for all players."""
        found: list[Choice] = []
        for player, about, spots in self._players:
            spot = spots.get(mask & about) or self._spot(player, about, spots, mask)
            place = spot.found.get(mask & spot.care) or self._place(spot, mask)
            choice = place.found.get(mask & place.care) or self._choice(place, mask)
            found.append(choice)
        return found[0] if len(found) == 1 else self._all(tuple(found))

    def _spot(self, player: int, about: int, spots: dict[int, _Spot], mask: int) -> _Spot:
        universe = self._universe
        name = universe.names[player]
        about_it = [*universe.true(mask & about), *(fact for fact in universe.static if name in fact)]
        facts = _by_predicate(about_it)
        near = 0
        for fact in about_it:
            for each in fact[1:]:
                near |= universe.about[universe.number[each]]
        bound = [
            (rule, binding)
            for rule in self._rules
            if rule.player is not None
            for binding in _bound({rule.player: name}, rule.of_player, facts)
            if self._may_hold(rule, binding)
        ]
        if player == self._players[0][0]:  # what takes no player is listed once
            bound += [(rule, {}) for rule in self._rules if rule.player is None]
        care = near & self._asked & ~about
        spots[mask & about] = spot = _Spot(bound, care, about | care)
        return spot

    def _may_hold(self, rule: _Rule, binding: _Binding) -> bool:
        """Return whether no condition that nothing can change is known to fail."""
        return all(
            ((each.predicate, *(binding[name] for name in each.parameters)) in self._universe.static)
            == each.value
            for each in rule.static
            if binding.keys() >= {*each.parameters}
        )

    def _place(self, spot: _Spot, mask: int) -> _Place:
        facts = _by_predicate(self._universe.true(mask & spot.care))
        actions = [
            action
            for rule, binding in spot.bound
            for near in _bound(binding, rule.near, facts)
            for action in self._grounded(rule, near)
            if mask & action.ground.care & spot.known == action.ground.want & spot.known
        ]
        care = 0
        for action in actions:
            care |= action.ground.care
        place = _Place(tuple(actions), care & ~spot.known)
        spot.found[mask & spot.care] = place
        return place

    def _grounded(self, rule: _Rule, binding: _Binding) -> tuple[Action, ...]:
        """Return a rule's actions for what is bound already."""
        key: tuple[int | str, ...] = (rule.place, *binding.values())
        known = self._known.get(key)
        if known is None:
            number = self._universe.number
            objects = [
                (number[binding[name]],) if name in binding else self._objects[type_]
                for name, type_ in rule.rule.parameters
            ]
            known = self._known[key] = tuple(
                self._actions.ground(rule.place, numbers)
                for numbers in product(*objects)
                if len({*numbers}) == len(numbers)
            )
        return known

    def _choice(self, place: _Place, mask: int) -> Choice:
        valid = [each for each in place.actions if mask & each.ground.care == each.ground.want]
        choice = Choice(tuple(sorted(valid, key=_rank)))
        self._make_room()
        place.found[mask & place.care] = choice
        return choice

    def _make_room(self) -> None:
        self._answers += 1
        if self._answers >= _MOST:
            self._answers = 0
            self._merged.clear()
            for _, _, spots in self._players:
                spots.clear()

    def _all(self, choices: tuple[Choice, ...]) -> Choice:
        known = self._merged.get(choices)
        if known is None:
            known = Choice(tuple(merge(*(each.actions for each in choices), key=_rank)))
            self._make_room()
            self._merged[choices] = known
        return known


class _Rule:
    """An action rule, and which of its conditions are found by looking about.

    `of_player` name the player; `near` name what those bind (the player's station, what it holds), so that
    all facts that may meet them are known by then.
    """

    def __init__(self, place: int, rule: ActionRule, changing: frozenset[str]) -> None:
        self.place, self.rule = place, rule
        players = [name for name, type_ in rule.parameters if type_ == "player"]
        self.player = players[0] if players else None
        asked = [each for each in rule.preconditions if each.value]
        self.of_player = [each for each in asked if self.player in each.parameters]
        bound = {name for each in self.of_player for name in each.parameters}
        self.static = [each for each in rule.preconditions if each.predicate not in changing]
        self.near = [
            each
            for each in asked
            if each not in (*self.of_player, *self.static) and bound & {*each.parameters}
        ]


def _bound(binding: _Binding, asked: Sequence[Literal], facts: _Facts) -> list[_Binding]:
    """Return the ways to bind further parameters so that all of `asked` are among `facts`."""
    ways = [binding]
    for literal in asked:
        found = facts.get(literal.predicate)
        if not found:
            return []
        before, ways = ways, []
        for way in before:
            for fact in found:
                more = dict(way)
                for parameter, name in zip(literal.parameters, fact[1:], strict=True):
                    if more.setdefault(parameter, name) != name:
                        break
                else:
                    ways.append(more)
    return ways


def _by_predicate(facts: Iterable[Fact]) -> _Facts:
    out: _Facts = {}
    for fact in facts:
        out.setdefault(fact[0], []).append(fact)
    return out
