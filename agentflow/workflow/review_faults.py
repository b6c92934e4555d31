"""What is wrong with the files, functions and templates of a `review:` section, told without running any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from agentflow.errors import UserError
from agentflow.review import Record, Screening, read_records
from agentflow.review.records import SUFFIXES
from agentflow.review.reviewer import Answer, abstraction_type, decision_type, scoring_type, vote_fault
from agentflow.workflow.modules import fault
from agentflow.workflow.templates import Names, is_whole, keys_used, pairs_used, template_faults
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import (
    Parsed,
    Problem,
    did_you_mean,
    one_of,
    review_rounds,
    round_reviewers,
)

__all__ = ["READ_AT_CHECK", "columns_of", "review_faults"]

READ_AT_CHECK = 16 * 1024 * 1024
"""Bytes of the longest table that is read when a file is checked."""

_STANDARD = ("title", "abstract", "keywords", "year")
_OF_INPUTS = ("include", "exclude", "task", "background")

Raw = Mapping[str, JsonValue]
Path_ = tuple[str | int, ...]


def columns_of(records: list[Record]) -> list[str]:
    """Return the fields that records have: those of a table, and those found under another name."""
    found = dict.fromkeys(name for record in records for name in record.fields)
    return [*found, *(name for name in _STANDARD if name not in found and _is_found(records, name))]


def _is_found(records: list[Record], name: str) -> bool:
    return any(record.get(name) is not None for record in records)


@dataclass(slots=True)
class _Review:
    """A review as it was written, and what its templates may name."""

    parsed: Parsed
    use: Raw
    names: Names
    columns: list[str] | None = None  # None: not known before it runs

    def report(self, path: Path_, message: str, find: str | None = None) -> Problem:
        return self.parsed.report(("review", *path), message, find=find)


def review_faults(parsed: Parsed, names: Names, folder_of: Callable[..., Path]) -> Iterator[Problem]:
    """Yield what is wrong with what a file's `review:` names, without running any of it."""
    use = parsed.merged.get("review")
    if not isinstance(use, dict):
        return
    review = _Review(parsed, use, names)
    folder = folder_of(parsed)
    yield from _table(review, folder)
    for path, name in _functions(use):
        found = fault(name, folder) if name.count(":") == 1 else None
        if found:
            yield review.report(path, found)
    for field in ("records", "output"):
        yield from _in_template(review, (field,), use.get(field), names)
    for name, body in _reviewers(use).items():
        yield from _reviewer(review, name, body)
    before: list[str] = []
    for index, round_ in review_rounds(use):
        yield from _when(review, index, round_.get("when"), before)
        before.append(str(round_.get("name")))


def _table(review: _Review, folder: Path) -> Iterator[Problem]:
    """Read the records, when they are there already, and look at fields that are named."""
    name, id_field = review.use.get("records"), review.use.get("id_field", "id")
    output = review.use.get("output")
    if isinstance(output, str) and "{" not in output and not (folder / output).parent.is_dir():
        yield review.report(("output",), f"no folder `{str(Path(output).parent)[:200]}` for the output")
    if not isinstance(name, str) or "{" in name or not (id_field is None or isinstance(id_field, str)):
        return
    file = folder / name
    if file.suffix.lower() not in SUFFIXES:
        return  # told already
    if not file.is_file():
        message = f"no file `{name[:200]}`; paths are relative to the file they stand in"
        yield review.report(("records",), message)
        return
    if file.stat().st_size > READ_AT_CHECK:
        return
    try:
        records = read_records(file, id_field=id_field)
    except UserError as error:
        at_id = id_field not in (None, "id") and f"no record has a field `{id_field}`" in str(error)
        yield review.report(("id_field",) if at_id else ("records",), str(error))
        return
    review.columns = columns_of(records)
    for who, body in _reviewers(review.use).items():
        fields = body.get("fields")
        for at, field in enumerate(fields if isinstance(fields, list) else [fields]):
            if isinstance(field, str) and field not in review.columns and not _is_found(records, field):
                place: Path_ = ("reviewers", who, "fields", *([at] if isinstance(fields, list) else []))
                yield review.report(place, _unknown("field", field, review.columns))


def _unknown(kind: str, name: str, allowed: list[str]) -> str:
    return f"unknown {kind} `{name[:60]}`; allowed: {one_of(allowed)[:300]}{did_you_mean(name, allowed)}"


