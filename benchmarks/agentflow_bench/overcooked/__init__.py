"""Overcooked: two cooks in one kitchen, a fast loop and slow thinking beside it (arXiv 2502.11882)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite() -> Suite:
    """Return what is proved without a model."""
    from agentflow_bench.measure import Suite
    from agentflow_bench.overcooked.figures import FORESIGHT, GUARD, INTERVALS, MODES_COMPARED, SPEED, WALL

    return Suite(
        "overcooked",
        "A fast loop beside slow thinking, next to those that wait for it.",
        [SPEED, MODES_COMPARED, FORESIGHT, INTERVALS, GUARD, WALL],
    )
