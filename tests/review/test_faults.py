"""Reviews that meet with trouble: reviewers who fail, prose, odd ids, changed records, limits; a table."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from agentflow import Agent, Context, Runtime
from agentflow.endpoints import Price
from agentflow.errors import EndpointUnavailable, LimitExceeded, RequestRejected, RunError, UserError
from agentflow.review import (
    Example,
    Record,
    Reviewer,
    ReviewFailed,
    ReviewReport,
    ReviewRounds,
    Round,
    Row,
    abstraction,
    decided,
    decision,
    disagreement,
    scored,
    scoring,
    title_abstract,
)
from agentflow.runtime import Limits
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import FakeEndpoint
from agentflow_protocols.chat import Json

T = TypeVar("T")
RECORDS = [Record(f"r{n}", {"title": f"Record {n}"}) for n in range(20)]
VOTE = '{"reasoning": "x", "score": 5}'


def virtual(work: Coroutine[object, object, T]) -> T:
    return run_in(lambda: new_loop("virtual"), work)


async def review(
    rounds: ReviewRounds,
    records: Sequence[Record] = RECORDS,
    journal: Path | None = None,
    limits: Limits | None = None,
) -> ReviewReport:
    async with Runtime(journal) as runtime:
        key = None if journal is None else "review"
        return (await runtime.run(rounds, records, key=key, limits=limits)).output


def by(look: Callable[[Record], Json], name: str = "ann", version: str = "") -> Reviewer:
    """Return a reviewer that looks by a plain function."""

    async def asked(context: Context[object], record: Record, votes: Mapping[str, Json]) -> Json:
        return look(record)

    return Reviewer(name, asked, version=version)


def screening(answer: Callable[[str], str], **more: object) -> Reviewer:
    model = FakeEndpoint(lambda request: answer(request.messages[1].text), price=Price(1.0, 1.0))
    return title_abstract("ann", model, include="It is good.", **more)  # type: ignore[arg-type]


# Reviewers who fail.


def test_prose_in_place_of_a_score_is_asked_again_and_then_ends_its_row_alone() -> None:
    """The model is told what is wrong twice; after that the look has failed, and what it took is counted."""
    rounds = ReviewRounds([Round("first", [screening(lambda text: "I like it." if "7" in text else VOTE)])])
    with pytest.raises(
        ReviewFailed, match=r"2 of 20 rows lack a vote, first r7 \(first/ann: RemoteProto"
    ) as e:
        virtual(review(rounds))
    report = e.value.report
    assert sum(1 for row in report.rows if row.votes["first"] == {}) == 2
    spent = report.spent["first/ann"]
    assert (spent.looks, spent.failed, spent.requests) == (20, 2, 18 + 2 * 3)
    assert spent.cost == pytest.approx(spent.tokens / 1e6)


def test_who_answered_prose_is_asked_anew_when_the_run_goes_on(tmp_path: Path) -> None:
    """Prose is in the journal, too: read again it would be prose for ever."""
    asked: Counter[str] = Counter()
    lucid = False

    def answer(text: str) -> str:
        first = text.splitlines()[0]
        asked[first] += 1
        return VOTE if lucid or "7" not in text else "I like it."

    rounds = ReviewRounds([Round("first", [screening(answer)])])
    with pytest.raises(ReviewFailed):
        virtual(review(rounds, journal=tmp_path / "a.db"))
    lucid = True
    before = asked.copy()
    report = virtual(review(rounds, journal=tmp_path / "a.db"))
    assert {name for name in asked if asked[name] != before[name]} == {"title: Record 7", "title: Record 17"}
    assert report.rows[7].votes == {"first": {"ann": json.loads(VOTE)}}
    spent = report.spent["first/ann"]
    assert (spent.looks, spent.failed, spent.requests) == (20, 0, 18 + 2 * 4)  # prose was paid for, too


def test_any_error_of_a_reviewer_ends_its_row_alone() -> None:
    def look(record: Record) -> Json:
        if record.id == "r3":
            raise KeyError("abstract")
        if record.id == "r4":
            raise RequestRejected("its content is refused")
        return 4

    rounds = [Round("first", [by(look)]), Round("second", [by(lambda record: 5)])]
    report = virtual(review(ReviewRounds(rounds, on_fault="keep")))
    assert {row.record.id: row.faults for row in report.rows if row.faults} == {
        "r3": {"first/ann": "KeyError: 'abstract'"},
        "r4": {"first/ann": "RequestRejected: its content is refused"},
    }
    assert len(report.entered("second")) == 18


def test_a_reviewer_who_always_fails_is_given_up() -> None:
    asked: Counter[str] = Counter()

    def broken(record: Record) -> Json:
        raise EndpointUnavailable("no connection")

    def fine(record: Record) -> Json:
        asked["ben"] += 1
        return 5

    records = [Record(str(n), {}) for n in range(1000)]
    for on_fault in ("fail", "keep"):
        asked.clear()
        rounds = ReviewRounds(
            [Round("first", [by(broken), by(fine, "ben")])],
            concurrency=4,
            on_fault=on_fault,  # type: ignore[arg-type]
        )
        with pytest.raises(ReviewFailed, match=r"first/ann failed 20 times in a row, so 9\d\d rows were not"):
            virtual(review(rounds, records))
        assert 20 <= asked["ben"] <= 24


def test_a_condition_that_raises_ends_its_row() -> None:
    def when(row: Row) -> bool:
        return bool(row.record.fields["pots"])

    rounds = [Round("first", [by(lambda record: 1)]), Round("second", [by(lambda record: 1)], when)]
    records = [Record("a", {"pots": 1}), Record("b", {})]
    report = virtual(review(ReviewRounds(rounds, on_fault="keep"), records))
    assert report.rows[1].faults == {"second/when": "KeyError: 'pots'"}
    assert report.rows[1].votes == {"first": {"ann": 1}}

    async def waits(row: Row) -> bool:
        return True

    with pytest.raises(UserError, match="a plain function of a Row, which never waits"):
        Round("second", [by(lambda record: 1)], waits)  # type: ignore[arg-type]


def test_a_limit_of_the_run_ends_it_and_one_of_a_reviewer_its_row(tmp_path: Path) -> None:
    agent = Agent(FakeEndpoint(lambda request: "word " * 100), limits=Limits(tokens=1))
    narrow = Reviewer.of_agent("ann", agent, lambda record, votes: record.title)  # type: ignore[arg-type]

    async def twice(context: Context[object], record: Record, votes: Mapping[str, Json]) -> object:
        await context.run(agent, record.title, key="a")
        return (await context.run(agent, record.title, key="b", limits=Limits(turns=0))).output

    assert virtual(review(ReviewRounds([Round("first", [narrow])]))).spent["first/ann"].looks == 20
    rounds = ReviewRounds([Round("first", [Reviewer("ann", twice)])], on_fault="keep")
    report = virtual(review(rounds, RECORDS[:3]))
    assert all("LimitExceeded" in row.faults["first/ann"] for row in report.rows)
    journal = tmp_path / "a.db"
    plain = ReviewRounds([Round("first", [screening(lambda text: VOTE)])], concurrency=1)
    with pytest.raises(LimitExceeded, match="limit of 5 turns"):
        virtual(review(plain, journal=journal, limits=Limits(turns=5)))
    report = virtual(review(plain, journal=journal, limits=Limits(turns=100)))
    assert report.spent["first/ann"].requests == 20


# Records as they are.


def test_ids_may_be_anything_and_stay_apart(tmp_path: Path) -> None:
    ids = ["a/b", "a\nb", "a%2fb", "/b", "\u02fb", "a" * 5000, "a" * 4999 + "b", "..", "", "\ud800", "é"]
    asked: Counter[str] = Counter()

    def look(record: Record) -> Json:
        asked[record.id] += 1
        if broken and record.id == "é":
            raise EndpointUnavailable("no connection")
        return record.title

    records = [Record(each, {"title": f"{n}"}) for n, each in enumerate(ids) if each != "\ud800"]
    rounds = ReviewRounds([Round("first", [by(look)])])
    broken = True
    with pytest.raises(RunError):
        virtual(review(rounds, records, tmp_path / "a.db"))
    broken = False
    report = virtual(review(rounds, records, tmp_path / "a.db"))
    assert [row.votes["first"]["ann"] for row in report.rows] == [record.title for record in records]
    assert asked.pop("é") == 2
    assert set(asked.values()) == {1}
    whole = virtual(review(rounds, [Record(each, {"title": "x"}) for each in ids]))  # without a journal
    assert len(whole.rows) == len(ids)


def test_empty_records_are_looked_at_and_a_table_without_the_fields_is_refused() -> None:
    told: list[str] = []

    def answer(text: str) -> str:
        told.append(text)
        return VOTE

    rounds = ReviewRounds([Round("first", [screening(answer)])], concurrency=1)
    virtual(review(rounds, [Record("a", {"title": "Soup"}), Record("b", {"title": " ", "abstract": None})]))
    assert told == ["title: Soup", "(the record is empty)"]
    with pytest.raises(
        UserError, match=r"ann reads title, abstract, keywords, .*they have titel, n \(did you"
    ):
        virtual(review(rounds, [Record("a", {"titel": "Soup", "n": 1})]))


def test_what_has_changed_since_is_looked_at_anew(tmp_path: Path) -> None:
    """Here the runs go on with other criteria; a workflow file reads its records again as well."""
    asked: Counter[str] = Counter()

    def look(record: Record) -> Json:
        asked[f"{version}/{record.id}"] += 1
        if record.id == "r3" and version == "one":
            raise EndpointUnavailable("no connection")
        return version

    def rounds() -> ReviewRounds:
        return ReviewRounds([Round("first", [by(look, version=version), by(lambda record: 1, "ben")])])

    version = "one"
    with pytest.raises(RunError):
        virtual(review(rounds(), journal=tmp_path / "a.db"))
    version = "two"
    report = virtual(review(rounds(), journal=tmp_path / "a.db"))
    assert {row.votes["first"]["ann"] for row in report.rows} == {"two"}
    assert asked.total() == 40
    strict, broad = (title_abstract("a", FakeEndpoint([]), include=each) for each in ("Soup.", "Food."))
    assert strict.version != broad.version
    assert strict.version == title_abstract("a", FakeEndpoint([]), include="Soup.").version


def test_a_review_that_has_ended_is_read_whole(tmp_path: Path) -> None:
    rounds = ReviewRounds([Round("first", [by(lambda record: {"score": math.nan, "of": [record.id]})])])
    first = virtual(review(rounds, journal=tmp_path / "a.db"))
    again = virtual(review(rounds, journal=tmp_path / "a.db"))
    assert again == first
    assert first.rows[0].votes == {"first": {"ann": {"score": None, "of": ["r0"]}}}


# Votes.


def test_votes_that_are_seen_are_told_as_json() -> None:
    told: list[str] = []
    model = FakeEndpoint(lambda request: (told.append(request.messages[-1].text), VOTE)[1])
    rounds = ReviewRounds(
        [
            Round("first", [by(lambda record: {"ok": True, "why": None})]),
            Round("second", [title_abstract("ben", model, include="x")], sees_votes=True),
        ]
    )
    virtual(review(rounds, RECORDS[:1]))
    assert told == ['title: Record 0\n\nEarlier reviewers said:\nfirst/ann: {"ok": true, "why": null}']


def test_scores_beside_the_scale_are_asked_again() -> None:
    said = iter(['{"reasoning": "", "score": 4}', "fine", '{"reasoning": "", "score": "2"}'])
    model = FakeEndpoint(lambda request: next(said))
    rounds = ReviewRounds([Round("a", [scoring("ann", model, task="x", scale={1: "poor", 2: "fine"})])])
    report = virtual(review(rounds, RECORDS[:1]))
    assert report.rows[0].votes == {"a": {"ann": {"reasoning": "", "score": 2}}}


def test_decisions_are_disputed_and_decide() -> None:
    model = FakeEndpoint(
        lambda request: json.dumps(
            {"reasoning": "", "decision": "in" if request.messages[-1].text < "title: Record 10" else "out"}
        )
    )
    options = {"in": "It belongs in.", "out": "It does not."}
    ann = decision("ann", model, task="In or out?", options=options)
    ben = by(lambda record: {"decision": "in"}, "ben")
    rounds = ReviewRounds(
        [
            Round("first", [ann, ben]),
            Round("senior", [by(lambda record: "out", "cid")], disagreement("first")),
            Round("last", [by(lambda record: 1, "dot")], decided(["first", "senior"], "in")),
        ]
    )
    report = virtual(review(rounds))
    assert [row.record.id for row in report.entered("last")] == ["r0", "r1"]
    assert len(report.entered("senior")) == 18
    tie = Row(RECORDS[0], {"a": {"x": "in", "y": "out"}})
    assert not decided("a", "in", "out")(tie)
    tie.votes["a"]["z"] = "in"
    assert decided("a", "in")(tie)
    assert not decided("b", "in")(tie)
    assert scored(["b", "a"], at_least=3)(Row(RECORDS[0], {"a": {"x": 3}, "b": {}}))
    assert not scored(["a", "b"], at_least=3)(Row(RECORDS[0], {"a": {"x": 3}, "b": {"x": 2}}))


def test_examples_and_background_are_told_and_examples_are_checked() -> None:
    told: list[str] = []
    model = FakeEndpoint(lambda request: (told.append(request.messages[0].text), VOTE)[1])
    example = Example({"title": "Stew", "id": 3}, {"reasoning": "No soup.", "score": 1})
    ann = title_abstract("ann", model, include="Soup.", examples=[example], background="Soup is wet.")
    virtual(review(ReviewRounds([Round("first", [ann])]), RECORDS[:1]))
    assert "Background: Soup is wet." in told[0]
    assert 'An example:\ntitle: Stew\nIts answer: {"reasoning": "No soup.", "score": 1}' in told[0]
    for wrong, fault in (
        (
            lambda bad: title_abstract("a", model, include="x", examples=[bad]),
            "has no `pot`; allowed: reasoning",
        ),
        (
            lambda bad: abstraction("a", model, wanted={"pots": "x"}, examples=[bad]),
            r"\(did you mean `pots`\?\)",
        ),
    ):
        with pytest.raises(UserError, match=f"the vote of an example is none: it {fault}|{fault}"):
            wrong(Example({}, {"pot": "red"}))
    with pytest.raises(UserError, match="two options or more"):
        decision("a", model, task="x", options={"in": "x"})


def test_facts_may_be_called_anything() -> None:
    """Names that a class has already, too: `copy`, `json`, `model_name`."""
    wanted = {"copy": "x", "json": "y", "model_name": "z", "the pot": "p"}
    model = FakeEndpoint(lambda request: json.dumps({"reasoning": "x", **dict.fromkeys(wanted, None)}))
    report = virtual(
        review(ReviewRounds([Round("a", [abstraction("ann", model, wanted=wanted)])]), RECORDS[:1])
    )
    assert report.rows[0].votes["a"]["ann"] == dict.fromkeys(wanted, None)


# The table.


def test_a_column_for_each_answer(tmp_path: Path) -> None:
    report = ReviewReport(
        [
            Row(
                Record("a", {"id": "a", "a_b_c": 'x, "y"', "tags": ["p", "q"], "more": {"k": None}}),
                {"a_b": {"c": 3}, "a": {"b_c": {"score": 2, "facts": ["\ud800", 1]}}},
            ),
            Row(Record("b", {}), {"a_b": {"c": None}}, {"a/b_c": "E: bad"}),
        ]
    )
    report.spent = dict.fromkeys(("a_b/c", "a/b_c"))  # type: ignore[assignment]
    report.write(tmp_path / "out.csv")
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        one, two = csv.DictReader(file)
    assert one == {
        "id": "a",
        "a_b_c": 'x, "y"',
        "tags": "p; q",
        "more": '{"k": null}',
        "a_b_c_2": "3",
        "a_b_c_score": "2",
        "a_b_c_facts": '["\\ud800", 1]',
        "faults": "",
    }
    assert (two["id"], two["a_b_c_2"], two["faults"]) == ("b", "", "a/b_c: E: bad")
    report.write(tmp_path / "out.jsonl")
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["votes"]["a"]["b_c"]["facts"] == ["\ud800", 1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.csv", "out.jsonl"]
    with pytest.raises(UserError, match=r"written to a \.csv, \.tsv or \.jsonl file"):
        report.write(tmp_path / "out.xlsx")
    with pytest.raises(UserError, match=r"can't write .*No such file"):
        report.write(tmp_path / "none" / "out.csv")


def test_models_that_can_are_held_to_the_form_of_a_vote() -> None:
    """Closed objects that require all: what APIs take as strict. What is said beside them is left out."""
    from agentflow_protocols.chat.openai import is_strict

    asked: list[Mapping[str, Json] | None] = []

    def model(vote: Json) -> FakeEndpoint:
        return FakeEndpoint(lambda request: (asked.append(request.output), json.dumps(vote))[1])

    reasons: dict[str, Json] = {"reasoning": "x", "mood": "fair"}
    rounds = ReviewRounds(
        [
            Round(
                "first",
                [
                    title_abstract("a", model({**reasons, "score": 1}), include="x"),
                    scoring("b", model({**reasons, "score": 2}), task="x", scale={1: "poor", 2: "fine"}),
                    decision(
                        "c", model({**reasons, "decision": "in"}), task="x", options={"in": "", "out": ""}
                    ),
                    abstraction("d", model({**reasons, "the pot": None}), wanted={"the pot": "Its colour."}),
                ],
            )
        ]
    )
    votes = virtual(review(rounds, RECORDS[:1])).rows[0].votes["first"]
    assert votes == {
        "a": {"reasoning": "x", "score": 1},
        "b": {"reasoning": "x", "score": 2},
        "c": {"reasoning": "x", "decision": "in"},
        "d": {"the pot": None},
    }
    assert len(asked) == 4
    assert all(schema is not None and is_strict(schema) for schema in asked)
