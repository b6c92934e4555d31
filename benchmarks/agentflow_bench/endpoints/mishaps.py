"""What faults and slow requests cost: on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentflow.endpoints import Endpoint, Limits, LimitScheduler, Retry
from agentflow.testing import VirtualClock
from agentflow_bench.endpoints.limited import Counter, LimitedModel
from agentflow_bench.endpoints.limits import ask_all
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["FAULTS", "HEDGE"]

_RATE = 600


def _faults(setting: Setting) -> Sequence[Figure]:
    """1,000 prompts at 600 a minute, 30 % of the requests fail, 2 % take thirty times as long."""
    model = LimitedModel(Counter("bucket", _RATE), seconds=0.5, faults=0.3, stragglers=0.02, slow=30.0)
    scheduler = LimitScheduler(Limits(requests_per_minute=_RATE))
    endpoint = Endpoint(model, scheduler=scheduler, retry=Retry.attempts(20))
    with VirtualClock() as clock:
        seconds = clock.run(ask_all(endpoint, 1000))
    ideal = len(model.good) * 60 / _RATE
    return [
        Figure(
            "makespan / paced ideal",
            seconds / ideal,
            "x",
            Bar("<=", 1.15),
            "every request at the limit's pace",
        ),
        Figure("requests sent", len(model.good)),
        Figure("refused", len(model.refused), bar=Bar("==", 0)),
    ]


def _p99(hedge: float | None) -> tuple[float, int, int]:
    model = LimitedModel(Counter("bucket", 1e9), seconds=1.0, jitter=0.2, stragglers=0.02, slow=10.0)
    scheduler = LimitScheduler(Limits(concurrency=40))
    endpoint = Endpoint(model, scheduler=scheduler, hedge=hedge)
    took: list[float] = []

    async def some() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(100):
            began = loop.time()
            await endpoint.complete("x")
            took.append(loop.time() - began)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(some())

    with VirtualClock() as clock:
        clock.run(main())
    return sorted(took)[int(0.99 * len(took))], len(model.good), len(took)


def _hedge(setting: Setting) -> Sequence[Figure]:
    plain, _, _ = _p99(None)
    hedged, requests, asked = _p99(0.05)
    return [
        Figure("p99 with hedging / without", hedged / plain, "x", Bar("<=", 0.4)),
        Figure("further requests", 100 * (requests / asked - 1), "%", Bar("<=", 5)),
    ]


FAULTS = Measure("faults", "Faults and stragglers at the pace of a limit.", _faults)
HEDGE = Measure("hedge", "2 % of the requests take ten times as long.", _hedge)
