"""Batches in workflow files, and endpoints for the batch command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import agentflow
from agentflow import UserError
from agentflow._cli import run_command
from agentflow.testing import LoopbackServer
from agentflow.workflow import check_workflow, load
from agentflow_protocols.chat import Json
from tests.batch.conftest import Lab, asks

FILE = """\
agentflow: 1
name: quiz
inputs: {file: {default: quiz.jsonl}}
endpoints: {main: {model: "scripted:replies.yaml", concurrency: 1}}
batch: {file: "{{ inputs.file }}", endpoint: main, output: out.jsonl, in_order: true, scorers: [includes]}
"""


def test_a_workflow_runs_a_batch(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(FILE)
    (tmp_path / "replies.yaml").write_text("- {text: one}\n- {text: two}\n")
    rows = [{"id": n, "prompt": "x", "expected_response": "o"} for n in range(2)]
    (tmp_path / "quiz.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    output = agentflow.run(load(tmp_path / "w.yaml"), {}).output
    assert isinstance(output, dict)
    assert output["answered"] == 2
    assert [json.loads(line)["includes"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        True
    ] * 2
    assert (tmp_path / "out-in-order.jsonl").exists()


def test_its_output_may_be_a_template(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(FILE + 'output: "{{ output.answered }} by {{ inputs.file }}"\n')
    (tmp_path / "replies.yaml").write_text("- {text: one}\n")
    (tmp_path / "quiz.jsonl").write_text('{"prompt": "x", "expected_response": "o"}\n')
    assert agentflow.run(load(tmp_path / "w.yaml"), {}).output == "1 by quiz.jsonl"


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        ("{file: x.jsonl, endpoint: mian}", "did you mean `main`?"),
        ("{endpoint: main}", "file"),
        ("{file: x.jsonl, output: a, data_folder: b}", "not both"),
        ("{file: x.jsonl, max_queries: 0}", "max_queries"),
        ("{file: x.jsonl, scorer: [match]}", "scorer"),
        ('{file: "{{ inputs.fiel }}"}', "did you mean `file`?"),
    ],
)
def test_faults_have_their_place(tmp_path: Path, batch: str, told: str) -> None:
    (tmp_path / "replies.yaml").write_text("- {text: one}\n")
    lines = FILE.splitlines()
    (tmp_path / "w.yaml").write_text("\n".join([*lines[:-1], f"batch: {batch}"]) + "\n")
    (problem, *_) = check_workflow(tmp_path / "w.yaml").problems
    assert told in problem.message
    assert problem.line == 5


def test_endpoints_of_a_file(lab: Lab, server: LoopbackServer) -> None:
    with LoopbackServer("special") as special, LoopbackServer("grouped") as grouped:
        (lab.folder / "e.yaml").write_text(
            "agentflow: 1\n"
            "endpoints:\n"
            f'  one: {{model: "openai:special", base_url: "{special.url}", price: {{input: 1, output: 2}}}}\n'
            '  all: {model: "openai:*", concurrency: 2, settings: {temperature: 0}}\n'
            f'  slow: {{model: "openai:*", base_url: "{grouped.url}", requests_per_minute: 600}}\n'
        )
        file = lab.write(asks(1), {**asks(2), "model_name": "special"}, asks(3, group="slow"))
        status, _ = lab.run(file, "--endpoints", "e.yaml")
        assert status == 0
    lines = {line["id"]: line for line in lab.lines()}
    assert {key: line["response"] for key, line in lines.items()} == {1: "WORD 1", 2: "special", 3: "grouped"}
    assert isinstance(lines[2]["cost"], float)
    assert lines[1]["cost"] is None
    (asked,) = server.requests
    assert asked.body["temperature"] == 0
    assert asked.headers["authorization"] == "Bearer test-key"


def test_a_budget_of_an_endpoint(lab: Lab, server: LoopbackServer) -> None:
    (lab.folder / "e.yaml").write_text('endpoints: {all: {model: "openai:*", budget: {tokens: 100}}}\n')
    parameters: dict[str, Json] = {"max_tokens": 5}
    file = lab.write(*(asks(n, parameters=parameters) for n in range(50)))
    _, summary = lab.run(file, "--endpoints", "e.yaml")
    assert 0 < int(str(summary["answered"])) < 50
    assert int(str(summary["tokens"])) <= 100


def test_a_file_of_endpoints_that_is_wrong(lab: Lab, server: LoopbackServer) -> None:
    (lab.folder / "e.yaml").write_text("endpoints: {all: {modle: x}}\n")
    assert lab.run(lab.write(asks(1)), "--endpoints", "e.yaml")[0] == 2
    assert "e.yaml:1:" in lab.said
    assert lab.run(lab.write(asks(1)), "--endpoints", "none.yaml")[0] == 2
    assert "none.yaml" in lab.said
    assert not server.requests


def test_the_schema_of_a_line_is_printed(lab: Lab) -> None:
    assert run_command(["schema", "experiment"]) == 0
    schema = json.loads(lab.read()[0])
    assert schema["required"] == ["prompt", "api"]


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(FILE.replace("default: quiz.jsonl", "type: integer, default: 5"))
    (tmp_path / "replies.yaml").write_text("- {text: one}\n")
    with pytest.raises(UserError, match=r"batch\.file"):
        agentflow.run(load(tmp_path / "w.yaml"), {})
