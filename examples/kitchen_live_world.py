"""A kitchen in real time: three pots on one counter, orders that expire, and one cook."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace

from agentflow import Context, InvalidAction
from agentflow.dual import Brief, Now

COUNTER = ("leek", "herbs", "beef", "", "pot", "pot", "pot", "", "hatch")
DISHES = {"soup": ("leek", 16, 15), "tea": ("herbs", 8, 6), "stew": ("beef", 60, 9)}  # from, ticks, points
MADE_FROM = {raw: dish for dish, (raw, _, _) in DISHES.items()}
LIVES, BURNS, EVERY = (
    70,
    34,
    11,
)  # ticks: an order lives, a dish boils over after it is done, a new order comes


@dataclass(frozen=True)
class Pot:
    """What is in a pot, and for how many ticks; `mess` counts how often it must be wiped."""

    dish: str = ""
    ticks: int = 0
    mess: int = 0

    @property
    def done(self) -> bool:
        return bool(self.dish) and self.ticks >= DISHES[self.dish][1]


@dataclass(frozen=True)
class Seen:
    """The kitchen at one moment."""

    at: int = 3
    hand: str = ""
    pots: dict[int, Pot] = field(default_factory=lambda: {4: Pot(), 5: Pot(), 6: Pot()})
    orders: tuple[tuple[str, int], ...] = ()
    score: int = 0
    served: int = 0
    missed: int = 0
    ticks: int = 0
    planned: bool = True


class Kitchen:
    """The world: one cook, who moves a place a tick, and uses what is there."""

    def __init__(self, ticks: int = 240, planned: bool = True) -> None:
        self.length = ticks
        self.planned = planned
        self.reset()

    def reset(self, seed: int | None = None) -> Seen:
        self.chance = random.Random(seed or 0)
        self.seen = Seen(planned=self.planned)
        return self.seen

    def observe(self) -> Seen:
        return self.seen

    def valid_actions(self) -> list[str]:
        return ["left", "right", "use", "wait"]

    def act(self, action: str) -> Seen:
        if action not in self.valid_actions():
            raise InvalidAction(f"{action!r} is nothing that a cook does")
        step = {"left": -1, "right": 1}.get(action, 0)
        self.seen = replace(self.seen, at=max(0, min(len(COUNTER) - 1, self.seen.at + step)))
        if action == "use":
            self._use()
        self._time_goes_by()
        return self.seen

    def _use(self) -> None:
        seen, place = self.seen, COUNTER[self.seen.at]
        if place in MADE_FROM and not seen.hand:
            self.seen = replace(seen, hand=place)
        elif place == "pot":
            pot = seen.pots[seen.at]
            hand = seen.hand
            if pot.mess:
                pot = Pot(mess=pot.mess - 1)
            elif pot.done and not hand:
                pot, hand = Pot(), pot.dish
            elif not pot.dish and hand in MADE_FROM:
                pot, hand = Pot(MADE_FROM[hand]), ""
            self.seen = replace(seen, hand=hand, pots={**seen.pots, seen.at: pot})
        elif place == "hatch" and seen.hand:
            wanted = [order for order in seen.orders if order[0] == seen.hand]
            orders = list(seen.orders)
            if wanted:
                orders.remove(min(wanted, key=lambda order: order[1]))
            points = DISHES[seen.hand][2] if wanted else 0
            served = seen.served + bool(wanted)
            self.seen = replace(seen, hand="", orders=tuple(orders), score=seen.score + points, served=served)

    def _time_goes_by(self) -> None:
        seen = self.seen
        score, pots = seen.score, dict(seen.pots)
        for place, pot in pots.items():
            if pot.dish:
                pots[place] = pot = replace(pot, ticks=pot.ticks + 1)
                if pot.ticks > DISHES[pot.dish][1] + BURNS:
                    pots[place], score = Pot(mess=6), score - 10
        orders = tuple((dish, left - 1) for dish, left in seen.orders)
        lost = sum(left <= 0 for _, left in orders)
        orders = tuple(order for order in orders if order[1] > 0)
        if seen.ticks % EVERY == 0:
            orders += ((self.chance.choice(("soup", "tea", "stew", "stew")), LIVES),)
        score -= 2 * lost
        self.seen = replace(
            seen, pots=pots, orders=orders, score=score, missed=seen.missed + lost, ticks=seen.ticks + 1
        )

    @property
    def done(self) -> bool:
        return self.seen.ticks >= self.length

    def snapshot(self) -> Seen:
        return self.seen

    def restore(self, snapshot: Seen) -> None:
        self.seen = snapshot


def cook(now: Now[Seen]) -> str:
    """The fast side: what is nearest at hand, for the oldest order; or for the first that the plan names."""
    seen = now.seen
    plan = now.slots.get("assignment")
    goal = _goal(seen, plan if isinstance(plan, list) else [])
    if goal is None:
        return "wait"
    return "use" if goal == seen.at else "right" if goal > seen.at else "left"


def _goal(seen: Seen, plan: list[object]) -> int | None:
    """Return the place where something is to be done now."""
    pots = sorted(seen.pots, key=lambda place: abs(place - seen.at))
    if seen.hand in DISHES:
        return COUNTER.index("hatch")
    if seen.hand:
        free = [place for place in pots if not seen.pots[place].dish]
        return min(free, key=lambda place: seen.pots[place].mess) if free else None
    ready = [place for place in pots if seen.pots[place].done]
    if ready:
        return max(ready, key=lambda place: seen.pots[place].ticks - DISHES[seen.pots[place].dish][1])
    wanted = [dish for dish, _ in seen.orders]
    for pot in seen.pots.values():
        if pot.dish in wanted:
            wanted.remove(pot.dish)
    if plan:
        wanted = sorted((dish for dish in wanted if dish in plan), key=plan.index)
    if wanted and any(not pot.dish for pot in seen.pots.values()):
        return COUNTER.index(DISHES[wanted[0]][0])
    messy = [place for place in pots if seen.pots[place].mess]
    return messy[0] if messy else None


def events(now: Now[Seen]) -> list[str]:
    """When the plan is made anew."""
    return ["plan"] if now.seen.planned and now.tick % 20 == 0 else []


async def plan(context: Context[object], brief: Brief[Seen, str]) -> list[str]:
    """The slow side: what pays best for the time that a pot is taken. It thinks for three seconds."""
    await asyncio.sleep(3)
    ranked = sorted(DISHES, key=lambda dish: -DISHES[dish][2] / (DISHES[dish][1] + 12))
    waiting = sum(left < LIVES - 10 for _, left in brief.seen.orders)
    return ranked[:2] if waiting > 1 else ranked


def state(seen: Seen) -> dict[str, int]:
    """What came of it."""
    return {"score": seen.score, "served": seen.served, "missed": seen.missed}


def picture(kitchen: Kitchen) -> str:
    """The kitchen, to look at."""
    seen = kitchen.seen
    cook_line = "".join(f"{'☻' if place == seen.at else '':^8}" for place in range(len(COUNTER)))
    hand_line = "".join(f"{seen.hand if place == seen.at else '':^8}" for place in range(len(COUNTER)))
    cells = []
    for place, name in enumerate(COUNTER):
        pot = seen.pots.get(place)
        label = name if pot is None else "wipe!" if pot.mess else pot.dish or "empty"
        if pot is not None and pot.dish:
            label += "!" if pot.done else f" {pot.ticks * 9 // DISHES[pot.dish][1]}"
        cells.append(f"{f'[{label}]' if label else '':^8}")
    orders = "  ".join(f"{dish} {'▮' * (1 + left * 8 // LIVES)}" for dish, left in seen.orders)
    return "\n".join([f"score {seen.score}   orders: {orders}", "", cook_line, hand_line, "".join(cells), ""])
