"""A rate that no answer tells, found by trying: on virtual time, against servers that count."""

from __future__ import annotations

import asyncio

import pytest

from agentflow.endpoints import Endpoint, Limits, LimitScheduler, Retry
from agentflow.testing import VirtualClock
from agentflow_bench.endpoints.limited import FORMS, Counter, LimitedModel


def run(model: LimitedModel, count: int, later: tuple[float, float] | None = None) -> LimitScheduler:
    """Ask `count` times at once with the default five attempts; `later`: at a time, another limit."""
    scheduler = LimitScheduler(Limits(), learn=True)
    endpoint = Endpoint(model, scheduler=scheduler, retry=Retry.attempts(5))

    async def main():
        if later is not None:
            asyncio.get_running_loop().call_later(later[0], setattr, model.counter, "limit", later[1])
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(endpoint.complete("x"))

    with VirtualClock() as clock:
        clock.run(main())
    return scheduler


def within(times: list[float], begin: float, end: float) -> int:
    return sum(begin <= at < end for at in times)


@pytest.mark.parametrize("seconds", [0.01, 5.0])
@pytest.mark.parametrize("form", FORMS)
def test_the_rate_of_a_silent_server_is_found(form, seconds):
    model = LimitedModel(Counter(form, 600), tells=False, seconds=seconds)
    run(model, 3300)
    assert within(model.good, 120, 240) >= 0.95 * 2 * 600
    assert within(model.refused, 60, 240) <= 5
    assert len(model.refused) <= 30


@pytest.mark.parametrize("form", FORMS)
def test_a_silent_limit_that_is_halved_is_found_again(form):
    model = LimitedModel(Counter(form, 600), tells=False)
    run(model, 3000, later=(120, 300))
    assert within(model.good, 240, 360) >= 0.85 * 2 * 300
    assert within(model.refused, 120, 360) <= 20


def test_a_silent_limit_by_the_second_is_found():
    class BySecond(Counter):
        def take(self, now):
            if int(now) != self.window:
                self.window, self.count = int(now), 0
            good = self.count < self.limit
            self.count += good
            return good, 0, 0

    model = LimitedModel(BySecond("second", 10), tells=False)
    scheduler = run(model, 1800)
    assert within(model.good, 60, 180) >= 0.9 * 1200
    assert len(model.refused) <= 15
    assert scheduler._gates["requests"].pace.limit == pytest.approx(600, rel=0.1)


def test_requests_that_never_press_on_the_limit_leave_the_rate_alone():
    model = LimitedModel(Counter("bucket", 600), tells=False, seconds=0.1)
    scheduler = LimitScheduler(Limits(), learn=True)
    endpoint = Endpoint(model, scheduler=scheduler)

    async def main():
        for _ in range(100):
            await endpoint.complete("x")
            await asyncio.sleep(5)

    with VirtualClock() as clock:
        clock.run(main())
    assert model.refused == []
    assert not scheduler._search.settled


def test_what_a_pause_tries_is_not_the_same_request_each_time():
    model = LimitedModel(Counter("sliding", 600), tells=False, seconds=5.0)
    run(model, 900)  # would raise RateLimited after five refusals of one request
    assert len(model.good) == 900


def test_a_header_that_can_not_be_does_not_stop_the_search():
    model = LimitedModel(Counter("bucket", 600), tells=False, seconds=0.1)
    model.lies = {"x-ratelimit-limit-requests": "-1", "x-ratelimit-remaining-requests": "-1"}
    run(model, 1800)
    assert within(model.good, 60, 110) >= 0.95 * 500
