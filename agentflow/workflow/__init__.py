"""Workflow files: load one and run it like anything that the SDK builds.

Example:
    workflow = agentflow.workflow.load("kitchen.yaml")
    result = await runtime.run(workflow, {"meal": "leek soup"})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentflow.workflow.check import WorkflowError, check_workflow
from agentflow.workflow.inputs import input_from_text

if TYPE_CHECKING:
    from agentflow.workflow.batches import load_endpoints
    from agentflow.workflow.loaded import LoadedWorkflow, load

__all__ = ["LoadedWorkflow", "WorkflowError", "check_workflow", "input_from_text", "load", "load_endpoints"]


def __getattr__(name: str) -> object:
    """Import what builds agents only when it is asked for: `check` needs none of it."""
    if name in ("LoadedWorkflow", "load"):
        from agentflow.workflow import loaded as module

        return getattr(module, name)
    if name == "load_endpoints":
        from agentflow.workflow.batches import load_endpoints

        return load_endpoints
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
