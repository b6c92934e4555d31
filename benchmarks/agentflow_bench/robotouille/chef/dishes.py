"""What a goal asks for, as dishes: things stacked on a table, and soups in bowls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agentflow.errors import UserError
from agentflow_bench.robotouille.chef.model import COOKED, CUT, FRIED

__all__ = ["Demand", "Literal", "Menu", "Soup", "Stack", "read_menu"]

_STATUS = {"iscut": CUT, "iscooked": COOKED, "isfried": FRIED}


class Demand(NamedTuple):
    """An item of a kind, of which the bits of `status` must be true."""

    kind: str
    status: int


class Literal(NamedTuple):
    """One condition of a goal: variables are pairs of kind and number."""

    predicate: str
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """Items on one table. Without `ordered` those between base and top may come in any order."""

    base: Demand | None
    middle: tuple[Demand, ...]
    top: Demand | None  # nothing may lie on it
    ordered: bool  # `middle` is the order, upwards; what is between is wrong

    @property
    def demands(self) -> tuple[Demand, ...]:
        """Every item, bottom first."""
        ends = ((self.base,), (self.top,))
        first, last = (tuple(one for one in end if one is not None) for end in ends)
        return first + self.middle + last


@dataclass(frozen=True, slots=True)
class Soup:
    """A meal in a bowl that stands on a table."""

    inside: tuple[Demand, ...]
    boiling: bool


@dataclass(frozen=True, slots=True)
class Menu:
    """All dishes of a goal, each of them on a table of its own."""

    stacks: tuple[Stack, ...]
    soups: tuple[Soup, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of items that are used."""
        stacked = [demand.kind for dish in self.stacks for demand in dish.demands]
        return frozenset(stacked + [demand.kind for soup in self.soups for demand in soup.inside])


def read_menu(literals: Sequence[Literal]) -> Menu:
    """Return the dishes of a goal. Raises `UserError` for conditions that are neither stack nor soup."""
    status: dict[tuple[str, str], int] = {}
    clear: set[tuple[str, str]] = set()
    under: dict[tuple[str, str], tuple[str, str]] = {}
    tables: dict[tuple[str, str], tuple[list[tuple[str, str]], list[tuple[str, str]]]] = {}
    waters: dict[tuple[str, str], list[tuple[str, str]]] = {}
    boiling: set[tuple[str, str]] = set()
    for name, of in literals:
        if name in _STATUS:
            status[of[0]] = status.get(of[0], 0) | _STATUS[name]
        elif name == "clear":
            clear.add(of[0])
        elif name == "atop":
            under[of[1]] = of[0]
        elif name in ("item_on", "item_at") and of[1][0] == "table":
            bottom, others = tables.setdefault(of[1], ([], []))
            (bottom if name == "item_on" else others).append(of[0])
        elif name == "addedto":
            waters.setdefault(of[1], []).append(of[0])
        elif name == "in" and of[1][0] == "bowl":
            waters.setdefault(of[0], [])
        elif name == "isboiling":
            boiling.add(of[0])
        elif name != "container_at" or of[1][0] != "table":
            raise UserError(f"the chef knows no dish with {name} of {', '.join(kind for kind, _ in of)}")

    placed = {one for _, of in literals for one in of[:-1]} | set(under)
    for one in [*status, *clear, *boiling]:
        if one not in placed and one not in waters:
            raise UserError(f"the chef knows no dish with {one[0]} that goes nowhere")

    def demand(variable: tuple[str, str]) -> Demand:
        return Demand(variable[0], status.get(variable, 0))

    stacks = []
    for bottom, others in tables.values():
        if len(bottom) > 1:
            raise UserError("the chef can't lay two items directly on one table")
        chain = list(bottom)
        while chain and chain[-1] in under:
            chain.append(under.pop(chain[-1]))
        loose = [one for one in others if one not in chain]
        if len(chain) > 1 and loose:
            raise UserError("the chef knows no dish that is ordered in part")
        ordered = len(chain) > 1
        middle = chain[1:] or loose
        top = [one for one in middle if one in clear and (not ordered or one == chain[-1])]
        stacks.append(
            Stack(
                demand(bottom[0]) if bottom else None,
                tuple(demand(one) for one in middle if one not in top[:1]),
                demand(top[0]) if top else None,
                ordered,
            )
        )
    if under:
        raise UserError("the chef knows no dish whose items lie on nothing known")
    soups = [Soup(tuple(demand(one) for one in inside), water in boiling) for water, inside in waters.items()]
    return Menu(tuple(stacks), tuple(soups))
