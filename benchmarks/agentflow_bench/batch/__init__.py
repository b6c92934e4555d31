"""The suite `batch`: experiments that are killed, limited, failed and long, next to other programs."""

from __future__ import annotations

from agentflow_bench.batch.compat import COMPAT
from agentflow_bench.batch.cost import COST
from agentflow_bench.batch.faults import FAULTY
from agentflow_bench.batch.kill import KILL, KILLS
from agentflow_bench.batch.lines import LINES
from agentflow_bench.batch.makespan import MAKESPAN
from agentflow_bench.batch.memory import MEMORY
from agentflow_bench.batch.rates import LEARNED, RATES
from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite(
        "batch",
        "An experiment's prompts, asked of a server in a process of its own, next to other programs.",
        [KILL, KILLS, FAULTY, MAKESPAN, COST, MEMORY, LINES, RATES, LEARNED, COMPAT],
    )
