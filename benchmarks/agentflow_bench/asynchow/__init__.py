"""AsyncHow: everyday tasks whose shortest time a model must find (arXiv 2402.02805)."""

from __future__ import annotations

from agentflow_bench.asynchow.proofs import MUTATED, ORACLE, PLANNER, ROUND_TRIPS
from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite() -> Suite:
    """Return what is proved without a model."""
    return Suite(
        "asynchow", "Plans as text, and AsyncHow without a model.", [ORACLE, PLANNER, ROUND_TRIPS, MUTATED]
    )
