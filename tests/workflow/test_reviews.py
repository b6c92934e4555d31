"""WF-8.1 to WF-8.8: reviews in workflow files."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from agentflow.errors import RunError, UserError
from agentflow.runtime import Limits, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow.workflow import WorkflowError, load
from agentflow_protocols.chat import Json

RECORDS = """\
id,title,abstract,pots
leeks,Leek soup in the long run,We boil leeks in a red pot.,3
bread,A history of bread,Ovens.,0
broth,Broth,"A soup, or nearly.",1
"""
SOUP = """\
- {when: "(?i)title.*soup", text: '{"reasoning": "Soup.", "score": 5}'}
- {when: "(?i)soup", text: '{"reasoning": "Nearly.", "score": 3}'}
- {when: ".", text: '{"reasoning": "No soup.", "score": 1}'}
"""
SENIOR = """\
- {when: "nearly.* 3", text: "yes"}
- {when: ".", text: "no"}
"""
FACTS = """\
- {when: "red pot", text: '{"pot": "red"}'}
- {when: ".", text: '{"pot": null}'}
"""
FUNCTIONS = """
from agentflow.review import Record, Row
from pathlib import Path

broken = set()
log = Path(__file__).with_name("asked.txt")

async def counts(context, record: Record, votes):
    with log.open("a") as file:
        file.write(record.id + "\\n")
    if record.id in broken:
        raise ValueError("no pots at all")
    return {"score": int(record.fields["pots"]), "seen": sorted(votes)}

def many(row: Row) -> bool:
    return int(row.record.fields["pots"]) > 1

def plain(context, record, votes):
    return 3

async def waits(row):
    return True

number = 3
"""
HEAD = """\
agentflow: 1
inputs:
  topic: {type: string, default: soup}
  file: {type: string, default: records.csv}
endpoints:
  soup: {model: "scripted:soup.yaml"}
  senior: {model: "scripted:senior.yaml"}
  facts: {model: "scripted:facts.yaml"}
agents:
  senior: {endpoint: senior, instructions: You decide.}
