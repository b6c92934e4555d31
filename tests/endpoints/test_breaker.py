"""An endpoint that keeps failing is passed over for a while, where there is another."""

from __future__ import annotations

import asyncio

from agentflow.endpoints import Endpoint
from agentflow.endpoints.breaker import Breaker
from agentflow.errors import EndpointUnavailable, QuotaExhausted
from agentflow.testing import FakeEndpoint, VirtualClock

DOWN = EndpointUnavailable("down", status=503)


def test_it_opens_after_failures_in_a_row_and_tries_again_later():
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0, DOWN)
    breaker.worked()
    for _ in range(4):
        breaker.failed(0.0, DOWN)
    assert breaker.allows(0.0)
    breaker.failed(0.0, DOWN)
    assert breaker.state(29.9) == "open"
    assert not breaker.allows(29.9)
    assert breaker.state(30.0) == "half-open"
    assert breaker.allows(30.0)
    assert not breaker.allows(30.0)  # one at a time
    breaker.failed(31.0, DOWN)
    assert breaker.state(90.9) == "open"  # twice as long
    assert breaker.allows(91.0)
    breaker.left()
    assert breaker.allows(91.0)
    breaker.worked()
    assert breaker.state(91.0) == "closed"


def test_a_used_up_quota_opens_it_at_once():
    breaker = Breaker()
    breaker.failed(0.0, QuotaExhausted("no quota"))
    assert not breaker.allows(1.0)


def test_a_failing_endpoint_costs_no_more_requests_for_a_while():
    other = FakeEndpoint(lambda _: "from the other")
    first = FakeEndpoint([DOWN] * 6 + ["well again"] * 5, retry=1, fallback=[other])

    async def main():
        for _ in range(10):
            assert (await first.complete("x")).message.text == "from the other"
        assert len(first.requests) == 5
        await asyncio.sleep(30)
        assert (await first.complete("x")).message.text == "from the other"  # it was tried, and failed
        assert len(first.requests) == 6
        await asyncio.sleep(60)
        assert (await first.complete("x")).message.text == "well again"
        assert (await first.complete("x")).message.text == "well again"

    with VirtualClock() as clock:
        clock.run(main())


def test_without_a_fallback_it_is_always_asked():
    alone: Endpoint = FakeEndpoint([DOWN] * 6 + ["well again"], retry=1)

    async def main():
        for _ in range(6):
            try:
                await alone.complete("x")
            except EndpointUnavailable:
                pass
        assert (await alone.complete("x")).message.text == "well again"

    with VirtualClock() as clock:
        clock.run(main())
