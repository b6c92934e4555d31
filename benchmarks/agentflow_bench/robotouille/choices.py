"""Which actions are valid, found by narrowing down: by player, by what is about them, by the rest.

A player's place and what it holds decide most actions; what stands at that place decides most others;
what is left is asked of a few facts. Each answer is kept by exactly the bits that it was made from, so
most steps look up three numbers, and nothing has to be thrown away when the kitchen changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import product
from typing import TypeVar

from agentflow_bench.robotouille.action import Action, Actions
from agentflow_bench.robotouille.domain import ActionRule, Literal
from agentflow_bench.robotouille.universe import Universe, bits_of

__all__ = ["Choice", "Choices"]

# Answers of one kind that are kept; a long walk through a large kitchen forgets them all at once.
_MOST = 2048
_Key = TypeVar("_Key")
_Found = TypeVar("_Found")


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
    """What a player could do at what stands about it; the facts `care` decide the rest."""

    actions: tuple[Action, ...]
    care: int
    found: dict[int, Choice] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Spot:
    """What a player could do who is at a place and holds something; `care` is what stands about it."""

    actions: tuple[Action, ...]
    care: int
    known: int
    found: dict[int, _Place] = field(default_factory=dict)


class Choices:
    """Valid actions among the first `count` objects of a kitchen."""

    def __init__(self, universe: Universe, actions: Actions, count: int) -> None:
        self._universe, self._actions, self._count = universe, actions, count
        self._rules = [_Rule(place, rule) for place, rule in enumerate(universe.domain.actions)]
        self._players: list[tuple[int, int, dict[int, _Spot]]] = [
            (player, self._about(player), {}) for player in universe.of_type("player", count)
        ]
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

    def every(self) -> Iterator[Action]:
        """Yield all actions that there are, valid or not, in order: to check by."""
        for rule in self._rules:
            objects = [self._universe.of_type(type_, self._count) for _, type_ in rule.rule.parameters]
            for numbers in product(*objects):
                if len(set(numbers)) == len(numbers):
                    yield self._actions.ground(rule.place, numbers)

    def _about(self, player: int) -> int:
        """Return the bits of a player's facts that some action asks about."""
        asked = {each.predicate for rule in self._rules for each in rule.rule.preconditions}
        mask = self._universe.about[player]
        return sum(1 << at for at in bits_of(mask) if self._universe.facts[at][0] in asked)

    def _spot(self, player: int, about: int, spots: dict[int, _Spot], mask: int) -> _Spot:
        universe, actions = self._universe, list[Action]()
        true = list(universe.true(mask & about))
        for rule in self._rules:
            if rule.player is None:
                if player == self._players[0][0]:  # what takes no player is listed once
                    actions += self._grounded(rule, {})
                continue
            for binding in rule.bindings(universe.names[player], true, universe.static):
                actions += self._grounded(rule, {key: universe.number[name] for key, name in binding.items()})
        actions = [each for each in dict.fromkeys(actions) if _still(each, about, mask)]
        near = 0
        for fact in true:
            for name in fact[1:]:
                near |= universe.about[universe.number[name]]
        care = _care(actions) & near & ~about
        _make_room(spots)
        spots[mask & about] = spot = _Spot(tuple(actions), care, about | care)
        return spot

    def _grounded(self, rule: _Rule, binding: dict[str, int]) -> Iterable[Action]:
        """Yield a rule's actions for what is bound already, without those that are never valid."""
        objects = [
            [binding[name]] if name in binding else self._universe.of_type(type_, self._count)
            for name, type_ in rule.rule.parameters
        ]
        for numbers in product(*objects):
            if len(set(numbers)) == len(numbers):
                action = self._actions.ground(rule.place, numbers)
                if action.ground.want & ~action.ground.care == 0:
                    yield action

    def _place(self, spot: _Spot, mask: int) -> _Place:
        actions = [each for each in spot.actions if _still(each, spot.care, mask)]
        place = _Place(tuple(actions), _care(actions) & ~spot.known)
        _make_room(spot.found)
        spot.found[mask & spot.care] = place
        return place

    def _choice(self, place: _Place, mask: int) -> Choice:
        valid = [each for each in place.actions if mask & each.ground.care == each.ground.want]
        choice = Choice(tuple(sorted(valid, key=_rank)))
        _make_room(place.found)
        place.found[mask & place.care] = choice
        return choice

    def _all(self, choices: tuple[Choice, ...]) -> Choice:
        known = self._merged.get(choices)
        if known is None:
            known = Choice(tuple(merge(*(each.actions for each in choices), key=_rank)))
            _make_room(self._merged)
            self._merged[choices] = known
        return known


class _Rule:
    """An action rule, and what it asks of the player who does it."""

    def __init__(self, place: int, rule: ActionRule) -> None:
        self.place, self.rule = place, rule
        players = [name for name, type_ in rule.parameters if type_ == "player"]
        self.player = players[0] if players else None
        self._asked = [each for each in rule.preconditions if each.value and self.player in each.parameters]

    def bindings(
        self, player: str, true: Sequence[tuple[str, ...]], static: Iterable[tuple[str, ...]]
    ) -> Iterator[dict[str, str]]:
        """Yield what a player's true facts make of the parameters that are asked of together with it."""
        assert self.player is not None
        facts = [*true, *(fact for fact in static if player in fact)]
        yield from self._bound({self.player: player}, self._asked, facts)

    def _bound(
        self, binding: dict[str, str], asked: Sequence[Literal], facts: Sequence[tuple[str, ...]]
    ) -> Iterator[dict[str, str]]:
        if not asked:
            yield binding
            return
        first, *rest = asked
        for name, *objects in facts:
            if name != first.predicate:
                continue
            pairs = list(zip(first.parameters, objects, strict=True))
            if all(binding.get(parameter, each) == each for parameter, each in pairs):
                yield from self._bound({**binding, **dict(pairs)}, rest, facts)


def _still(action: Action, known: int, mask: int) -> bool:
    """Return whether an action may be valid by the facts in `known`."""
    ground = action.ground
    return mask & ground.care & known == ground.want & known


def _care(actions: Iterable[Action]) -> int:
    care = 0
    for action in actions:
        care |= action.ground.care
    return care


def _rank(action: Action) -> tuple[int, ...]:
    return action.ground.rank


def _make_room(found: dict[_Key, _Found]) -> None:
    if len(found) >= _MOST:
        found.clear()
