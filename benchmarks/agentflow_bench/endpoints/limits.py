"""How much of a rate limit is used, and how often it is hit: on the virtual clock, three forms of windows."""

from __future__ import annotations

import asyncio
from collections import Counter as Count
from collections.abc import Sequence

from agentflow.endpoints import Endpoint, Limits, LimitScheduler, Retry
from agentflow.testing import VirtualClock
from agentflow_bench.endpoints.limited import FORMS, Counter, Form, LimitedModel, most_in_window
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["FAIRNESS", "GIVEN", "HALVED", "LEARNED", "ask_all"]

RATES = (600, 3000, 6000)
WARM_UP_S = 2.0


async def ask_all(endpoint: Endpoint, count: int) -> float:
    """Ask `count` times at once; return when the last was answered, on the loop's clock."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(endpoint.complete("x"))
    return asyncio.get_running_loop().time()


def _run(form: Form, rate: int, minutes: float, learn: bool) -> tuple[LimitedModel, float]:
    model = LimitedModel(Counter(form, rate))
    limits = Limits() if learn else Limits(requests_per_minute=rate)
    endpoint = Endpoint(model, scheduler=LimitScheduler(limits, learn=learn), retry=Retry.attempts(20))
    count = int(minutes * rate)
    with VirtualClock() as clock:
        seconds = clock.run(ask_all(endpoint, count))
    return model, minutes * 60 / seconds


def _use(setting: Setting, learn: bool) -> Sequence[Figure]:
    figures: list[Figure] = []
    minutes = 2.0 if setting.quick else 5.0
    for rate in RATES[: 1 if setting.quick else None]:
        for form in FORMS:
            model, use = _run(form, rate, minutes, learn)
            name = f"{form}, {rate:,} a minute"
            most = most_in_window([(at, 1.0) for at in model.good], 60.0)
            figures.append(Figure(f"{name}: of the limit used", 100 * use, "%", Bar(">=", 98)))
            if form != "fixed":
                figures.append(Figure(f"{name}: most in a minute / limit", most / rate, "x", Bar("<=", 1)))
            late = [at for at in model.refused if at > WARM_UP_S]
            if learn:
                figures.append(Figure(f"{name}: refused, all", len(model.refused), bar=Bar("<=", 3)))
            figures.append(Figure(f"{name}: refused after the first 2 s", len(late), bar=Bar("==", 0)))
    return figures


def _given(setting: Setting) -> Sequence[Figure]:
    return _use(setting, learn=False)


def _learned(setting: Setting) -> Sequence[Figure]:
    return _use(setting, learn=True)


def _halved(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    for form in ("bucket", "fixed"):
        model = LimitedModel(Counter(form, 1200))
        endpoint = Endpoint(model, scheduler=LimitScheduler(Limits(), learn=True), retry=Retry.attempts(20))

        async def main(model: LimitedModel = model, endpoint: Endpoint = endpoint) -> float:
            asyncio.get_running_loop().call_later(61, setattr, model.counter, "limit", 600)
            return await ask_all(endpoint, 1800)

        with VirtualClock() as clock:
            clock.run(main())
        after = sum(66 < at <= 96 for at in model.good) * 2
        figures.append(Figure(f"{form}: used from 5 s after it", after / 6, "%", Bar(">=", 95)))
        figures.append(Figure(f"{form}: refused", len(model.refused), bar=Bar("<=", 5)))
    return figures


def _fairness(setting: Setting) -> Sequence[Figure]:
    scheduler = LimitScheduler(Limits(requests_per_minute=600))
    served: list[str] = []

    async def one(group: str) -> None:
        permit = await scheduler.admit(100, group=group)
        served.append(group)
        await asyncio.sleep(0.5)
        scheduler.settle(permit, None)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for group, count in (("large", 1000), ("small", 100)):
                for _ in range(count):
                    tasks.create_task(one(group))

    with VirtualClock() as clock:
        clock.run(main())
    share = Count(served[:200])["small"] / 200
    return [
        Figure("the small group's share while both wait", 100 * share, "%"),
        Figure("its distance from one half", 100 * abs(share - 0.5), "%", Bar("<=", 5)),
    ]


GIVEN = Measure("given", "A limit that is given, against servers that count in three ways.", _given)
LEARNED = Measure("learned", "A limit that only the answers tell.", _learned)
HALVED = Measure("halved", "A limit that the server halves in mid-run.", _halved)
FAIRNESS = Measure("fairness", "Two groups, ten to one in what they have waiting.", _fairness)
