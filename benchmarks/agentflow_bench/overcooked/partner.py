"""Partners: cooks by rule, who share a kitchen with ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentflow.errors import UserError
from agentflow_bench.overcooked.floor import Floor
from agentflow_bench.overcooked.macro import Macro, action_of
from agentflow_bench.overcooked.roles import next_macro
from agentflow_bench.overcooked.seen import Seen

__all__ = ["PARTNERS", "Partner", "partner_of"]

PARTNERS = ("all", "onion", "dish", "idle")
"""All work, onions only, dishes and serving only, none: it stands out of the way."""


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner by its role; with `then` and `at` it changes to another role at a tick.

    One of a single role does nothing else, even where nothing else would help: that is what there is
    to be found out.
    """

    role: str
    then: str = ""
    at: int = 0

    @property
    def name(self) -> str:
        """How a report calls it."""
        return f"{self.role}-{self.then}@{self.at}" if self.then else self.role

    def role_at(self, tick: int) -> str:
        """Return its role at a tick."""
        return self.then if self.then and tick >= self.at else self.role

    def act(self, seen: Seen, floor: Floor) -> str:
        """Return its action in a kitchen that is seen by its eyes."""
        role = self.role_at(seen.tick)
        if role == "idle":
            return action_of(Macro("wait"), seen, floor)
        return action_of(_only(next_macro(seen, floor, role), role, seen), seen, floor)


def _only(macro: Macro, role: str, seen: Seen) -> Macro:
    """Return the macro, or waiting where it begins what belongs to another role."""
    foreign = {"onion": ("dish", "plate", "take"), "dish": ("onion",)}.get(role, ())
    if macro.do not in foreign:
        return macro
    near = tuple(pot.at for pot in seen.pots)
    return Macro("wait", near)


def partner_of(text: str) -> Partner:
    """Return a partner of its name: `onion`, or `onion-dish@200` for one that changes. Raises `UserError`."""
    role, dash, rest = text.partition("-")
    then, _, tick = rest.partition("@")
    known: Sequence[str] = PARTNERS
    if role not in known or (dash and (then not in known or not tick.isdigit())):
        raise UserError(
            f"no partner {text!r}: {', '.join(known)}, or one that changes, such as onion-dish@200"
        )
    return Partner(role, then, int(tick or 0))
