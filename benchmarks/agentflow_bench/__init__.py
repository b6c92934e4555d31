"""Measures of agentflow, their runner and report: `agentflow bench SUITE`."""

from __future__ import annotations

from agentflow_bench.measure import Bar, Figure, Measure, Setting, Skipped, Suite
from agentflow_bench.runner import run_suite
from agentflow_bench.timing import Contest, interleave

__all__ = [
    "Bar",
    "Contest",
    "Figure",
    "Measure",
    "Setting",
    "Skipped",
    "Suite",
    "interleave",
    "run_suite",
]
