"""Workflow files: their schema, their reader, and every fault with its position. Pure and sans-IO."""

from __future__ import annotations

from agentflow_protocols.workflow.checks import FREE_SCHEMES, LATER_SECTIONS
from agentflow_protocols.workflow.document import Document, Path, read_document, walk
from agentflow_protocols.workflow.dual_models import (
    DualUse,
    PolicySection,
    SlotSection,
    SlowSection,
    StaleSection,
)
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
from agentflow_protocols.workflow.plan_checks import (
    Raw,
    fallback_of,
    named_steps,
    plans_in,
    stand_in_fault,
    steps_of,
)
from agentflow_protocols.workflow.plan_models import NestedPlan, PlanUse, StepSection
from agentflow_protocols.workflow.problem import Problem, did_you_mean, one_of
from agentflow_protocols.workflow.review_checks import review_rounds, round_reviewers
from agentflow_protocols.workflow.review_models import (
    ExampleSection,
    ReviewerSection,
    ReviewUse,
    RoundSection,
    WhenSection,
)
from agentflow_protocols.workflow.secret import looks_secret
from agentflow_protocols.workflow.tournament_checks import tournament_workers
from agentflow_protocols.workflow.tournament_models import (
    JudgeSection,
    ScientistSection,
    TournamentUse,
    WorkerSection,
)

__all__ = [
    "FREE_SCHEMES",
    "LATER_SECTIONS",
    "AgentSection",
    "AgentUse",
    "BatchUse",
    "BudgetSection",
    "Document",
    "DualUse",
    "EndpointSection",
    "ExampleSection",
    "HttpTool",
    "InputSection",
    "JudgeSection",
    "LimitsSection",
    "NestedPlan",
    "OutputSection",
    "Parsed",
    "Path",
    "PlanUse",
    "PolicySection",
    "PriceSection",
    "Problem",
    "Raw",
    "Reader",
    "ReviewUse",
    "ReviewerSection",
    "RoundSection",
    "ScientistSection",
    "SettingsSection",
    "Shared",
    "SlotSection",
    "SlowSection",
    "StaleSection",
    "StepSection",
    "TeamUse",
    "TimeoutsSection",
    "TimerSection",
    "ToolSection",
    "TournamentUse",
    "WhenSection",
    "WorkerSection",
    "Workflow",
    "did_you_mean",
    "fallback_of",
    "fits",
    "looks_secret",
    "named_steps",
    "one_of",
    "parse_file",
    "parse_workflow",
    "plans_in",
    "read_document",
    "review_rounds",
    "round_reviewers",
    "stand_in_fault",
    "steps_of",
    "tournament_workers",
    "walk",
]
