"""Other programs that do what agentflow does, each in an environment of its own, over the same server."""

from __future__ import annotations

from agentflow_bench.peers.environment import PEERS, Absent, python_of, versions
from agentflow_bench.peers.program import Metered, drive, figures_of, metered, plain_environment

__all__ = [
    "PEERS",
    "Absent",
    "Metered",
    "drive",
    "figures_of",
    "metered",
    "plain_environment",
    "python_of",
    "versions",
]
