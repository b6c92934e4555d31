"""Plans: graphs of steps, written by people or models, checked, scheduled and run."""

from __future__ import annotations

from agentflow.plan.graph import Graph, Slot
from agentflow.plan.live import LivePlan
from agentflow.plan.outputs import Outputs
from agentflow.plan.plan import Plan
from agentflow.plan.states import Bar
from agentflow.plan.step import Step

__all__ = ["Bar", "Graph", "LivePlan", "Outputs", "Plan", "Slot", "Step"]
