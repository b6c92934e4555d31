"""Soups, a taster with a noisy tongue, and a cook who seasons what is best. For examples/tournament.yaml."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentflow import Context
from agentflow.tournament import Board, Match

__all__ = ["Soup", "season", "taste"]

_NAMES = ("again", "by the window", "on Sunday", "for the neighbours", "in the rain", "with a story")


@dataclass(frozen=True)
class Soup:
    """A soup for four."""

    title: str
    leeks: int
    potatoes: int
    cream: float
    thyme: int
    minutes: int
    chillies: int = 0


def goodness(soup: Soup) -> float:
    """Return how good a soup truly is, which nobody in the kitchen knows: 3 at best."""
    off = abs(soup.leeks - 4) / 2 + abs(soup.potatoes - 2) / 3 + abs(soup.cream - 0.2) * 2
    return 3 - off - abs(soup.thyme - 2) / 3 - abs(math.log(soup.minutes / 40)) - soup.chillies / 20


async def taste(context: Context[object], match: Match[Soup]) -> str:
    """Compare two soups: the better one wins mostly, the first tasted a little too often."""
    chance = random.Random(f"{match.number} {match.first.title} {match.second.title}")
    await asyncio.sleep(chance.lognormvariate(-2.1, 0.8))
    gap = 2 * (goodness(match.first) - goodness(match.second)) + 0.4
    return "first" if chance.random() < 1 / (1 + math.exp(-gap)) else "second"


async def season(context: Context[object], board: Board[Soup]) -> Sequence[Soup]:
    """Return one of the best three soups with one thing changed."""
    chance = board.chance()
    await asyncio.sleep(0.5)
    soup = chance.choice(board.ranking[:3]).item
    changed = chance.choice(
        [
            replace(soup, leeks=max(1, soup.leeks + chance.choice([-1, 1]))),
            replace(soup, potatoes=max(0, soup.potatoes + chance.choice([-1, 1]))),
            replace(soup, cream=round(max(0.0, soup.cream + chance.choice([-0.1, 0.1])), 1)),
            replace(soup, thyme=max(0, soup.thyme + chance.choice([-1, 1]))),
            replace(soup, minutes=max(3, round(soup.minutes * chance.choice([0.8, 1.25])))),
        ]
    )
    kind = soup.title.partition(", ")[0]
    return [replace(changed, title=f"{kind}, {chance.choice(_NAMES)} {board.number}")]
