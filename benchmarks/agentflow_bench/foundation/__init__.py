"""The suite `foundation`: what everything else stands on. A file a subject."""

from __future__ import annotations

from agentflow_bench.foundation.agents import AGENT_COST, LEAVING, OVERLAP
from agentflow_bench.foundation.asynchow import ASYNCHOW
from agentflow_bench.foundation.calls import CALL_COST, TOOL_START
from agentflow_bench.foundation.clocks import CLOCKS
from agentflow_bench.foundation.crowd import CROWD
from agentflow_bench.foundation.fuzz import FUZZ
from agentflow_bench.foundation.journal import LONE_STEP, STEPS
from agentflow_bench.foundation.runs import CHILDREN, WAITING
from agentflow_bench.foundation.startup import HELP, IMPORT
from agentflow_bench.foundation.survival import CANCELS, DEMO, KILLS, WRONG_FILES
from agentflow_bench.foundation.wire import REQUEST_COST
from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite(
        "foundation",
        "What everything else stands on.",
        [
            IMPORT,
            HELP,
            ASYNCHOW,
            CLOCKS,
            CALL_COST,
            TOOL_START,
            REQUEST_COST,
            AGENT_COST,
            OVERLAP,
            LEAVING,
            CROWD,
            CHILDREN,
            WAITING,
            STEPS,
            LONE_STEP,
            FUZZ,
            KILLS,
            CANCELS,
            WRONG_FILES,
            DEMO,
        ],
    )
