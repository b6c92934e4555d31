"""What a review's rounds and reviewers name: endpoints, agents, rounds, decisions. Works on plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pydantic import JsonValue

from agentflow_protocols.workflow.document import Path
from agentflow_protocols.workflow.problem import Problem, did_you_mean, one_of

__all__ = ["check_review", "review_rounds", "round_reviewers"]

Raw = Mapping[str, JsonValue]
_Report = Callable[..., Problem]
_TABLES = (".csv", ".tsv", ".jsonl")
_RECORDS = (*_TABLES, ".ris", ".nbib")


def _mapping(value: JsonValue) -> Raw:
    return value if isinstance(value, dict) else {}


def _names(value: JsonValue) -> list[tuple[tuple[int, ...], str]]:
    """Return the names in a name or a list of names, each with its place."""
    if isinstance(value, str):
        return [((), value)]
    listed = value if isinstance(value, list) else []
    return [((index,), name) for index, name in enumerate(listed) if isinstance(name, str)]


def review_rounds(use: Raw) -> list[tuple[int, Raw]]:
    """Return the rounds of a review that are mappings, with their numbers."""
    rounds = use.get("rounds")
    return [
        (i, each)
        for i, each in enumerate(rounds if isinstance(rounds, list) else [])
        if isinstance(each, dict)
    ]


def round_reviewers(round: Raw) -> list[str]:
    """Return the names of a round's reviewers."""
    return [name for _, name in _names(round.get("reviewers"))]


def check_review(file: Raw, report: _Report) -> Iterator[Problem]:
    """Yield what is wrong with the names in the `review:` of a file."""
    use = _mapping(file.get("review"))
    reviewers = _mapping(use.get("reviewers"))
    for name, body in reviewers.items():
        for kind in ("endpoint", "agent"):
            if isinstance(used := _mapping(body).get(kind), str):
                where = ("review", "reviewers", name, kind)
                yield from _known(kind, used, _mapping(file.get(f"{kind}s")), where, report)
    before: dict[str, Raw] = {}
    later = [str(each.get("name")) for _, each in review_rounds(use)]
    for index, round_ in review_rounds(use):
        place = ("review", "rounds", index)
        seen: set[str] = set()
        for at, who in _names(round_.get("reviewers")):
            yield from _known("reviewer", who, reviewers, (*place, "reviewers", *at), report)
            if who in seen:
                yield report((*place, "reviewers", *at), f"`{who[:60]}` is already a reviewer of this round")
            seen.add(who)
        yield from _when(_mapping(round_.get("when")), before, reviewers, later, (*place, "when"), report)
        called = round_.get("name")
        if isinstance(called, str):
            if called in before:
                yield report((*place, "name"), f"a round before is called `{called[:60]}`; rename one")
            before[called] = round_
    yield from _files(use, report)


def _when(
    when: Raw, before: Mapping[str, Raw], reviewers: Raw, later: list[str], path: Path, report: _Report
) -> Iterator[Problem]:
    for kind in ("disagreement", "scored", "decided"):
        said = when.get(kind)
        place, named = (
            ((kind,), said) if isinstance(said, str) else ((kind, "round"), _mapping(said).get("round"))
        )
        for at, name in _names(named):
            where = (*path, *place, *at)
            if name not in before and name in later:
                yield report(where, f"round `{name[:60]}` does not come before this one")
                continue
            yield from _known("round", name, before, where, report)
            voting = [_mapping(reviewers.get(who)) for who in round_reviewers(before.get(name, {}))]
            kinds = {str(each.get("kind")) for each in voting}
            if voting and kinds == {"abstraction"}:
                yield report(where, f"round `{name[:60]}` takes facts out; nobody in it scores or decides")
            elif kind == "scored" and voting and kinds == {"decision"}:
                yield report(
                    where, f"round `{name[:60]}` decides; write `decided: {{round: {name[:60]}, is: …}}`"
                )
            elif kind == "decided" and voting and kinds <= {"title_abstract", "scoring"}:
                yield report(
                    where, f"round `{name[:60]}` scores; write `scored: {{round: {name[:60]}, at_least: …}}`"
                )
            elif kind == "decided" and voting and kinds == {"decision"}:
                options = dict.fromkeys(option for each in voting for option in _mapping(each.get("options")))
                for place_, option in _names(_mapping(said).get("is")):
                    yield from _known("decision", option, options, (*path, kind, "is", *place_), report)


def _known(kind: str, name: str, names: Iterable[str], path: Path, report: _Report) -> Iterator[Problem]:
    allowed = list(names)
    if name not in allowed:
        yield report(
            path, f"unknown {kind} `{name[:60]}`; allowed: {one_of(allowed)}{did_you_mean(name, allowed)}"
        )


def _files(use: Raw, report: _Report) -> Iterator[Problem]:
    for field, allowed in (("records", _RECORDS), ("output", _TABLES)):
        name = use.get(field)
        if isinstance(name, str) and name and not name.lower().endswith((*allowed, "}}")):
            yield report(("review", field), f"review.{field} is a {', '.join(allowed)} file")
    if isinstance(name, str) and name == use.get("records"):
        yield report(("review", "output"), "the output would be written over the records; name another file")
