"""Every clause of protocols/asynclm.md is named by a test or shown by a vector, and none else is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

from agentflow_protocols.cml.states import STATES, TRANSCRIPT, drawn

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "protocols" / "asynclm.md").read_text(encoding="utf-8")
CLAUSE = re.compile(r"AL-(\d+)\.(\d+)(?: to AL-\1\.(\d+))?")
SESSION = re.compile(r"AL-(7\.\d+|8\.[1-3])")


def _named(text: str) -> set[str]:
    found: set[str] = set()
    for section, first, last in CLAUSE.findall(text):
        found |= {f"AL-{section}.{n}" for n in range(int(first), int(last or first) + 1)}
    return found


def _written() -> set[str]:
    return set(re.findall(r"^- \*\*(AL-\d+\.\d+)\*\*", PAGE, re.MULTILINE))


def _tested() -> set[str]:
    lines = (ROOT / "protocols" / "vectors" / "asynclm.jsonl").read_text(encoding="utf-8").splitlines()
    tested = {"AL-5.10"} | {json.loads(line)["clause"] for line in lines}
    for file in (ROOT / "tests").rglob("test_*.py"):
        if file != Path(__file__):
            tested |= _named(file.read_text(encoding="utf-8"))
    return tested


def test_every_clause_of_the_markup_is_tested_and_no_other_is_named():
    written, tested = _written(), _tested()
    assert len(written) >= 40
    assert tested <= written
    assert {clause for clause in written - tested if SESSION.fullmatch(clause) is None} == set()


def test_every_clause_that_a_session_keeps_is_tested():
    assert {clause for clause in _written() - _tested() if SESSION.fullmatch(clause)} == set()


def test_the_state_table_of_the_page_is_the_reader_s():
    """AL-5.10."""
    between = PAGE.partition("<!-- states -->\n")[2].partition("\n<!-- /states -->")[0]
    assert between == drawn(), "print it anew: see the line below the table"


def test_the_state_table_is_whole():
    """Each state of a block answers each control token, and each way leads to a state that is there."""
    for name, row in {**STATES, **TRANSCRIPT}.items():
        if name != "reasoning":
            assert {"call", "head", "end", "intr", "trap", "stop"} <= row.keys(), name
        for state, _action in row.values():
            assert state in STATES or state in TRANSCRIPT
