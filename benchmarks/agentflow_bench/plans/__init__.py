"""The suite `plans`: what a step costs, how near a schedule is to the best, what a crash leaves."""

from __future__ import annotations

from agentflow_bench.measure import Suite
from agentflow_bench.plans.cost import DURABLE, LARGE, STEPS
from agentflow_bench.plans.schedule import LONGEST_PATH, SCARCE
from agentflow_bench.plans.survival import CHANGES, KILLS

__all__ = ["suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite(
        "plans",
        "Plans as graphs: run as soon as they can be.",
        [STEPS, DURABLE, LARGE, LONGEST_PATH, SCARCE, CHANGES, KILLS],
    )
