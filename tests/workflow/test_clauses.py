"""Every clause of protocols/workflow.md is named by a test, and every clause that a test names is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from agentflow_protocols.schemas import SCHEMAS, schema_of

ROOT = Path(__file__).parents[2]
CLAUSE = re.compile(r"WF-(\d+)\.(\d+)(?: to WF-\1\.(\d+))?")


def _clauses(text: str) -> set[str]:
    found: set[str] = set()
    for section, first, last in CLAUSE.findall(text):
        found |= {f"WF-{section}.{n}" for n in range(int(first), int(last or first) + 1)}
    return found


def test_every_clause_has_a_test() -> None:
    written = (ROOT / "protocols" / "workflow.md").read_text(encoding="utf-8")
    clauses = set(re.findall(r"^- \*\*(WF-\d+\.\d+)\*\*", written, re.MULTILINE))
    tested: set[str] = set()
    for file in Path(__file__).parent.glob("test_*.py"):
        tested |= _clauses(file.read_text(encoding="utf-8")) if file.name != Path(__file__).name else set()
    assert len(clauses) >= 20
    assert tested == clauses


def test_the_published_schemas_are_those_of_the_models() -> None:
    published = ROOT / "protocols" / "schemas"
    for name in SCHEMAS:
        assert json.loads((published / f"{name}.schema.json").read_text(encoding="utf-8")) == schema_of(
            name
        ), f"write it anew: agentflow schema {name} > protocols/schemas/{name}.schema.json"
