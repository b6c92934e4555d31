"""The suite `foundation`: what everything else stands on."""

from __future__ import annotations

from agentflow_bench.foundation import asynchow, startup
from agentflow_bench.measure import Suite

__all__ = ["suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite(
        "foundation",
        "What everything else stands on.",
        [startup.IMPORT, startup.HELP, asynchow.ASYNCHOW],
    )
