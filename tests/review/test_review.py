"""Reviews in rounds: rows that wait for nobody, disputes that go up, what is asked and what it costs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from agentflow import Context, Runtime
from agentflow.endpoints import Price
from agentflow.errors import EndpointUnavailable, RunError, UserError
from agentflow.review import (
    Record,
    Reviewer,
    ReviewReport,
    ReviewRounds,
    Round,
    Row,
    abstraction,
    disagreement,
    score_of,
    scored,
    scoring,
    title_abstract,
)
from agentflow.runtime.loop import new_loop, run_in
from agentflow.testing import FakeEndpoint
from agentflow_protocols.chat import Json

T = TypeVar("T")
RECORDS = [Record(f"r{n}", {"title": f"Record {n}"}) for n in range(20)]


def virtual(work: Coroutine[object, object, T]) -> T:
    return run_in(lambda: new_loop("virtual"), work)


def voter(name: str, score: int, seconds: float = 1.0, asked: Counter[str] | None = None) -> Reviewer:
    """Return a reviewer who takes its time; its score is raised for even records."""

    async def look(context: Context[object], record: Record, votes: Mapping[str, Json]) -> Json:
        await asyncio.sleep(seconds * (1 + int(record.id[1:]) % 3))
        if asked is not None:
            asked[f"{name}/{record.id}"] += 1
        even = int(record.id[1:]) % 2 == 0
        return {"score": score + even, "seen": sorted(votes)}

    return Reviewer(name, look)


async def review(
    rounds: ReviewRounds, records: list[Record] = RECORDS, journal: Path | None = None
) -> ReviewReport:
    async with Runtime(journal) as runtime:
        return (await runtime.run(rounds, records, key=None if journal is None else "review")).output


def test_only_what_is_disputed_goes_up_and_every_look_is_counted() -> None:
    asked: Counter[str] = Counter()
    rounds = ReviewRounds(
        [
            Round("first", [voter("ann", 3, asked=asked), voter("ben", 3, asked=asked)]),
            Round("second", [voter("cid", 5, asked=asked)], when=disagreement("first"), sees_votes=True),
        ]
    )
    report = virtual(review(rounds))
    # Even records: 4 and 4, both above 3. Odd ones: 3 and 3, on the threshold.
    assert [row.record.id for row in report.entered("second")] == [f"r{n}" for n in range(1, 20, 2)]
    assert report.rows[1].votes["second"]["cid"] == {"score": 5, "seen": ["first/ann", "first/ben"]}
    assert [row.record.id for row in report.rows] == [record.id for record in RECORDS]
    assert {name: spent.looks for name, spent in report.spent.items()} == {
        "first/ann": 20,
        "first/ben": 20,
        "second/cid": 10,
    }
    assert set(asked.values()) == {1}


def test_a_row_waits_for_no_other_row() -> None:
    ends: dict[str, float] = {}

    async def slow(context: Context[object], record: Record, votes: Mapping[str, Json]) -> Json:
        await asyncio.sleep(100.0 if record.id == "r0" else 1.0)
        return 5

    async def last(context: Context[object], record: Record, votes: Mapping[str, Json]) -> Json:
        ends[record.id] = asyncio.get_running_loop().time()
        return 5

    rounds = ReviewRounds([Round("first", [Reviewer("a", slow)]), Round("second", [Reviewer("b", last)])])
    virtual(review(rounds))
    assert ends["r0"] == 100.0
    assert {seconds for name, seconds in ends.items() if name != "r0"} == {1.0}


def test_a_crash_asks_nothing_twice(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()
    broken = True

    async def look(context: Context[object], record: Record, votes: Mapping[str, Json]) -> Json:
        if broken and record.id in ("r3", "r7"):
            raise EndpointUnavailable("no connection")
        asked[record.id] += 1
        return 4

    rounds = ReviewRounds([Round("first", [Reviewer("a", look), voter("b", 4, 0.0, asked)])])
    journal = tmp_path / "review.db"
    with pytest.raises(RunError, match=r"2 of 20 rows lack a vote, first r3 \(first/a: EndpointUnavailable"):
        virtual(review(rounds, journal=journal))
    broken = False
    report = virtual(review(rounds, journal=journal))
    assert all(row.votes["first"]["a"] == 4 for row in report.rows)
    assert set(asked.values()) == {1}
    assert len(asked) == 40


def test_models_screen_score_and_abstract() -> None:
    def screen(request):
        return json.dumps({"reasoning": "x", "score": 5 if "soup" in request.messages[-1].text else 1})

    def score(request):
        return json.dumps({"reasoning": "x", "score": 2})

    def facts(request):
        return json.dumps({"pot": "red" if "red" in request.messages[-1].text else None})

    price = Price(1.0, 1.0)
    rounds = ReviewRounds(
        [
            Round("screening", [title_abstract("ann", FakeEndpoint(screen, price=price), include="Soup.")]),
            Round(
                "work",
                [
                    scoring("bea", FakeEndpoint(score), task="How good?", scale={1: "poor", 2: "fine"}),
                    abstraction("cal", FakeEndpoint(facts), wanted={"pot": "The pot's colour."}),
                ],
                when=scored("screening", at_least=4),
            ),
        ]
    )
    records = [
        Record("a", {"title": "Leek soup", "abstract": "In a red pot."}),
        Record("b", {"title": "Bread"}),
    ]
    report = virtual(review(rounds, records))
    assert report.rows[0].votes["work"] == {"bea": {"reasoning": "x", "score": 2}, "cal": {"pot": "red"}}
    assert list(report.rows[1].votes) == ["screening"]
    assert report.spent["screening/ann"].requests == 2
    assert (report.spent["screening/ann"].cost or 0) > 0


def test_the_output_is_lines(tmp_path: Path) -> None:
    report = virtual(review(ReviewRounds([Round("first", [voter("ann", 1, 0.0)])]), RECORDS[:2]))
    report.write(tmp_path / "out.jsonl")
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first == {
        "id": "r0",
        "record": {"title": "Record 0"},
        "votes": {"first": {"ann": {"score": 2, "seen": []}}},
        "faults": {},
    }


def test_what_makes_no_review() -> None:
    one = Round("first", [voter("ann", 1)])
    for wrong, fault in (
        (lambda: ReviewRounds([]), "a review has rounds"),
        (lambda: ReviewRounds([one, one]), "a name of its own"),
        (lambda: ReviewRounds([one], concurrency=0), "concurrency must be"),
        (lambda: Round("first", []), "it has reviewers"),
        (lambda: Round("a b", [voter("ann", 1)]), "an identifier"),
        (lambda: voter("a/b", 1), "an identifier"),
        (lambda: scoring("a", FakeEndpoint([]), task="t", scale={1: "x"}), "two scores or more"),
        (lambda: abstraction("a", FakeEndpoint([]), wanted={}), "nothing is wanted"),
        (lambda: virtual(review(ReviewRounds([one]), [RECORDS[0], RECORDS[0]])), "two records have the id"),
    ):
        with pytest.raises(UserError, match=fault):
            wrong()
    assert virtual(review(ReviewRounds([one]), [])).rows == []


def test_disputes() -> None:
    def row(*scores: object) -> Row:
        return Row(RECORDS[0], {"a": {f"v{n}": {"score": score} for n, score in enumerate(scores)}})  # type: ignore[misc]

    disputed = disagreement("a")
    assert [disputed(row(*scores)) for scores in ((5, 4), (1, 2), (5, 1), (3, 3), (5, 3), ())] == [
        False, False, True, True, True, False,
    ]  # fmt: skip
    assert scored("a", at_least=3)(row(2, 4))
    assert not scored("a", at_least=3.5)(row(2, 4))
    assert [score_of(vote) for vote in (3, {"score": 2.5}, {"score": True}, "x", None)] == [
        3.0,
        2.5,
        None,
        None,
        None,
    ]
