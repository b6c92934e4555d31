"""The suite `dual`: loops that never wait, and a safe place for what a model wrote."""

from __future__ import annotations

from agentflow_bench.dual.loops import ANNOTATED, TICKS, WATCHED
from agentflow_bench.dual.sandbox import BOMBS, COST, ESCAPES, KILLS
from agentflow_bench.measure import Suite
from agentflow_bench.overcooked.figures import FORESIGHT, GUARD, INTERVALS, MODES_COMPARED, SPEED, WALL

__all__ = ["suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite(
        "dual",
        "Fast loops, slow thinking, and policies that models write.",
        [
            *(TICKS, WATCHED, ANNOTATED, ESCAPES, BOMBS, COST, KILLS),
            *(SPEED, MODES_COMPARED, FORESIGHT, INTERVALS, GUARD, WALL),
        ],
    )
