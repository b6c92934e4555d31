"""Imagining: a game played on in the head, with the partner as it is believed to be."""

from __future__ import annotations

from functools import lru_cache

from agentflow_bench.overcooked.kitchen import Kitchen
from agentflow_bench.overcooked.macro import action_of
from agentflow_bench.overcooked.partner import Partner
from agentflow_bench.overcooked.roles import ROLES, next_macro
from agentflow_bench.overcooked.seen import Seen

__all__ = ["best_role"]

_AHEAD = 240  # ticks
_WORTH = 1.05  # a role must bring so much more than the state machine's own


def best_role(seen: Seen, partner: str) -> str:
    """Return the role that brings most beside a partner; the state machine's own unless one is better.

    What is found for a layout, a player's part of it and a belief is kept.
    """
    from agentflow_bench.overcooked.kitchen import floor_of

    return _found(seen.layout, floor_of(seen.layout).region[seen.chefs[0].at], partner)


@lru_cache(maxsize=256)
def _found(layout: str, region: int, partner: str) -> str:
    scores = {role: _imagined(layout, region, partner, role) for role in ROLES}
    best = max(ROLES, key=lambda role: scores[role])
    return best if scores[best] >= _WORTH * scores["all"] and scores[best] > 0 else "all"


def _imagined(layout: str, region: int, partner: str, role: str) -> int:
    kitchen = Kitchen(layout, Partner(partner), ticks=_AHEAD)
    total = 0
    for seed in range(4):
        seen = kitchen.reset(seed)
        if kitchen.floor.region[seen.chefs[0].at] != region:
            continue
        while not kitchen.done:
            seen = kitchen.act(action_of(next_macro(seen, kitchen.floor, role), seen, kitchen.floor))
        total += seen.score
    return total
