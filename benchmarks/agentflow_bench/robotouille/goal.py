"""Whether the goal is reached: literals over variables, matched by going back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

from agentflow_bench.robotouille.instance import Instance, Term
from agentflow_bench.robotouille.universe import Universe

__all__ = ["GoalCheck"]

_MOST = 4096
Pairs: TypeAlias = tuple[tuple[tuple[str, str], str], ...]


@dataclass(frozen=True, slots=True)
class _Option:
    """A fact that makes a literal true, and the objects that the variables then stand for.

    A fact that can't change has no bit: it is true (`bit` is 0).
    """

    bit: int
    pairs: Pairs


class GoalCheck:
    """The goal of one kitchen. `care` has all bits that it depends on."""

    def __init__(self, instance: Instance, universe: Universe) -> None:
        groups = instance.goal.groups
        for _, objects in groups.values():
            for name in objects:
                universe.expect(name)
        self._literals: list[tuple[_Option, ...]] = [
            tuple(self._options(predicate, terms, instance, universe))
            for predicate, terms in instance.goal.literals
        ]
        self._never = not all(self._literals)
        self._needs = [_any(options) for options in self._literals if all(each.bit for each in options)]
        self.care = 0
        for options in self._literals:
            self.care |= _any(options)
        self._known: dict[int, bool] = {}

    def reached(self, mask: int) -> bool:
        """Return whether one choice of objects makes all literals true."""
        if self._never:
            return False
        for need in self._needs:
            if not mask & need:
                return False
        key = mask & self.care
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            true = [
                [each.pairs for each in options if not each.bit or each.bit & key]
                for options in self._literals
            ]
            known = self._known[key] = _match(sorted(true, key=len), {})
        return known

    @staticmethod
    def _options(
        predicate: str, terms: Sequence[Term], instance: Instance, universe: Universe
    ) -> list[_Option]:
        objects = [(term,) if isinstance(term, str) else instance.goal.groups[term[0]][1] for term in terms]
        out: list[_Option] = []
        for chosen in product(*objects):
            fact = (predicate, *chosen)
            bit = universe.bits.get(fact, 0)
            if not bit and fact not in universe.static:
                continue
            pairs = [
                (term, name) for term, name in zip(terms, chosen, strict=True) if not isinstance(term, str)
            ]
            if len({term for term, _ in pairs}) == len({*pairs}):
                out.append(_Option(bit, tuple(pairs)))
        return out


def _any(options: Sequence[_Option]) -> int:
    mask = 0
    for option in options:
        mask |= option.bit
    return mask


def _match(literals: Sequence[Sequence[Pairs]], chosen: dict[tuple[str, str], str]) -> bool:
    """Return whether the literals can all be true; ids of one kind stand for different objects."""
    if not literals:
        return True
    first, *rest = literals
    for pairs in first:
        bound = dict(chosen)
        for variable, name in pairs:
            if variable in bound:
                if bound[variable] != name:
                    break
            elif any(other[0] == variable[0] and taken == name for other, taken in bound.items()):
                break
            else:
                bound[variable] = name
        else:
            if _match(rest, bound):
                return True
    return False