def _functions(use: Raw) -> Iterator[tuple[Path_, str]]:
    for name, body in _reviewers(use).items():
        if isinstance(function := body.get("function"), str):
            yield ("reviewers", name, "function"), function
    for index, round_ in review_rounds(use):
        when = round_.get("when")
        if isinstance(when, dict) and isinstance(function := when.get("function"), str):
            yield ("rounds", index, "when", "function"), function


def _reviewers(use: Raw) -> dict[str, dict[str, JsonValue]]:
    reviewers = use.get("reviewers")
    found = reviewers.items() if isinstance(reviewers, dict) else ()
    return {name: body for name, body in found if isinstance(body, dict)}


def _reviewer(review: _Review, name: str, body: Raw) -> Iterator[Problem]:
    place = ("reviewers", name)
    for field in _OF_INPUTS:
        yield from _in_template(review, (*place, field), body.get(field), review.names)
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        yield from _of_record(review, (*place, "prompt"), prompt, _rounds_before(review.use, name))
        blind = [
            str(each.get("name"))
            for _, each in review_rounds(review.use)
            if name in round_reviewers(each) and each.get("sees_votes") is not True
        ]
        if keys_used(prompt, "votes") and blind:
            message = f"round `{blind[0][:60]}` is not told votes; write `sees_votes: true` there"
            yield review.report((*place, "prompt"), message, "votes")
    yield from _examples(review, place, body)


def _rounds_before(use: Raw, reviewer: str) -> list[str]:
    """Return the rounds before the last one in which a reviewer looks."""
    names = [str(each.get("name")) for _, each in review_rounds(use)]
    places = [at for at, (_, each) in enumerate(review_rounds(use)) if reviewer in round_reviewers(each)]
    return names[: places[-1]] if places else names


def _examples(review: _Review, place: Path_, body: Raw) -> Iterator[Problem]:
    examples = body.get("examples")
    try:
        answer = _answer(body)
    except ValueError:
        return  # told already
    if answer is None:
        return
    for at, example in enumerate(examples if isinstance(examples, list) else []):
        vote = example.get("vote") if isinstance(example, dict) else None
        if (
            isinstance(vote, dict)
            and (found := vote_fault(answer, cast("dict[str, Json]", vote))) is not None
        ):
            yield review.report((*place, "examples", at, "vote"), f"it is no vote of this reviewer: {found}")


def _answer(body: Raw) -> Answer | None:
    match body.get("kind"):
        case "title_abstract":
            return Screening
        case "scoring":
            return scoring_type({int(key): text for key, text in _texts(body, "scale").items()})
        case "decision":
            return decision_type(_texts(body, "options"))
        case "abstraction":
            return abstraction_type(_texts(body, "wanted"))
    return None


def _texts(body: Raw, field: str) -> dict[str, str]:
    value = body.get(field)
    if not isinstance(value, dict) or not value:
        raise ValueError(field)
    return {key: str(text) for key, text in value.items()}


def _when(review: _Review, index: int, when: JsonValue, before: list[str]) -> Iterator[Problem]:
    place: Path_ = ("rounds", index, "when")
    if isinstance(when, dict) and isinstance(when.get("template"), str):
        place, when = (*place, "template"), when["template"]
    if not isinstance(when, str) or when == "all":
        return
    if "{{" not in when and "{%" not in when:
        near = did_you_mean(when, ["all"])
        yield review.report(
            place, f"`when` is text; allowed is all, one whole {{{{ … }}}} or a mapping{near}"
        )
        return
    faults = list(_of_record(review, place, when, before))
    yield from faults
    if not faults and not is_whole(when):
        yield review.report(place, "`when` is text; allowed is all, one whole {{ … }} or a mapping")


def _of_record(review: _Review, place: Path_, text: str, before: list[str]) -> Iterator[Problem]:
    """Yield what is wrong with a template that sees a record, and the votes of the rounds before."""
    columns = None if review.columns is None else frozenset(review.columns)
    known = {**review.names, "id": None, "record": columns, "votes": frozenset(before)}
    yield from _in_template(review, place, text, known)
    who = {str(each.get("name")): round_reviewers(each) for _, each in review_rounds(review.use)}
    for round_, reviewer in pairs_used(text, "votes"):
        if round_ in before and reviewer not in (*who[round_], "items", "keys", "values"):
            message = _unknown(f"reviewer of round `{round_}`:", reviewer, who[round_])
            yield review.report(place, message, f"votes.{round_}.{reviewer}")


def _in_template(review: _Review, place: Path_, value: JsonValue, names: Names) -> Iterator[Problem]:
    if isinstance(value, str):
        for message, find in template_faults(value, names):
            yield review.report(place, message, find)
