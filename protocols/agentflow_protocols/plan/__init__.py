"""Plans as text (`protocols/plan.md`): steps with durations and a graph, as models read and write them."""

from __future__ import annotations

from agentflow_protocols.plan.check import faults, total
from agentflow_protocols.plan.document import (
    PLAN_SCHEMA,
    TITLES,
    checked,
    encode_plan,
    from_json,
    parse_plan,
    read_json,
    to_json,
)
from agentflow_protocols.plan.forms import FORMS, Form, encode_graph, form_in, parse_graph
from agentflow_protocols.plan.lines import PlanLine, PlanLines
from agentflow_protocols.plan.stand_ins import stand_in_faults, stand_in_order
from agentflow_protocols.plan.steps import encode_lines, encode_steps, parse_steps
from agentflow_protocols.plan.text import (
    END,
    START,
    PlanFault,
    PlanStep,
    PlanText,
    PlanTextError,
    tidy,
)

__all__ = [
    "END",
    "FORMS",
    "PLAN_SCHEMA",
    "START",
    "TITLES",
    "Form",
    "PlanFault",
    "PlanLine",
    "PlanLines",
    "PlanStep",
    "PlanText",
    "PlanTextError",
    "checked",
    "encode_graph",
    "encode_lines",
    "encode_plan",
    "encode_steps",
    "faults",
    "form_in",
    "from_json",
    "parse_graph",
    "parse_plan",
    "parse_steps",
    "read_json",
    "stand_in_faults",
    "stand_in_order",
    "tidy",
    "to_json",
    "total",
]
