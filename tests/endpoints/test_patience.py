"""How long an answer is waited for."""

from __future__ import annotations

import asyncio

import pytest

from agentflow.endpoints.patience import Patience
from agentflow.runtime.clock import current_clock


def test_until_something_is_known_it_is_long() -> None:
    patience = Patience()
    for _ in range(19):
        patience.took(0.5)
    assert patience.bound(1) == 600.0


def test_it_follows_what_answers_take() -> None:
    patience = Patience()
    for seconds in range(1, 41):
        patience.took(float(seconds) / 10)
    assert patience.bound(1) == 40 * 3.8
    assert patience.bound(2) == 2 * 40 * 3.8
    assert patience.bound(9) == 600.0


def test_it_is_never_hasty() -> None:
    patience = Patience()
    for _ in range(20):
        patience.took(0.01)
    assert patience.bound(1) == 10.0


async def test_what_is_learned_holds_for_what_is_under_way() -> None:
    patience = Patience(least=0.0, factor=1.0)
    clock = current_clock()

    async def hang() -> None:
        async with clock.guard(patience.bound(1)) as guard:
            with patience.watch(guard, 1):
                for _ in range(20):
                    patience.took(0.0)
                await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await hang()
