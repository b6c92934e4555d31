"""The vectors of protocols/experiment.md, and that each of its clauses has a vector or a test."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from agentflow_protocols.experiment import (
    PARSERS,
    Completed,
    ExperimentError,
    Problem,
    Record,
    ask_of,
    completed,
    judge_lines,
    judge_settings,
    needs_asking,
    post_rephrase_lines,
    problems,
    queue_of,
    rate_of,
    read_completed,
    read_line,
    read_row,
    rephrase_lines,
    rephrase_settings,
    rephrase_templates,
    scorer,
    split_numbered_list,
    to_line,
    to_row,
    variables,
)

ROOT = Path(__file__).parents[2]
VECTORS = [
    json.loads(line)
    for file in sorted((ROOT / "protocols" / "vectors").glob("experiment-*.jsonl"))
    for line in file.read_text(encoding="utf-8").splitlines()
]


def of(kind: str) -> pytest.MarkDecorator:
    found = [pytest.param(vector, id=vector["name"]) for vector in VECTORS if vector["kind"] == kind]
    assert found
    return pytest.mark.parametrize("vector", found)


def in_order(values: object) -> str:
    """Return JSON in which the order of keys shows."""
    return json.dumps(values)


@of("line")
def test_lines(vector):
    raw = base64.b64decode(vector["base64"]) if "base64" in vector else vector["text"].encode()
    found = read_line(raw, 7, first=vector.get("first", False))
    if vector.get("blank"):
        assert found is None
    elif "problem" in vector:
        assert isinstance(found, Problem)
        assert vector["problem"] in found.message
        assert str(found).startswith("line 7: ")
    else:
        assert isinstance(found, Record)
        if "values" in vector:
            assert in_order(found.values) == in_order(vector["values"])
        assert list(found.notes) == vector.get("notes", [])
        if "written" in vector:
            assert to_line(found.values) == vector["written"].encode()


@of("row")
def test_rows(vector):
    found = read_row(vector["header"], vector["cells"], 7)
    if vector.get("blank"):
        assert found is None
    elif "problem" in vector:
        assert isinstance(found, Problem)
        assert vector["problem"] in found.message
    else:
        assert isinstance(found, Record)
        assert in_order(found.values) == in_order(vector["values"])
        assert to_row(found.values, vector["header"]) == vector.get("again", vector["cells"])


@of("same")
def test_hashes(vector):
    def hashed(line: str) -> str:
        record = read_line(line.encode(), 1)
        assert isinstance(record, Record)
        return record.hash

    hashes = {hashed(line) for line in vector["lines"]}
    assert len(hashes) == 1
    assert len(hashes | {hashed(line) for line in vector["other"]}) == 1 + len(vector["other"])
    assert vector.get("hash", *hashes) in hashes


@of("ask")
def test_what_is_asked(vector):
    record, want = Record(1, vector["values"]), vector["ask"]
    assert [problem for problem in problems(record) if record.api != "test"] == []
    ask = ask_of(record)
    assert (ask.api, ask.model) == (record.api, record.model)
    assert [[message.to_json() for message in turn] for turn in ask.turns] == want["turns"]
    assert ask.settings.extra == want.get("extra")
    assert ask.mode == want.get("mode", "chat")
    assert ask.samples == want.get("samples", 1)
    assert [[media.kind, media.path, media.media_type] for media in ask.media] == want.get("media", [])
    assert ask.as_list == want.get("as_list", False)


@of("problems")
def test_problems(vector):
    record, want = Record(1, vector["values"]), vector["problems"]
    found = problems(record)
    assert len(found) == len(want), found
    for problem, words in zip(found, want, strict=True):
        assert words in problem
        assert "\n" not in problem
    if vector.get("askable"):
        ask_of(record)
    else:
        with pytest.raises(ExperimentError) as error:
            ask_of(record)
        assert str(error.value) == found[0]


@of("completed")
def test_completed_lines(vector):
    out = completed(vector["values"], vector["added"])
    assert in_order(out) == in_order(vector["line"])


@of("read")
def test_completed_lines_read(vector):
    found = read_completed(to_line(vector["line"]), 1)
    assert isinstance(found, Completed)
    assert in_order(found.values) == in_order(vector["values"])
    assert found.failed == vector["failed"]
    assert found.whole == vector["line"]
    assert found.record.hash == Record(1, vector["values"]).hash


@of("queue")
def test_queues(vector):
    record = Record(1, vector["values"])
    queue = queue_of(record, parallel=True, rates=vector["rates"])
    assert queue == vector["queue"]
    assert rate_of(queue, vector["rates"], vector["most"]) == vector["rate"]
    alone = queue_of(record, parallel=False, rates=vector["rates"])
    assert rate_of(alone, vector["rates"], vector["most"]) == vector["most"]


@of("judge")
def test_judges(vector):
    lines = judge_lines(vector["values"], vector["templates"], judge_settings(vector["settings"]))
    assert in_order(list(lines)) == in_order(vector["lines"])


@of("rephrase")
def test_rephrasers(vector):
    models = rephrase_settings(vector["settings"])
    lines = rephrase_lines(vector["values"], rephrase_templates(vector["templates"]), models)
    assert in_order(list(lines)) == in_order(vector["lines"])


@of("after")
def test_what_comes_of_a_rephrasing(vector):
    found = read_completed(to_line(vector["line"]), 1)
    assert isinstance(found, Completed)
    parser = PARSERS[vector["parser"]] if vector["parser"] else None
    assert in_order(list(post_rephrase_lines(found, parser))) == in_order(vector["lines"])


@of("list")
def test_numbered_lists(vector):
    assert split_numbered_list(vector["text"]) == vector["items"]


@of("score")
def test_scores(vector):
    score = scorer(vector["scorer"])
    if "error" in vector:
        with pytest.raises(ExperimentError, match=vector["error"]):
            score(vector["values"])
    else:
        assert score(vector["values"]) is vector["score"]


@of("missing")
def test_missing(vector):
    done = [read_completed(to_line(line), 1) for line in vector["done"]]
    records = [Record(place, line) for place, line in enumerate(vector["lines"])]
    assert [record.line for record in needs_asking(records, done, by=vector["by"])] == vector["missing"]


@of("variables")
def test_variables(vector):
    assert list(variables(vector["api"], vector["what"], vector["model"])) == vector["names"]


def test_every_clause_is_tested_and_no_other_is_named():
    page = (ROOT / "protocols" / "experiment.md").read_text(encoding="utf-8")
    written = set(re.findall(r"^- \*\*(EX-\d+\.\d+)\*\*", page, re.MULTILINE))
    tested = {vector["clause"] for vector in VECTORS}
    for file in (ROOT / "tests").rglob("test_*.py"):
        tested |= set(re.findall(r"\bEX-\d+\.\d+\b", file.read_text(encoding="utf-8")))
    assert len(written) >= 40
    assert tested == written
