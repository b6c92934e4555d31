"""The suite `endpoints`: how well limits are used, and what goes wrong on the way."""

from __future__ import annotations

from agentflow_bench.endpoints.limits import FAIRNESS, GIVEN, HALVED, LEARNED
from agentflow_bench.endpoints.mishaps import FAULTS, HEDGE
from agentflow_bench.endpoints.spending import SPENDING
from agentflow_bench.endpoints.tokens import FOUND, LIES, TOKENS
from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite(
        "endpoints",
        "Calling rate-limited models concurrently.",
        [GIVEN, TOKENS, LEARNED, HALVED, FOUND, LIES, FAIRNESS, FAULTS, HEDGE, SPENDING],
    )
