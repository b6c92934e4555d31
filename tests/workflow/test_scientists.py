"""WF-9.9: co-scientists in workflow files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scripted_lab import ScriptedLab
from typer.testing import CliRunner

from agentflow._cli.app import make_app
from agentflow.errors import UserError
from agentflow.runtime import Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.tournament import Look, Make
from agentflow.tournament.scientist.lab import ROLES as REAL_ROLES
from agentflow.tournament.scientist.proximity import Proximity
from agentflow.workflow import LoadedWorkflow, WorkflowError, load
from agentflow.workflow.build import build_agents
from agentflow.workflow.tournaments import build_scientist
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow.tournament_models import RESEARCHERS, ROLES

HEAD = """agentflow: 1
inputs:
  what: {type: string, default: leek}
endpoints:
  e: {model: "scripted:script.yaml"}
  cheap: {model: "scripted:script.yaml"}
tools:
  find: {python: "lab:find"}
agents:
  botanist: {endpoint: e}
tournament:
  goal: "which {{ inputs.what }} is best?"
  k: 3
  max_matches: 60
  most_items: 20
"""
PLAIN = "  scientist: {endpoint: e}\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "lab.py").write_text(
        'def find(query: str) -> str:\n    """Find something."""\n    return query\n\n'
        "class Even:\n    def weigh(self, seen, chance):\n        return dict.fromkeys(seen.work, 1.0)\n"
    )
    (tmp_path / "leeks.txt").write_text("Leeks are long.\n")
    (tmp_path / "script.yaml").write_text("- {when: '.', text: '[\"Leek 59 is the best, they say.\"]'}\n")
    return tmp_path


def loaded(folder: Path, text: str) -> LoadedWorkflow:
    (folder / "lab.yaml").write_text(text)
    return load(folder / "lab.yaml", inputs={})


def faults(folder: Path, text: str) -> str:
    with pytest.raises(WorkflowError) as caught:
        loaded(folder, text)
    return "\n".join(str(problem) for problem in caught.value.problems)


def research(workflow: LoadedWorkflow) -> dict[str, Json]:
    """Let a scripted lab answer, on the virtual clock, and return the output."""
    lab = ScriptedLab().model
    workflow.endpoints |= {"cheap": lab}

    async def work() -> object:
        async with Runtime() as runtime:
            return (await runtime.run(workflow)).output

    return run_in(lambda: new_loop("virtual"), work())  # type: ignore[return-value]


@pytest.mark.parametrize("ending", ["html", "md", "svg", "json"])
def test_a_goal_in_words_becomes_a_report(here: Path, ending: str) -> None:
    """WF-9.9."""
    text = HEAD + "  scientist: {endpoint: cheap, formats: [aims], without: [monitor]}\n"
    report = research(loaded(here, text + f"  report: out.{ending}\n"))
    assert report["goal"] == "which leek is best?"
    assert report["plan"]["objective"] == "the best leek"  # type: ignore[index, call-overload]
    assert report["overview"]["summary"] == "Leeks are <b>good</b>."  # type: ignore[index, call-overload]
    assert report["formats"] == {"aims": "Aim 1: leeks."}
    assert report["best"]["item"]["title"].startswith("Leek ")  # type: ignore[index, call-overload, union-attr]
    assert set(report["work"]) == {"match", *RESEARCHERS} - {"monitor"}  # type: ignore[arg-type]
    written = (here / f"out.{ending}").read_text()
    assert "Leek " in written
    assert ("<svg" in written) == (ending in ("html", "svg"))


def test_hypotheses_are_given_and_workers_added(here: Path) -> None:
    """WF-9.9."""
    text = (
        HEAD
        + """  scientist: {endpoint: cheap, debates: false}
  items:
    - Leek 58 is the best of all.
    - {title: Leek 57, statement: Leek 57 is fine., sources: [a cook]}
  agents:
    literature: {kind: make, agent: botanist, prompt: "{{ goal }} {{ inputs.what }}"}
"""
    )
    report = research(loaded(here, text))
    found = {each["item"]["statement"]: each["item"]["method"] for each in report["ranking"]}  # type: ignore[index, union-attr, call-overload]
    assert found["Leek 58 is the best of all."] == "given"
    assert found["Leek 57 is fine."] == "given"
    assert found["Leek 59 is the best, they say."] == "literature"


def test_all_that_the_scientist_of_the_sdk_takes_may_be_said(here: Path) -> None:
    """WF-9.9."""
    text = (
        HEAD
        + """  concurrency: 3
  match_timeout: 20s
  stop_overlap: 0.7
  seed: 9
  supervisor: lab:Even
  scientist:
    endpoint: e
    roles: {ranking: cheap}
    plan: {objective: the best, criteria: [it is long]}
    documents: [leeks.txt]
    search: [find]
    embed: cheap
    same: 0.8
    turns: 4
    each_time: 2
    formats: [NIH aims]
    without: [deep, simulation]
