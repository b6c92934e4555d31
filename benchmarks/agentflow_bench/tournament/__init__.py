"""The suite `tournament`: how many matches it takes to know who is best, and how sure that is."""

from __future__ import annotations

from agentflow_bench.measure import Suite
from agentflow_bench.review import KILLED, ROUNDS
from agentflow_bench.tournament.populated import POPULATION
from agentflow_bench.tournament.ratings import ARRIVALS, BIAS, MATCHES, ORDER, STOP
from agentflow_bench.tournament.rivals import RIVALS
from agentflow_bench.tournament.running import ASYNCHRONY, COST
from agentflow_bench.tournament.supervised import SUPERVISED
from agentflow_bench.tournament.whole import WHOLE

__all__ = ["suite"]


def suite() -> Suite:
    """Return the suite."""
    return Suite(
        "tournament",
        "Tournaments of simulated items and judges: matches needed, doubt told, time not waited.",
        [
            MATCHES,
            BIAS,
            ARRIVALS,
            STOP,
            ORDER,
            ASYNCHRONY,
            COST,
            SUPERVISED,
            WHOLE,
            RIVALS,
            POPULATION,
            ROUNDS,
            KILLED,
        ],
    )
