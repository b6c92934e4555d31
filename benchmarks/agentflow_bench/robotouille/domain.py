"""What a kitchen can be: predicates over objects, actions that change them, effects that take time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal as Choice
from typing import TypeAlias

from agentflow.errors import UserError

__all__ = [
    "DELAY",
    "REPEATS",
    "ActionRule",
    "Creation",
    "Domain",
    "EffectKind",
    "EffectRule",
    "Literal",
    "Predicate",
    "literals",
    "near",
]

# A delayed effect comes with its fourth tick, a repetitive one with its third.
DELAY, REPEATS = 4, 3

EffectKind: TypeAlias = Choice["delayed", "repetitive", "conditional", "creation"]
_LITERAL = re.compile(r"(!?)([\w-]+)\(([\w,]*)\)")


@dataclass(frozen=True, slots=True)
class Predicate:
    """A property of one object or a relation of two; `texts` has a line for the object at each position."""

    name: str
    types: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Literal:
    """A predicate over parameters, and the truth value that is asked for or set."""

    predicate: str
    parameters: tuple[str, ...]
    value: bool = True


@dataclass(frozen=True, slots=True)
class Creation:
    """The object that an effect of the kind `creation` makes, and the parameter that stands for it."""

    kind: str
    type: str
    parameter: str


@dataclass(frozen=True, slots=True)
class EffectRule:
    """What goes on after an action, about the object of `parameter`; `nested` is told what it is told."""

    kind: EffectKind
    parameter: str
    effects: tuple[Literal, ...] = ()
    conditions: tuple[Literal, ...] = ()
    nested: tuple[EffectRule, ...] = ()
    creates: Creation | None = None


@dataclass(frozen=True, slots=True)
class ActionRule:
    """An action over parameters.

    `parameters` are names and types in the order that actions are listed by: it is their product over
    the objects of each type. `description` is the text with `{p1}` for the object of `p1`.
    """

    name: str
    description: str
    parameters: tuple[tuple[str, str], ...]
    preconditions: tuple[Literal, ...]
    effects: tuple[Literal, ...]
    special: tuple[EffectRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """Types of objects, predicates and actions; the order of each is the order of texts and lists."""

    types: tuple[str, ...]
    predicates: tuple[Predicate, ...]
    actions: tuple[ActionRule, ...]

    @staticmethod
    def builtin() -> Domain:
        """Return the domain of the benchmark."""
        return _builtin()

    @staticmethod
    def load(path: Path) -> Domain:
        """Return the domain in a `domain.json` of the original. Raises `UserError` with what is wrong."""
        from agentflow_bench.robotouille.original import read_domain

        return read_domain(path)

    def predicate(self, name: str) -> Predicate:
        """Return a predicate. Raises `UserError` for an unknown one."""
        for predicate in self.predicates:
            if predicate.name == name:
                return predicate
        raise UserError(f"no predicate `{name}`{near(name, (each.name for each in self.predicates))}")

    def action(self, name: str) -> ActionRule:
        """Return an action. Raises `UserError` for an unknown one."""
        for action in self.actions:
            if action.name == name:
                return action
        raise UserError(f"no action `{name}`{near(name, (each.name for each in self.actions))}")

    def kinds(self) -> Mapping[str, str]:
        """Return the type of every kind of object: of `table`, say, that there is `istable(station)`."""
        return {
            predicate.name[2:]: predicate.types[0]
            for predicate in self.predicates
            if predicate.name.startswith("is") and len(predicate.types) == 1
        }


@cache
def _builtin() -> Domain:
    from agentflow_bench.robotouille import tables

    return tables.domain()


def literals(text: str) -> tuple[Literal, ...]:
    """Return what `loc(p1,s1) !vacant(s1)` says."""
    return tuple(
        Literal(name, tuple(parameters.split(",")), not negation)
        for negation, name, parameters in _LITERAL.findall(text)
    )


def near(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name: what was meant, or what there is."""
    names: Sequence[str] = list(known)
    close = get_close_matches(name, names, 1)
    if close:
        return f" (did you mean `{close[0]}`?)"
    return f" (there are: {', '.join(names[:12])}{', …' if len(names) > 12 else ''})" if names else ""
