"""How many requests may be under way, where nobody says it."""

from __future__ import annotations

from agentflow.endpoints.concurrency import Ceiling


def _serve(ceiling: Ceiling, answers: int, places: int) -> None:
    """Answer so many requests of a server that works at `places` of them at once, and queues the others."""
    for _ in range(answers):
        running = int(ceiling.limit)
        ceiling.answered(running, max(1.0, running / places))


def test_it_grows_while_answers_are_as_quick_as_ever() -> None:
    ceiling = Ceiling(32)
    _serve(ceiling, 1_000, 100_000)
    assert ceiling.limit > 1_000


def test_it_grows_no_more_when_answers_only_wait_at_the_server() -> None:
    ceiling = Ceiling(32)
    _serve(ceiling, 5_000, 50)
    assert 100 < ceiling.limit < 200


def test_a_refusal_takes_a_fifth_once() -> None:
    ceiling = Ceiling(100)
    ceiling.refused(1.0, 100, 5.0)
    ceiling.refused(2.0, 100, 5.0)
    assert ceiling.limit == 80
