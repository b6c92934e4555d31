"""Which rows enter a round: what is disputed, what was scored or decided so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from agentflow.errors import UserError
from agentflow.review.report import Row
from agentflow_protocols.chat import Json

__all__ = ["When", "decided", "decision_of", "disagreement", "score_of", "scored"]

When: TypeAlias = Callable[[Row], bool]


def score_of(vote: Json) -> float | None:
    """Return the score in a vote, None where there is none."""
    score = vote.get("score") if isinstance(vote, dict) else vote
    return float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None


def decision_of(vote: Json) -> str | None:
    """Return the decision in a vote, None where there is none."""
    decision = vote.get("decision") if isinstance(vote, dict) else vote
    return decision if isinstance(decision, str) else None


def disagreement(round: str, *, threshold: float = 3.0) -> When:
    """Return a condition: the votes of `round` differ.

    Some scored above the threshold and some did not, or one stood on it; or their decisions are not
    the same.
    """

    def when(row: Row) -> bool:
        scores, decisions = _scores(row, round), _decisions(row, round)
        above = [score > threshold for score in scores]
        split = bool(scores) and (any(above) != all(above) or threshold in scores)
        return split or len(set(decisions)) > 1

    return when


def scored(round: str | Sequence[str], *, at_least: float) -> When:
    """Return a condition: the mean score of `round` is at least so high.

    Of several rounds the last counts that the row entered: what a senior said, and where none was
    asked what the others said.
    """

    def when(row: Row) -> bool:
        scores = _scores(row, _last(row, round))
        return bool(scores) and sum(scores) / len(scores) >= at_least

    return when


def decided(round: str | Sequence[str], *options: str) -> When:
    """Return a condition: most decisions of `round` are one of the options; where two lead, none has.

    Of several rounds the last counts that the row entered.
    """
    if not options:
        raise UserError("decided: name the decisions that count, such as decided('senior', 'include')")

    def when(row: Row) -> bool:
        most = Counter(_decisions(row, _last(row, round))).most_common(2)
        led = len(most) == 1 or (len(most) == 2 and most[0][1] > most[1][1])
        return led and most[0][0] in options

    return when


def _last(row: Row, rounds: str | Sequence[str]) -> str:
    names = [rounds] if isinstance(rounds, str) else rounds
    return next((name for name in reversed(names) if row.votes.get(name)), names[0])


def _scores(row: Row, round: str) -> list[float]:
    votes = row.votes.get(round, {}).values()
    return [score for vote in votes if (score := score_of(vote)) is not None]


def _decisions(row: Row, round: str) -> list[str]:
    votes = row.votes.get(round, {}).values()
    return [decision for vote in votes if (decision := decision_of(vote)) is not None]
