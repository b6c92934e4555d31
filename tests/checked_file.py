"""A workflow file that is checked: each fault has its place, and what is accepted fits the schema."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agentflow.tools import schema_faults
from agentflow.workflow import check_workflow
from agentflow_protocols.chat import Json
from agentflow_protocols.schemas import schema_of

__all__ = ["checked_file"]

SCHEMA = schema_of("workflow")


def checked_file(document: Json, beside: Mapping[str, str]) -> list[str]:
    """Check a document with files beside it; return what was wrong, after a look at how it was told."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.yaml"
        path.write_text(json.dumps(document, indent=1))
        for name, text in beside.items():
            (Path(folder) / name).write_text(text)
        parsed = check_workflow(path)
        lines = path.read_text().splitlines()
    for problem in parsed.problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert "\n" not in problem.message
    if not parsed.problems:
        assert schema_faults(document, SCHEMA) == []
    return [str(problem) for problem in parsed.problems]
