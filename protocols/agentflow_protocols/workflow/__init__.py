"""Workflow files: their schema, their reader, and every fault with its position. Pure and sans-IO."""

from __future__ import annotations

from agentflow_protocols.workflow.checks import FREE_SCHEMES, LATER_SECTIONS
from agentflow_protocols.workflow.document import Document, Path, read_document, walk
from agentflow_protocols.workflow.models import (
    AgentSection,
    AgentUse,
    BatchUse,
    BudgetSection,
    EndpointSection,
    HttpTool,
    InputSection,
    LimitsSection,
    OutputSection,
    PriceSection,
    SettingsSection,
    Shared,
    TeamUse,
    TimeoutsSection,
    TimerSection,
    ToolSection,
    Workflow,
    fits,
)
from agentflow_protocols.workflow.parse import Parsed, Reader, parse_file, parse_workflow
from agentflow_protocols.workflow.problem import Problem, did_you_mean, one_of
from agentflow_protocols.workflow.secret import looks_secret

__all__ = [
    "FREE_SCHEMES",
    "LATER_SECTIONS",
    "AgentSection",
    "AgentUse",
    "BatchUse",
    "BudgetSection",
    "Document",
    "EndpointSection",
    "HttpTool",
    "InputSection",
    "LimitsSection",
    "OutputSection",
    "Parsed",
    "Path",
    "PriceSection",
    "Problem",
    "Reader",
    "SettingsSection",
    "Shared",
    "TeamUse",
    "TimeoutsSection",
    "TimerSection",
    "ToolSection",
    "Workflow",
    "did_you_mean",
    "fits",
    "looks_secret",
    "one_of",
    "parse_file",
    "parse_workflow",
    "read_document",
    "walk",
]
