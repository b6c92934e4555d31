"""The `review:` section of workflow files: the review that the SDK builds."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.review import (
    Example,
    Record,
    Reviewer,
    ReviewFailed,
    ReviewReport,
    ReviewRounds,
    Round,
    Row,
    When,
    abstraction,
    decided,
    decision,
    disagreement,
    read_records,
    scored,
    scoring,
    title_abstract,
)
from agentflow.review.reviewer import SCREENED, Look
from agentflow.runtime import Context
from agentflow.runtime.ledger import digest
from agentflow.workflow.check import folder_of
from agentflow.workflow.modules import load_function
from agentflow.workflow.review_faults import READ_AT_CHECK, columns_of
from agentflow.workflow.templates import render
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import Parsed, ReviewerSection, ReviewUse, RoundSection, WhenSection

__all__ = ["review_outline", "run_review"]

Build = Callable[[str], Agent[object, Json]]


@dataclass(slots=True)
class _Build:
    """What the parts of a review are built from."""

    use: ReviewUse
    parsed: Parsed
    agents: Build
    endpoints: Mapping[str, Endpoint]
    inputs: Mapping[str, Json]
    columns: Sequence[str]
    functions: Mapping[tuple[str | int, ...], Callable[..., object]]

    def text(self, value: str | None, where: str, **names: object) -> str:
        """Return a template, rendered as text."""
        told = render(value or "", {"inputs": self.inputs, **names}, f"review.{where}")
        return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)

    def names_of(self, record: Record, votes: Mapping[str, Mapping[str, Json]]) -> dict[str, object]:
        """Return what a template sees of a record: every field of the table, every round's votes."""
        rounds: dict[str, object] = {each.name: votes.get(each.name, {}) for each in self.use.rounds}
        fields = {name: record.get(name) for name in self.columns}
        return {"record": fields, "id": record.id, "votes": rounds}


async def run_review(
    name: str,
    use: ReviewUse,
    parsed: Parsed,
    build: Build,
    endpoints: Mapping[str, Endpoint],
    inputs: Mapping[str, Json],
    context: Context[object],
) -> Json:
    """Do the review of a file, write its output, and return the report.

    Raises `ReviewFailed` when rows lack votes; what there is has been written then, too.
    """
    folder = folder_of(parsed)
    file = folder / _name(use.records, inputs, "records")
    output = None if use.output is None else folder / _name(use.output, inputs, "output")
    _look_at(file, output)
    records = read_records(file, id_field=use.id_field)
    made = _Build(use, parsed, build, endpoints, inputs, columns_of(records), _functions(use, folder))
    rounds = [_round(made, index, each) for index, each in enumerate(use.rounds)]
    review = ReviewRounds(rounds, concurrency=use.concurrency, on_fault=use.on_fault, name=name)
    try:
        report = await review.__run__(context, records)
    except ReviewFailed as failed:
        if output is not None:
            failed.report.write(output)
            raise ReviewFailed(f"{failed}; what there is stands in {output}", failed.report) from failed
        raise
    return _told(report, output)


def review_outline(parsed: Parsed) -> dict[str, Json] | None:
    """Return how many records and looks the review of a file has, None for a file without one.

    `records` is None when they are not known before the run. Looks are counted for each record at least
    and at most, and, where records are known, of all together.
    """
    use = None if parsed.workflow is None else parsed.workflow.review
    if use is None:
        return None
    most = sum(len(each.reviewers) for each in use.rounds)
    least = sum(len(each.reviewers) for each in use.rounds if each.when is None)
    count = None
    file = folder_of(parsed) / use.records
    if "{" not in use.records and file.stat().st_size <= READ_AT_CHECK:
        count = len(read_records(file, id_field=use.id_field))
    return {"records": count, "looks": [(count or 1) * least, (count or 1) * most]}


def _told(report: ReviewReport, output: Path | None) -> Json:
    if output is not None:
        report.write(output)
    return {**report.as_json(), "output": None if output is None else str(output)}


def _name(template: str, inputs: Mapping[str, Json], where: str) -> str:
    name = render(template, {"inputs": inputs}, f"review.{where}")
    if not isinstance(name, str) or not name:
        raise UserError(f"review.{where}: a file's name is text, not {str(name)[:60]!r}")
    return name


