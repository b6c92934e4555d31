"""Belief: what kind of cook the partner is, read from what came into its hands."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow_bench.overcooked.seen import Seen

__all__ = ["BELIEFS", "belief_of", "fits"]

BELIEFS = ("all", "onion", "dish", "idle")
"""It does whatever is wanted, onions only, dishes and serving only, nothing."""

_LONG = 25  # ticks after which nothing taken means that nothing is done
_RECENT = 4  # things taken last, which count: a habit may have changed
_LAZY = 15  # ticks for which one stands still although there is something to do
_OFTEN = 2  # things of one kind that make a habit


def belief_of(watched: Sequence[Seen]) -> str | None:
    """Return what the partner is, from its last ticks, the newest last; None while too little was seen."""
    if not watched:
        return None
    since, now = watched[0].tick, watched[-1]
    took = [what for tick, what in now.chefs[1].took if tick > since][-_RECENT:]
    dishes, onions = took.count("dish") + took.count("soup"), took.count("onion")
    if not took:
        quiet = now.tick - since >= _LONG and len({seen.chefs[1].at for seen in watched}) == 1
        if not quiet:
            return None
        return _waits_for(watched) or "idle"
    if dishes and onions:
        return "all"
    if onions >= _OFTEN:
        return "onion"
    return "dish" if dishes and now.tick - since >= _LONG else None


def _waits_for(watched: Sequence[Seen]) -> str | None:
    """Return the habit of one who stands still with something in hand that there was no use for."""
    holds = watched[-1].chefs[1].holds
    pots = [pot for seen in watched[-_LONG:] for pot in seen.pots]
    if holds in ("dish", "soup") and not all(pot.left == 0 for pot in pots):
        return "dish" if not any(pot.left == 0 for pot in pots[: len(pots) // 2]) else None
    return "onion" if holds == "onion" and not any(pot.open for pot in pots) else None


def fits(belief: str, since: int, seen: Seen) -> bool:
    """Return whether nothing the partner did since a tick, or fails to do, speaks against a belief."""
    partner = seen.chefs[1]
    took = {what for tick, what in partner.took if tick > since}
    ready, room = any(pot.left == 0 for pot in seen.pots), any(pot.open for pot in seen.pots)
    if partner.still >= _LAZY and ((belief in ("dish", "all") and ready) or (belief == "onion" and room)):
        return False
    match belief:
        case "idle":
            return not took
        case "onion":
            return not took & {"dish", "soup"}
        case "dish":
            return "onion" not in took
        case _:
            return True
