"""Plans: graphs of steps, written by people or models, checked, scheduled and run."""

from __future__ import annotations

from agentflow.plan.graph import Graph, Slot
from agentflow.plan.live import LivePlan
from agentflow.plan.methods import METHODS, Method, method_of
from agentflow.plan.outputs import Outputs
from agentflow.plan.plan import Plan
from agentflow.plan.planner import Answer, Planned, Planner
from agentflow.plan.states import Bar
from agentflow.plan.step import Step

__all__ = [
    "METHODS",
    "Answer",
    "Bar",
    "Graph",
    "LivePlan",
    "Method",
    "Outputs",
    "Plan",
    "Planned",
    "Planner",
    "Slot",
    "Step",
    "method_of",
]