def _look_at(file: Path, output: Path | None) -> None:
    """Look that there is a place for the output, before anything is spent."""
    if output is None:
        return
    if output.suffix.lower() not in (".csv", ".tsv", ".jsonl"):
        raise UserError(f"review.output: {output.name[:60]} is no .csv, .tsv or .jsonl file")
    if output.resolve() == file.resolve():
        raise UserError("review.output: it would be written over the records; name another file")
    if not output.parent.is_dir():
        raise UserError(f"review.output: there is no folder {output.parent}")


def _functions(use: ReviewUse, folder: Path) -> dict[tuple[str | int, ...], Callable[..., object]]:
    loaded: dict[Path, ModuleType] = {}
    found: dict[tuple[str | int, ...], Callable[..., object]] = {}
    for place, reference in use.functions().items():
        function = load_function(reference, folder, loaded)
        where = f"review.{'.'.join(str(part) for part in place)}"
        if not callable(function):
            raise UserError(f"{where}: `{reference}` is no function")
        if inspect.iscoroutinefunction(function) != (place[0] == "reviewers"):
            kind = "an async" if place[0] == "reviewers" else "a plain"
            raise UserError(f"{where}: `{reference}` must be {kind} function")
        found[place] = function
    return found


def _round(made: _Build, index: int, section: RoundSection) -> Round:
    reviewers = [_reviewer(made, who, made.use.reviewers[who]) for who in section.reviewers]
    when = None if section.when is None else _when(made, index, section.when)
    return Round(section.name, reviewers, when, section.sees_votes)


def _when(made: _Build, index: int, section: WhenSection) -> When:
    if section.disagreement is not None:
        return disagreement(section.disagreement.round, threshold=section.disagreement.threshold)
    if section.scored is not None:
        return scored(section.scored.round, at_least=section.scored.at_least)
    if section.decided is not None:
        return decided(section.decided.round, *section.decided.is_)
    if section.function is not None:
        return cast("When", made.functions["rounds", index, "when", "function"])
    where = f"review.rounds[{index}].when"

    def when(row: Row) -> bool:
        names = {"inputs": made.inputs, **made.names_of(row.record, row.votes)}
        return bool(render(section.template, names, where))

    return when


def _reviewer(made: _Build, name: str, section: ReviewerSection) -> Reviewer:
    if section.function is not None:
        return Reviewer(name, cast("Look", made.functions["reviewers", name, "function"]))
    if section.agent is not None:
        return _of_agent(made, name, section.agent, section.prompt or "")
    assert section.endpoint is not None
    endpoint, where = made.endpoints[section.endpoint], f"reviewers.{name}"
    fields = tuple(section.fields or (SCREENED if section.kind == "title_abstract" else ()))
    background = made.text(section.background, f"{where}.background")
    task = made.text(section.task, f"{where}.task")
    examples = [Example(_json(each.record), _json(each.vote)) for each in section.examples]
    match section.kind:
        case "scoring":
            scale = {int(score): meaning for score, meaning in (section.scale or {}).items()}
            return scoring(
                name, endpoint, task=task, scale=scale,
                fields=fields, background=background, examples=examples,
            )  # fmt: skip
        case "decision":
            return decision(
                name, endpoint, task=task, options=section.options or {},
                fields=fields, background=background, examples=examples,
            )  # fmt: skip
        case "abstraction":
            return abstraction(
                name, endpoint, wanted=section.wanted or {},
                fields=fields, background=background, examples=examples,
            )  # fmt: skip
    return title_abstract(
        name,
        endpoint,
        include=made.text(section.include, f"{where}.include"),
        exclude=made.text(section.exclude, f"{where}.exclude"),
        fields=fields,
        background=background,
        examples=examples,
    )


def _json(value: Mapping[str, object]) -> Mapping[str, Json]:
    return cast("Mapping[str, Json]", value)


def _of_agent(made: _Build, name: str, agent: str, template: str) -> Reviewer:
    """Return a reviewer that asks an agent of the file; its votes are nested by round, as in `when`."""

    def prompt(record: Record, seen: Mapping[str, Json]) -> str:
        votes: dict[str, dict[str, Json]] = {}
        for place, vote in seen.items():
            round_, _, who = place.partition("/")
            votes.setdefault(round_, {})[who] = vote
        return made.text(template, f"reviewers.{name}.prompt", **made.names_of(record, votes))

    built = made.agents(agent)
    told = built.instructions if isinstance(built.instructions, str) else ""
    schema = json.dumps(built.output.schema, sort_keys=True)
    version = digest(template, told, schema, json.dumps(dict(made.inputs), sort_keys=True, default=str))
    return Reviewer.of_agent(name, cast("Agent[object, object]", built), prompt, version=version)
