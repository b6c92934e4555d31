"""Asynchronous LLM agents whose function calls run beside the model.

Names only: each is imported from its module when it is first used, so that
`import agentflow` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentflow._version import __version__

if TYPE_CHECKING:
    from agentflow.agent import Agent, JsonSchema
    from agentflow.batch import Batch, BatchOptions, BatchReport
    from agentflow.dual import Brief, DualProcess, Now, Slow, Update
    from agentflow.endpoints import Endpoint, Price, Retry, Timeouts
    from agentflow.environment import Environment, InvalidAction
    from agentflow.errors import (
        AgentflowError,
        EndpointError,
        LimitExceeded,
        PlanFailed,
        RunError,
        ToolFailed,
        ToolRetry,
        UserError,
    )
    from agentflow.main import run
    from agentflow.plan import Outputs, Plan, Step
    from agentflow.runtime import Context, Limits, Result, Run, Runtime, Timer
    from agentflow.team import Team
    from agentflow.tools import Progress, Tool, tool
    from agentflow_protocols.chat import FilePart, ImagePart, Message, Settings, TextPart, Usage
    from agentflow_protocols.trace import (
        Event,
        Interrupted,
        ModelFinished,
        TextDelta,
        ToolCalled,
        ToolFinished,
        ToolProgress,
    )

__all__ = [
    "Agent",
    "AgentflowError",
    "Batch",
    "BatchOptions",
    "BatchReport",
    "Brief",
    "Context",
    "DualProcess",
    "Endpoint",
    "EndpointError",
    "Environment",
    "Event",
    "FilePart",
    "ImagePart",
    "Interrupted",
    "InvalidAction",
    "JsonSchema",
    "LimitExceeded",
    "Limits",
    "Message",
    "ModelFinished",
    "Now",
    "Outputs",
    "Plan",
    "PlanFailed",
    "Price",
    "Progress",
    "Result",
    "Retry",
    "Run",
    "RunError",
    "Runtime",
    "Settings",
    "Slow",
    "Step",
    "Team",
    "TextDelta",
    "TextPart",
    "Timeouts",
    "Timer",
    "Tool",
    "ToolCalled",
    "ToolFailed",
    "ToolFinished",
    "ToolProgress",
    "ToolRetry",
    "Update",
    "Usage",
    "UserError",
    "__version__",
    "run",
    "tool",
]

_HOMES = {
    "agentflow.agent": ("Agent", "JsonSchema"),
    "agentflow.batch": ("Batch", "BatchOptions", "BatchReport"),
    "agentflow.dual": ("Brief", "DualProcess", "Now", "Slow", "Update"),
    "agentflow.endpoints": ("Endpoint", "Price", "Retry", "Timeouts"),
    "agentflow.environment": ("Environment", "InvalidAction"),
    "agentflow.errors": (
        "AgentflowError",
        "EndpointError",
        "LimitExceeded",
        "PlanFailed",
        "RunError",
        "ToolFailed",
        "ToolRetry",
        "UserError",
    ),
    "agentflow.main": ("run",),
    "agentflow.plan": ("Outputs", "Plan", "Step"),
    "agentflow.runtime": ("Context", "Limits", "Result", "Run", "Runtime", "Timer"),
    "agentflow.team": ("Team",),
    "agentflow.tools": ("Progress", "Tool", "tool"),
    "agentflow_protocols.chat": ("FilePart", "ImagePart", "Message", "Settings", "TextPart", "Usage"),
    "agentflow_protocols.trace": (
        "Event",
        "Interrupted",
        "ModelFinished",
        "TextDelta",
        "ToolCalled",
        "ToolFinished",
        "ToolProgress",
    ),
}


def __getattr__(name: str) -> object:
    import importlib

    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(importlib.import_module(home), name)
            return value
    raise AttributeError(f"module 'agentflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
