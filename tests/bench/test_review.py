"""The measures of reviews keep their bars, and stand in the suite of tournaments, too."""

from __future__ import annotations

from agentflow_bench.command import load_suite
from agentflow_bench.measure import Setting
from agentflow_bench.review import KILLED, ROUNDS


def test_a_review_that_is_killed_asks_nothing_twice_that_was_answered() -> None:
    figures = {figure.name: figure for figure in KILLED.run(Setting(quick=True))}  # type: ignore[union-attr]
    assert all(figure.met for figure in figures.values())
    assert figures["times killed"].value == 2


def test_reviews_are_measured_with_tournaments() -> None:
    assert {ROUNDS, KILLED} <= set(load_suite("tournament").measures)
    assert list(load_suite("review").measures) == [ROUNDS, KILLED]
