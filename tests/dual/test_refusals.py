"""What is wrong with a game is told when it is made, not when it is played."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentflow import Agent
from agentflow.dual import DualProcess, Slot, Slow, StalePolicy, every
from agentflow.errors import UserError
from agentflow.testing import FakeEndpoint
from tests.dual.test_process import Road, obey, play, says


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: DualProcess(Road(), fast=obey, default="on", tick=0), "a tick is seconds above 0"),
        (lambda: DualProcess(Road(), fast=obey, default="on", ticks=0), "ticks must be 1 or more"),
        (lambda: DualProcess(Road(), fast=obey, default="on", deadline=1), "at most a tick"),
        (
            lambda: DualProcess(Road(), fast=obey, default="on", slow=[Slow("a", says("x"), into="b")]),
            "no slot",
        ),
        (
            lambda: DualProcess(Road(), fast=obey, default="on", slow=[Slow("a", says("x"))] * 2),
            "the same name",
        ),
        (lambda: DualProcess(Road(), fast=obey, default="on", policy=object()), "give state="),  # type: ignore[arg-type]
        (lambda: DualProcess(Road(), fast=obey, default="sleep", ticks=3), None),
        (lambda: DualProcess(Road(), fast=says("x"), default="on"), "which never waits"),  # type: ignore[arg-type]
        (lambda: DualProcess(Road(), fast="on", default="on"), "a plain function"),  # type: ignore[arg-type]
        (lambda: Slow("a b", says("x")), "is an identifier"),
        (lambda: Slow("a", says("x"), []), "nothing starts it"),
        (lambda: Slow("a", says("x"), inflight="maybe"), "inflight is"),  # type: ignore[arg-type]
        (lambda: Slow("a", says("x"), timeout=0), "timeout is seconds above 0"),
        (lambda: Slow("a", Agent(FakeEndpoint([]))), "an agent needs prompt="),
        (lambda: Slow("a", 3), "an async function or an agent"),
        (lambda: every(0), "ticks are 1 or more"),
        (lambda: StalePolicy(max_age=-1), "0 or more"),
        (lambda: StalePolicy(changed="keep"), "apply, rebase or drop"),  # type: ignore[arg-type]
        (lambda: Slot(str, ttl=0), "1 or more"),
    ],
)
def test_wrong_arguments_are_told_at_once(make: Callable[[], object], fault: str | None) -> None:
    if fault is None:  # only the environment knows that its default is refused
        with pytest.raises(UserError, match="the default action is refused at tick 0"):
            play(DualProcess(Road(), fast=lambda now: "sleep", default="sleep", ticks=3))
        return
    with pytest.raises(UserError, match=fault):
        make()


def test_a_state_that_raises_leaves_the_choice_to_the_fast_side() -> None:
    class Never:
        """A policy that nobody may ask."""

        async def act(self, state: object, tick: int) -> object:
            raise AssertionError("asked without a state")

    def state(seen: str) -> str:
        raise KeyError(seen)

    road = Road(10)
    report = play(DualProcess(road, fast=obey, default="on", policy=Never(), state=state))  # type: ignore[arg-type]
    assert (report.ticks, report.by["fast"], report.seen) == (10, 10, None)
    assert "KeyError" in report.faults[0]
