"""Experiments: prompto's records in and out, and what agentflow adds to them. Pure and sans-IO."""

from __future__ import annotations

from agentflow_protocols.experiment.apis import APIS, Api, Variable, api_of, variable_suffix, variables
from agentflow_protocols.experiment.ask import Ask, ask_of
from agentflow_protocols.experiment.check import SAFETY_FILTERS, doubts, problems
from agentflow_protocols.experiment.completed import (
    TIMESTAMP,
    Completed,
    completed,
    completed_of,
    error_text,
    is_error_text,
    read_completed,
)
from agentflow_protocols.experiment.judge import judge_lines, judge_settings, template_name
from agentflow_protocols.experiment.line import DEEPEST, read_line, to_line
from agentflow_protocols.experiment.media import Media, MediaKind, data_url, with_media
from agentflow_protocols.experiment.missing import needs_asking
from agentflow_protocols.experiment.problem import ExperimentError, Problem
from agentflow_protocols.experiment.queues import queue_of, rate_of, rate_problems
from agentflow_protocols.experiment.record import ADDED, Record, Values, is_output
from agentflow_protocols.experiment.rephrase import (
    PARSERS,
    original_line,
    post_rephrase_lines,
    rephrase_lines,
    rephrase_settings,
    rephrase_templates,
    split_numbered_list,
)
from agentflow_protocols.experiment.row import read_row, to_row
from agentflow_protocols.experiment.scorer import SCORERS, Scorer, scorer

__all__ = [
    "ADDED",
    "APIS",
    "DEEPEST",
    "PARSERS",
    "SAFETY_FILTERS",
    "SCORERS",
    "TIMESTAMP",
    "Api",
    "Ask",
    "Completed",
    "ExperimentError",
    "Media",
    "MediaKind",
    "Problem",
    "Record",
    "Scorer",
    "Values",
    "Variable",
    "api_of",
    "ask_of",
    "completed",
    "completed_of",
    "data_url",
    "doubts",
    "error_text",
    "is_error_text",
    "is_output",
    "judge_lines",
    "judge_settings",
    "needs_asking",
    "original_line",
    "post_rephrase_lines",
    "problems",
    "queue_of",
    "rate_of",
    "rate_problems",
    "read_completed",
    "read_line",
    "read_row",
    "rephrase_lines",
    "rephrase_settings",
    "rephrase_templates",
    "scorer",
    "split_numbered_list",
    "template_name",
    "to_line",
    "to_row",
    "variable_suffix",
    "variables",
    "with_media",
]
