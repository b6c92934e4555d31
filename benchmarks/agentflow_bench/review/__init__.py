"""The suite `review`: rounds of reviewers without a barrier, against rounds that wait."""

from __future__ import annotations

from agentflow_bench.measure import Suite
from agentflow_bench.review.killed import KILLED
from agentflow_bench.review.rounds import ROUNDS

__all__ = ["KILLED", "ROUNDS", "suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite("review", "Rounds of reviewers over a table of records.", [ROUNDS, KILLED])
