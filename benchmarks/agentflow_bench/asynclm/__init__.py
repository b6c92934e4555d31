"""The suite `asynclm`: how soon tasks are done, on every carrier, and what the markup stands."""

from __future__ import annotations

from agentflow_bench.asynclm.bars import latency_measures
from agentflow_bench.asynclm.cancels import CANCEL_POINTS
from agentflow_bench.asynclm.crowd import CROWD
from agentflow_bench.asynclm.cut import CUT
from agentflow_bench.asynclm.engine import ENGINE
from agentflow_bench.asynclm.latency import Latencies
from agentflow_bench.asynclm.markup import MARKUP_FUZZ, MARKUP_SPEED, MARKUP_SPLITS, MARKUP_VALUES
from agentflow_bench.asynclm.team import TEAM
from agentflow_bench.asynclm.training import TRACES
from agentflow_bench.asynclm.wall import WALL
from agentflow_bench.foundation.calls import CALL_COST, TOOL_START
from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite(latencies: Latencies | None = None) -> Suite:
    """Return the suite; `latencies` keeps what its tasks took."""
    return Suite(
        "asynclm",
        "Interruptible, asynchronous tool calls.",
        [
            # What is timed comes first: garbage of the others would be collected meanwhile.
            TOOL_START,
            CALL_COST,
            MARKUP_SPEED,
            WALL,
            *latency_measures(latencies or Latencies()),
            CUT,
            ENGINE,
            CROWD,
            TEAM,
            MARKUP_SPLITS,
            MARKUP_FUZZ,
            MARKUP_VALUES,
            CANCEL_POINTS,
            TRACES,
        ],
    )