"""
    )
    workflow = loaded(here, text)
    use = workflow.workflow.tournament
    assert use is not None
    build = build_agents(workflow.workflow, workflow.parsed, workflow.endpoints, workflow.tools, {})
    made = build_scientist("lab", use, here, build, workflow.endpoints, workflow.tools, {"what": "onion"})
    assert (made.goal, made.turns, made.each_time, made.same, made.k) == (
        "which onion is best?",
        4,
        2,
        0.8,
        3,
    )
    assert made.models == {"ranking": workflow.endpoints["cheap"]}
    assert made.embed is workflow.endpoints["cheap"]
    assert made.plan is not None
    assert made.plan.criteria == ["it is long"]
    assert made.documents == (here / "leeks.txt",)
    assert made.search == (workflow.tools["find"],)
    assert made.formats == ("NIH aims",)
    options = made._options
    assert (options["concurrency"], options["match_timeout"], options["seed"]) == (3, 20.0, 9)
    assert (options["max_matches"], options["most_items"], options["stop_overlap"]) == (60, 20, 0.7)
    agents = made._agents(Proximity(None, 0.9))
    assert set(agents) == set(RESEARCHERS) - {"deep", "simulation"}


def test_its_agents_and_roles_are_those_of_the_sdk(here: Path) -> None:
    """WF-9.9."""
    workflow = loaded(here, HEAD + PLAIN)
    use = workflow.workflow.tournament
    assert use is not None
    build = build_agents(workflow.workflow, workflow.parsed, workflow.endpoints, workflow.tools, {})
    made = build_scientist("lab", use, here, build, workflow.endpoints, workflow.tools, {"what": "leek"})
    kinds = {
        name: "make" if isinstance(agent, Make) else "look" if isinstance(agent, Look) else "study"
        for name, agent in made._agents(Proximity(None, 0.9)).items()
    }
    assert kinds == dict(RESEARCHERS)
    assert tuple(REAL_ROLES) == ROLES


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD, "it is exactly one of judge, scientist"),
        (HEAD + PLAIN + "  judge: botanist\n", "it is exactly one of judge, scientist"),
        (
            HEAD + PLAIN + "  generate: botanist\n",
            "`generate` does not belong to a tournament with scientist",
        ),
        (HEAD + "  scientist: {endpoint: a}\n", r"16:25: unknown endpoint `a`"),
        (
            HEAD + "  scientist: {endpoint: e, embed: cheep}\n",
            r"unknown endpoint `cheep`; .*did you mean `cheap`",
        ),
        (HEAD + "  scientist: {endpoint: e, roles: {ranking: f}}\n", r"16:45: unknown endpoint `f`"),
        (HEAD + "  scientist: {endpoint: e, roles: {rankin: e}}\n", "rankin"),
        (HEAD + "  scientist: {endpoint: e, search: fnd}\n", "unknown tool `fnd`; .*did you mean `find`"),
        (HEAD + "  scientist: {endpoint: e, without: [literatur]}\n", "did you mean `literature`"),
        (HEAD + "  scientist: {endpoint: e, documents: [leek.txt]}\n", r"16:40: no file `leek.txt`"),
        (HEAD + PLAIN + "  weights: {mtch: 1}\n", "did you mean `match`"),
        (
            HEAD + "  scientist: {endpoint: e, without: safety}\n  weights: {safety: 1}\n",
            "unknown worker `safety`",
        ),
        (HEAD + "  scientist: {endpoint: e, same: 2}\n", "same"),
        (
            HEAD.replace('"scripted:script.yaml"}\n  cheap', "openai:x}\n  cheap")
            + PLAIN
            + "limits: {money: 1}\n",
            "a money limit needs the price of endpoint `e`",
        ),
    ],
)
def test_what_is_wrong_is_told_at_load(here: Path, text: str, fault: str) -> None:
    """WF-9.9."""
    told = faults(here, text)
    assert re.search(fault, told), told


def test_what_is_no_hypothesis_is_told_when_it_runs(here: Path) -> None:
    """WF-9.9."""
    with pytest.raises(UserError, match="an item is no Hypothesis: statement: Field required"):
        research(loaded(here, HEAD + PLAIN + "  items: [{title: x}]\n"))


def test_the_example_finds_out_why_soup_is_better_on_the_second_day(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples/scientist.yaml"
    words = ["run", str(example), "--no-journal", "--virtual-time", "--quiet", "--json"]
    result = CliRunner().invoke(make_app(), [*words, "-i", f"report={tmp_path / 'leeks.html'}"])
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)["output"]
    assert output["best"] in ("Starch holds what the leek lost", "Leek sulphides mellow")
    assert output["overview"].startswith("A night sets the starch")
    assert set(output["refused"]) <= {"A pinch of hemlock", "It is the moon"}
    assert "<svg" in (tmp_path / "leeks.html").read_text()
