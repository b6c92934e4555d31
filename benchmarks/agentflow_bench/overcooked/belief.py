"""Belief: what kind of cook the partner is, read from what came into its hands."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow_bench.overcooked.seen import Seen

__all__ = ["BELIEFS", "belief_of", "fits"]

BELIEFS = ("all", "onion", "dish", "idle")
"""It does whatever is wanted, onions only, dishes and serving only, nothing."""

_LONG = 25  # ticks after which nothing taken means that nothing is done
_OFTEN = 2  # things of one kind that make a habit


def belief_of(watched: Sequence[Seen]) -> str | None:
    """Return what the partner is, from its last ticks, the newest last; None while too little was seen."""
    if not watched:
        return None
    since, now = watched[0].tick, watched[-1]
    took = [what for tick, what in now.chefs[1].took if tick > since]
    dishes, onions = took.count("dish") + took.count("soup"), took.count("onion")
    if not took:
        quiet = now.tick - since >= _LONG and len({seen.chefs[1].at for seen in watched}) == 1
        holds = now.chefs[1].holds
        if not quiet:
            return None
        return "idle" if not holds else "onion" if holds == "onion" else "dish"
    if dishes and onions:
        return "all"
    if onions >= _OFTEN:
        return "onion"
    return "dish" if dishes and now.tick - since >= _LONG else None


def fits(belief: str, since: int, seen: Seen) -> bool:
    """Return whether nothing the partner has taken after a tick speaks against a belief of then."""
    took = {what for tick, what in seen.chefs[1].took if tick > since}
    match belief:
        case "idle":
            return not took
        case "onion":
            return not took & {"dish", "soup"}
        case "dish":
            return "onion" not in took
        case _:
            return True
