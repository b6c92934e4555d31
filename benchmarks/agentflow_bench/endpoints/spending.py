"""What may be spent: a hundred requests at once against an allowance that ends in the middle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from agentflow.endpoints import Allowance, Endpoint, Price
from agentflow.errors import LimitExceeded
from agentflow.testing import FakeEndpoint, VirtualClock
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import ChatRequest, Settings

__all__ = ["SPENDING"]

_PRICE = Price(1.0, 4.0)
_MOST = 200


def _spending(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    rounds = 5 if setting.quick else 50
    for what in ("tokens", "usd"):
        over = 0.0
        used = 0.0
        for seed in range(rounds):
            chance = random.Random(seed)
            allowance = Allowance(tokens=20_000) if what == "tokens" else Allowance(usd=0.06)
            with VirtualClock() as clock:
                clock.run(_ask(_endpoint(chance, allowance)))
            spent, most = (
                (allowance.spent_tokens, allowance.tokens)
                if what == "tokens"
                else (allowance.spent_usd, allowance.usd)
            )
            assert most is not None
            over = max(over, spent - most)
            used += spent / most / rounds
        figures.append(
            Figure(f"{what}: spent beyond what is allowed, at most", max(0.0, over), bar=Bar("==", 0))
        )
        figures.append(Figure(f"{what}: used of it when the rest is refused", 100 * used, "%", Bar(">=", 95)))
    return figures


def _endpoint(chance: random.Random, allowance: Allowance) -> Endpoint:
    def answer(request: ChatRequest) -> str:
        return "word " * chance.randint(1, _MOST // 2)

    return FakeEndpoint(
        answer,
        tokens_per_second=50,
        allowance=allowance,
        price=_PRICE,
        settings=Settings(max_tokens=_MOST),
    )


async def _ask(endpoint: Endpoint) -> None:
    async def one(number: int) -> None:
        try:
            await endpoint.complete(f"question {number} " * 10)
        except LimitExceeded:
            return

    await asyncio.gather(*(one(number) for number in range(1_000)))


SPENDING = Measure("spending", "A thousand requests, an allowance for a part of them.", _spending)
