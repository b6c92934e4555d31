"""Experiments: prompts in a file, asked of rate-limited endpoints, answers in a file."""

from __future__ import annotations

from agentflow.batch.apis import Environment
from agentflow.batch.batch import Batch, Endpoints
from agentflow.batch.chain import Chain, JudgeFiles, RephraseFiles
from agentflow.batch.check import check_experiment
from agentflow.batch.missing import write_missing
from agentflow.batch.options import BatchOptions
from agentflow.batch.report import BatchReport
from agentflow.batch.watch import Watch

__all__ = [
    "Batch",
    "BatchOptions",
    "BatchReport",
    "Chain",
    "Endpoints",
    "Environment",
    "JudgeFiles",
    "RephraseFiles",
    "Watch",
    "check_experiment",
    "write_missing",
]
