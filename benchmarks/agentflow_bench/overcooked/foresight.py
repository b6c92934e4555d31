"""Foresight: what a cook would win who knew the partner and thought in no time at all.

A bound for slow thinking beside the state machine, as far as a search finds it: every few ticks each macro
that can be done, and each role, is played on in the kitchen itself with the partner as it really is, and
the best is done (policy improvement by rollouts; G. Tesauro and G. Galperin, On-line policy improvement
using Monte-Carlo search, 1996). What it does not know is when the partner will hesitate.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from agentflow_bench.overcooked.fast import named
from agentflow_bench.overcooked.games import Game
from agentflow_bench.overcooked.kitchen import TICKS, Kept, Kitchen
from agentflow_bench.overcooked.macro import MACROS, Macro, action_of
from agentflow_bench.overcooked.roles import ROLES, next_macro
from agentflow_bench.overcooked.seen import Seen

__all__ = ["foreseen"]

_AHEAD = 160  # ticks that are played on
_EVERY = 4  # ticks between two searches
_LONGEST = 14  # ticks of one macro
_SURE = 0.5  # by how much another course has to be better than the state machine's
_SOUP, _ONION, _COOKED, _LOADED, _HELD = 17.0, 3.0, 4.0, 1.5, 1.0  # points of what is on its way


def foreseen(game: Game, ticks: int = TICKS) -> int:
    """Return the score of a game that is played with foresight."""
    kitchen = Kitchen(game.layout, game.partner, ticks=ticks)
    ahead = Kitchen(game.layout, game.partner, ticks=ticks)
    seen = kitchen.reset(game.seed)
    role, macro, hands = "all", "", ""
    while not kitchen.done:
        if seen.tick % _EVERY == 0:
            role, macro = _best(kitchen, ahead)
            hands = seen.chefs[0].holds
        doing = named(macro, seen, kitchen.floor) if macro and seen.chefs[0].holds == hands else None
        if doing is None:
            macro = ""
            doing = next_macro(seen, kitchen.floor, role)
        seen = kitchen.act(action_of(doing, seen, kitchen.floor))
    return seen.score


def _best(kitchen: Kitchen, ahead: Kitchen) -> tuple[str, str]:
    """Return the role and the macro, if one comes before it, that bring most."""
    seen, kept = kitchen.observe(), kitchen.snapshot()
    found, most = ("all", ""), _worth(ahead, kept, "all", "") + _SURE
    courses = [(role, "") for role in ROLES if role != "all"]
    courses += [("all", macro) for macro in MACROS if named(macro, seen, kitchen.floor) is not None]
    for course in courses:
        if (worth := _worth(ahead, kept, *course)) > most:
            found, most = course, worth
    return found


def _worth(ahead: Kitchen, kept: Kept, role: str, macro: str) -> float:
    """Return what a course comes to: the score then, and points for what is on its way."""
    ahead.restore(replace(kept, chance=Random("ahead").getstate()))
    seen = ahead.observe()
    begun, hands = seen.tick, seen.chefs[0].holds
    while not ahead.done and seen.tick < begun + _AHEAD:
        doing: Macro | None = None
        if macro and seen.chefs[0].holds == hands and seen.tick < begun + _LONGEST:
            doing = named(macro, seen, ahead.floor)
        if doing is None:
            macro = ""
            doing = next_macro(seen, ahead.floor, role)
        seen = ahead.act(action_of(doing, seen, ahead.floor))
    return seen.score + _on_its_way(seen)


def _on_its_way(seen: Seen) -> float:
    points = sum(_ONION * pot.onions for pot in seen.pots)
    points += sum(_COOKED * (1 - pot.left / 20) for pot in seen.pots if pot.left is not None)
    cooks = any(pot.left is not None for pot in seen.pots)
    held = {"soup": _SOUP, "onion": _HELD, "dish": _LOADED if cooks else 0.0}
    return points + sum(held.get(chef.holds, 0.0) for chef in seen.chefs)
