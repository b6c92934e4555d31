"""Robotouille: a kitchen in which cooking takes time, and a benchmark of agents in it (arXiv 2502.05227)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite() -> Suite:
    """Return what is proved without a model."""
    from agentflow_bench.measure import Suite
    from agentflow_bench.robotouille.chef.figures import CHEF
    from agentflow_bench.robotouille.crowd import CROWD, KILLED
    from agentflow_bench.robotouille.figures_agents import AGENTS_COMPARED
    from agentflow_bench.robotouille.speed import INSTANCES, REPLAYED, SPEED

    return Suite(
        "robotouille",
        "The simulator, exact and fast; the rule-based planner; 500 episodes at once, killed and resumed.",
        [REPLAYED, INSTANCES, SPEED, CHEF, AGENTS_COMPARED, CROWD, KILLED],
    )