"""
REVIEW = """\
review:
  records: records.csv
  output: out.csv
  reviewers:
    ann: {kind: title_abstract, endpoint: soup, include: "It is about {{ inputs.topic }}."}
    ben: {kind: title_abstract, endpoint: soup, include: Soup., fields: title}
    cid: {agent: senior, prompt: "{{ record.abstract }} {{ votes.screening.ann.score }}"}
    dot: {kind: abstraction, endpoint: facts, wanted: {pot: The pot's colour.}}
  rounds:
    - {name: screening, reviewers: [ann, ben]}
    - {name: senior, reviewers: cid, when: {disagreement: screening}, sees_votes: true}
    - {name: facts, reviewers: dot, when: {scored: {round: screening, at_least: 4}}}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "records.csv").write_text(RECORDS)
    (tmp_path / "soup.yaml").write_text(SOUP)
    (tmp_path / "senior.yaml").write_text(SENIOR)
    (tmp_path / "facts.yaml").write_text(FACTS)
    (tmp_path / "looks.py").write_text(FUNCTIONS)
    return tmp_path


def review(folder: Path, text: str, journal: bool = False, **inputs: Json) -> dict[str, Json]:
    """Do the review of a file on the virtual clock and return its output."""
    (folder / "review.yaml").write_text(text)
    workflow = load(folder / "review.yaml", inputs=inputs)

    async def work() -> Json:
        async with Runtime(folder / "runs.db" if journal else None) as runtime:
            return (await runtime.run(workflow, key="review" if journal else None)).output

    output = run_in(lambda: new_loop("virtual"), work())
    assert isinstance(output, dict)
    return output


def faults(folder: Path, text: str) -> str:
    (folder / "review.yaml").write_text(text)
    with pytest.raises(WorkflowError) as caught:
        load(folder / "review.yaml")
    return "\n".join(str(problem) for problem in caught.value.problems)


def votes_of(report: dict[str, Json]) -> dict[str, Json]:
    return {row["id"]: row["votes"] for row in report["rows"]}  # type: ignore[index, union-attr, call-overload, misc]


def of_function(when: str = "all", more: str = "", function: str = "looks:counts") -> str:
    """Return a review of one round by a function, and a second one for some rows."""
    return HEAD + (
        f"review:\n  records: records.csv\n{more}"
        f"  reviewers: {{eve: {{function: {function!r}}}, fay: {{function: 'looks:counts'}}}}\n"
        "  rounds:\n    - {name: first, reviewers: eve}\n"
        f"    - {{name: second, reviewers: fay, when: {when}, sees_votes: true}}\n"
    )


def test_a_table_is_reviewed_in_rounds_and_written(here: Path) -> None:
    """WF-8.1, WF-8.2, WF-8.3, WF-8.4, WF-8.7."""
    report = review(here, HEAD + REVIEW)
    votes = votes_of(report)
    assert votes["leeks"]["facts"] == {"dot": {"pot": "red"}}  # type: ignore[index, call-overload]
    assert list(votes["bread"]) == ["screening"]  # type: ignore[arg-type]
    assert votes["broth"]["senior"] == {"cid": "yes"}  # type: ignore[index, call-overload]
    assert report["records"] == 3
    assert report["faults"] == {}
    rounds = report["rounds"]
    assert {name: each["rows"] for name, each in rounds.items()} == {  # type: ignore[index, union-attr, call-overload]
        "screening": 3, "senior": 1, "facts": 1,
    }  # fmt: skip
    ann = rounds["screening"]["reviewers"]["ann"]  # type: ignore[index, call-overload]
    assert (ann["looks"], ann["failed"], ann["requests"], ann["cost"]) == (3, 0, 3, 0.0)  # type: ignore[index, call-overload]
    with open(here / "out.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == [
        *("id", "title", "abstract", "pots", "screening_ann_reasoning", "screening_ann_score"),
        *("screening_ben_reasoning", "screening_ben_score", "senior_cid", "facts_dot_pot"),
    ]
    assert [row["screening_ann_score"] for row in table] == ["5", "1", "3"]
    assert [row["senior_cid"] for row in table] == ["", "", "yes"]
    assert json.loads(json.dumps(report)) == report


def test_files_are_named_by_inputs_and_records_by_a_field(here: Path) -> None:
    """WF-8.1, WF-8.7."""
    (here / "other.jsonl").write_text('{"key": "a", "pots": 2}\n{"key": "b", "pots": 0}\n')
    more = "  id_field: key\n  output: 'out-{{ inputs.topic }}.jsonl'\n  concurrency: 1\n"
    text = of_function(more=more).replace("records: records.csv", 'records: "{{ inputs.file }}"')
    report = review(here, text, file="other.jsonl")
    assert list(votes_of(report)) == ["a", "b"]
    lines = (here / "out-soup.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["votes"]["second"] == {"fay": {"score": 2, "seen": ["first/eve"]}}
    assert report["output"] == str(here / "out-soup.jsonl")
    numbered = review(here, text.replace("id_field: key", "id_field: null"), file="other.jsonl")
    assert list(votes_of(numbered)) == ["r1", "r2"]


def test_reviewers_of_each_kind(here: Path) -> None:
    """WF-8.2: a score of a scale, a decision, and examples that are told."""
    (here / "score.yaml").write_text('- {when: ".", text: \'{"reasoning": "x", "score": 2}\'}\n')
    (here / "decide.yaml").write_text(
        """- {when: "(?i)soup", text: '{"reasoning": "x", "decision": "in"}'}\n"""
        """- {when: ".", text: '{"reasoning": "x", "decision": "out"}'}\n"""
    )
    text = HEAD.replace(
        "endpoints:\n",
        "endpoints:\n  score: {model: 'scripted:score.yaml'}\n  decide: {model: 'scripted:decide.yaml'}\n",
    )
    report = review(
        here,
        text
        + """\
review:
  records: records.csv
  reviewers:
    gus:
      kind: decision
      endpoint: decide
      task: In or out?
      options: {in: It is about soup., out: It is not.}
      background: Soup is {{ inputs.topic }}.
      examples: [{record: {title: Stew}, vote: {reasoning: No soup., decision: out}}]
    hal: {kind: scoring, endpoint: score, task: How well is it written?, scale: {1: poor, 2: fine}}
  rounds:
    - {name: choice, reviewers: gus}
    - {name: marks, reviewers: hal, when: {decided: {round: choice, is: in}}}
""",
    )
    votes = votes_of(report)
    assert votes["leeks"]["marks"] == {"hal": {"reasoning": "x", "score": 2}}  # type: ignore[index, call-overload]
    assert votes["bread"] == {"choice": {"gus": {"reasoning": "x", "decision": "out"}}}


@pytest.mark.parametrize(
    ("when", "entered"),
    [
        ("all", ["leeks", "bread", "broth"]),
        ("{function: 'looks:many'}", ["leeks"]),
        ("{disagreement: first}", ["leeks"]),
        ("{disagreement: {round: first, threshold: 1}}", ["broth"]),
        ("{scored: {round: first, at_least: 1}}", ["leeks", "broth"]),
        ('"{{ votes.first.eve.score == 0 }}"', ["bread"]),
        ("\"{{ record.title.startswith('B') and id != inputs.topic }}\"", ["broth"]),
    ],
)
def test_who_enters_a_round(here: Path, when: str, entered: list[str]) -> None:
    """WF-8.5."""
    votes = votes_of(review(here, of_function(when)))
    assert [name for name in votes if "second" in votes[name]] == entered  # type: ignore[operator]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("records: records.csv", "records: record.csv", r"12:12: no file `record.csv`"),
        ("records: records.csv", "records: looks.py", r"review.records is a .csv, .tsv"),
        ("output: out.csv", "output: records.csv", "written over the records"),
        ("output: out.csv", "output: out.xlsx", r"13:11: review.output is a .csv, .tsv, .jsonl file"),
        ("output: out.csv", "output: none/out.csv", r"13:11: no folder `none` for the output"),
        ("output: out.csv", "id_field: ids", r"13:13: .*no record has a field `ids` \(did you mean `id`\?\)"),
        ("output: out.csv", "on_fault: ignore", "allowed: fail, keep"),
        ("endpoint: soup, include: Soup.", "endpoint: soap, include: Soup.", "did you mean `soup`"),
        ("include: Soup.", "include: ''", "text that is not empty"),
        ("include: Soup., fields: title", "include: Soup., fields: titel", "16:.*did you mean `title`"),
        ("inputs.topic", "inputs.topik", r"15:\d+: unknown name `inputs.topik`"),
        ("agent: senior", "agent: junior", r"17:18: unknown agent `junior`"),
        ("record.abstract", "record.abstrakt", "did you mean `abstract`"),
        ("votes.screening.ann", "votes.screning.ann", "did you mean `screening`"),
        ("votes.screening.ann", "votes.screening.anna", "of round `screening`: `anna`; allowed: ann, ben"),
        ("votes.screening.ann", "votes.facts.dot", "unknown name `votes.facts`"),
        (", sees_votes: true", "", "round `senior` is not told votes"),
        ("[ann, ben]", "[ann, bne]", r"20:42: unknown reviewer `bne`; .*did you mean `ben`"),
        ("[ann, ben]", "[ann, ann]", "already a reviewer of this round"),
        ("[ann, ben]", "[]", "one that is not empty"),
        ("name: facts", "name: senior", r"22:14: a round before is called `senior`"),
        ("disagreement: screening", "disagreement: screning", r"did you mean `screening`"),
        ("disagreement: screening", "disagreement: facts", "does not come before this one"),
        ("disagreement: screening", "disagreed: screening", "unknown key `disagreed`"),
        ("{disagreement: screening}", "{}", "exactly one of disagreement"),
        ("{disagreement: screening}", "al", r"`when` is text; .*did you mean `all`"),
        ("{disagreement: screening}", '"{{ id }}!"', "`when` is text"),
        ("{disagreement: screening}", '"{{ votes.senior }}"', "unknown name `votes.senior`"),
        ("{disagreement: screening}", "{function: 'looks:man'}", "did you mean `many`"),
        ("scored: {round: screening, at_least: 4}", "decided: {round: screening, is: in}", "write `scored:"),
        ("scored: {round: screening", "scored: {round: [screening, senio]", "did you mean `senior`"),
        ("kind: abstraction", "kind: abstract", "did you mean `abstraction`"),
        ("kind: abstraction, ", "", "exactly one of kind, agent, function"),
        ("wanted: {pot: The pot's colour.}", "task: x", "a reviewer of abstraction needs `wanted`"),
        ("wanted: {", "scale: {1: a, 2: b}, wanted: {", "`scale` does not belong to reviewers of abstr"),
        (
            "wanted: {",
            "examples: [{record: {title: x}, vote: {pto: red}}], wanted: {",
            r"18:\d+: it is no vote of this reviewer: it has no `pto`; allowed: pot",
        ),
        ("kind: abstraction", "function: 'looks:cuonts'", "did you mean `counts`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_load(here: Path, old: str, new: str, fault: str) -> None:
    """WF-8.1 to WF-8.5."""
    assert old in HEAD + REVIEW
    text = (HEAD + REVIEW).replace(old, new)
    assert re.search(fault, faults(here, text)), faults(here, text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (of_function(function="looks:plain"), "must be an async function"),
        (of_function(function="looks:number"), "is no function"),
        (of_function("{function: 'looks:waits'}"), "must be a plain function"),
        (of_function().replace("records.csv", "'{{ inputs.topic }}'"), "records are read from"),
        (of_function().replace("records.csv", "'{{ inputs.topic }}.csv'"), "soup.csv: No such file"),
        (of_function(more="  output: '{{ inputs.topic }}'\n"), "is no .csv, .tsv or .jsonl file"),
        (of_function(more="  output: '{{ inputs.file }}'\n"), "written over the records"),
        (of_function(more="  output: '{{ inputs.topic }}/a.csv'\n"), "there is no folder"),
    ],
)
def test_what_is_wrong_is_told_when_it_runs(here: Path, text: str, fault: str) -> None:
    """WF-8.1, WF-8.3, WF-8.5, WF-8.7."""
    with pytest.raises(UserError, match=re.escape(fault)):
        review(here, text)


def test_a_look_that_fails_ends_its_row_alone(here: Path) -> None:
    """WF-8.6, WF-8.8: it is asked again, and it alone, when the run goes on."""
    looks, log = here / "looks.py", here / "asked.txt"
    looks.write_text(FUNCTIONS.replace("broken = set()", "broken = {'bread'}"))
    text = of_function(more="  output: out.csv\n")
    with pytest.raises(
        RunError, match=r"1 of 3 rows lack a vote, first bread \(first/eve: ValueError"
    ) as caught:
        review(here, text, journal=True)
    assert f"what there is stands in {here / 'out.csv'}" in str(caught.value)
    assert "first/eve: ValueError: no pots at all" in (here / "out.csv").read_text()
    looks.write_text(FUNCTIONS)
    report = review(here, text, journal=True)
    assert report["faults"] == {}
    assert "faults" not in (here / "out.csv").read_text()
    asked = log.read_text().split()
    assert sorted(asked) == ["bread"] * 3 + ["broth"] * 2 + ["leeks"] * 2
    looks.write_text(FUNCTIONS.replace("broken = set()", "broken = {'bread'}"))
    kept = review(here, of_function(more="  on_fault: keep\n"))
    assert kept["faults"] == {"bread": {"first/eve": "ValueError: no pots at all"}}
    assert kept["rounds"]["first"]["reviewers"]["eve"]["failed"] == 1  # type: ignore[index, call-overload]


def test_what_has_changed_is_looked_at_anew(here: Path) -> None:
    """WF-8.8."""
    looks, log = here / "looks.py", here / "asked.txt"
    looks.write_text(FUNCTIONS.replace("broken = set()", "broken = {'bread'}"))
    with pytest.raises(RunError):
        review(here, of_function(), journal=True)
    looks.write_text(FUNCTIONS)
    log.unlink()
    (here / "records.csv").write_text(RECORDS.replace("pot.,3", "pot.,4"))
    report = review(here, of_function(), journal=True)
    assert votes_of(report)["leeks"]["first"]["eve"]["score"] == 4  # type: ignore[index, call-overload]
    assert sorted(log.read_text().split()) == ["bread", "bread", "leeks", "leeks"]  # twice: two rounds


def test_limits_hold_for_reviewers_without_an_agent(here: Path) -> None:
    """WF-8.2; WF-2.10: a limit of money needs the price of their endpoints."""
    text = (HEAD + REVIEW + "limits: {money: 1}\n").replace("scripted:soup.yaml", "openai:gpt-5-mini")
    assert "a money limit needs the price of endpoint `soup`" in faults(here, text)
    (here / "review.yaml").write_text(HEAD + REVIEW + "limits: {turns: 2}\n")
    assert load(here / "review.yaml").limits == Limits(turns=2)
