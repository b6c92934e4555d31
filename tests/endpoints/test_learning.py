"""A scheduler against servers that count, on virtual time: how much of a limit is used, how often hit."""

from __future__ import annotations

import asyncio

import pytest

from agentflow.endpoints import Endpoint, Limits, LimitScheduler, Retry
from agentflow.testing import VirtualClock
from agentflow_bench.endpoints.limited import FORMS, Counter, LimitedModel, most_in_window


async def ask(endpoint: Endpoint, count: int) -> float:
    """Ask `count` times at once; return when the last was answered."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(endpoint.complete("x"))
    return asyncio.get_running_loop().time()


def run(model: LimitedModel, count: int, limits: Limits, *, learn: bool) -> tuple[float, LimitScheduler]:
    scheduler = LimitScheduler(limits, learn=learn)
    endpoint = Endpoint(model, scheduler=scheduler, retry=Retry.attempts(20))
    with VirtualClock() as clock:
        return clock.run(ask(endpoint, count)), scheduler


@pytest.mark.parametrize("rate", [600])
@pytest.mark.parametrize("form", FORMS)
def test_a_given_limit_is_used_and_never_hit(form, rate):
    model = LimitedModel(Counter(form, rate))
    seconds, _ = run(model, 3 * rate, Limits(requests_per_minute=rate), learn=False)
    assert model.refused == []
    assert 180 / seconds >= 0.98
    assert most_in_window([(at, 1) for at in model.good], 60) <= rate


@pytest.mark.parametrize("rate", [600])
@pytest.mark.parametrize("form", FORMS)
def test_a_limit_that_answers_tell_is_learned(form, rate):
    model = LimitedModel(Counter(form, rate))
    seconds, scheduler = run(model, 3 * rate, Limits(), learn=True)
    assert len(model.refused) <= 3
    assert [at for at in model.refused if at > 2] == []
    assert 180 / seconds >= 0.98
    gates = scheduler._gates
    assert gates["requests"].pace.limit == rate


@pytest.mark.parametrize("form", ["bucket", "fixed"])
def test_a_limit_that_is_halved_in_mid_run_is_kept_within_seconds(form):
    model = LimitedModel(Counter(form, 1200))
    scheduler = LimitScheduler(Limits(), learn=True)
    endpoint = Endpoint(model, scheduler=scheduler, retry=Retry.attempts(20))

    async def main():
        loop = asyncio.get_running_loop()
        loop.call_later(61, setattr, model.counter, "limit", 600)
        return await ask(endpoint, 1800)

    with VirtualClock() as clock:
        clock.run(main())
    assert len(model.refused) <= 5
    within = [at for at in model.good if 66 < at <= 96]
    assert 0.95 * 600 <= 2 * len(within) <= 610


def test_without_any_word_of_limits_the_number_under_way_is_found_by_trying():
    class AtMost(Counter):
        def take(self, now):
            return model.running < 20, 0, 0

    model = LimitedModel(AtMost("at most", 60), tells=False, seconds=1.0, jitter=0.1)
    seconds, _ = run(model, 600, Limits(), learn=True)
    assert len(model.good) == 600
    assert seconds <= 1.5 * 600 / 20
    assert len(model.refused) <= 60, len(model.refused)


def test_a_limit_by_the_second_is_told_from_one_by_the_minute():
    class BySecond(Counter):
        def take(self, now):
            if int(now) != self.window:
                self.window, self.count = int(now), 0
            good = self.count < self.limit
            self.count += good
            return good, self.limit - self.count, 1 - now % 1

    model = LimitedModel(BySecond("second", 10))
    seconds, scheduler = run(model, 600, Limits(), learn=True)
    assert scheduler._gates["requests"].pace.limit == 600
    assert len(model.refused) <= 5
    assert seconds < 60 + 80  # the first ten answers come at the pace of a minute's limit


def test_headers_that_lie_about_a_given_limit_do_not_change_it():
    model = LimitedModel(Counter("bucket", 600))
    model.lies = {"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "-1"}
    seconds, scheduler = run(model, 600, Limits(requests_per_minute=600), learn=True)
    assert scheduler._gates["requests"].pace.limit == 600
    assert seconds < 63
    assert model.refused == []


def test_errors_that_befall_single_requests_do_not_lower_the_number_under_way():
    model = LimitedModel(Counter("bucket", 600), seconds=0.5, tells=False, faults=0.3, stragglers=0.02)
    limits = Limits(requests_per_minute=600)
    seconds, _ = run(model, 500, limits, learn=True)
    assert seconds <= 1.3 * len(model.good) / 10
