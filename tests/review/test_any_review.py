"""Any review comes to what one reviewer after the other, round after round, would have come to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow import Context, Runtime
from agentflow.review import (
    Record,
    Reviewer,
    ReviewReport,
    ReviewRounds,
    Round,
    Row,
    When,
    decided,
    disagreement,
    scored,
)
from agentflow.runtime.loop import new_loop, run_in
from agentflow_protocols.chat import Json

ROUNDS, PEOPLE = ("one", "two", "three"), ("ann", "ben", "cid")


@st.composite
def conditions(draw: st.DrawFn, before: list[str]) -> When | None:
    """Return what lets rows into a round, by the rounds before it."""
    if not before or draw(st.booleans()):
        return None
    some = draw(st.lists(st.sampled_from(before), min_size=1, unique=True))
    kind = draw(st.sampled_from(["disagreement", "scored", "decided", "function"]))
    if kind == "disagreement":
        return disagreement(some[0], threshold=draw(st.integers(1, 5)))
    if kind == "scored":
        return scored(some, at_least=draw(st.integers(1, 5)))
    if kind == "decided":
        return decided(some, "in")
    return lambda row: int(row.record.id) % 2 == 0


VOTES = st.sampled_from([1, 2, 3, 4, 5, "in", "out", None, {"score": 4}, {"decision": "in"}, "fails"])


@st.composite
def reviews(
    draw: st.DrawFn,
) -> tuple[list[tuple[str, list[str], When | None, bool]], int, int, dict[str, Json]]:
    shape: list[tuple[str, list[str], When | None, bool]] = []
    for name in ROUNDS[: draw(st.integers(1, 3))]:
        people = draw(st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True))
        when = draw(conditions([each[0] for each in shape]))
        shape.append((name, people, when, draw(st.booleans())))
    count = draw(st.integers(1, 6))
    votes = {
        f"{name}/{who}/{record}": draw(VOTES)
        for name, people, _, _ in shape
        for who in people
        for record in range(count)
    }
    return shape, count, draw(st.integers(1, 7)), votes


def wanted(
    shape: list[tuple[str, list[str], When | None, bool]], row: Row, votes: Mapping[str, Json]
) -> dict[str, list[str]]:
    """Put the votes into a row, one by one; return what each reviewer is told before its look."""
    told: dict[str, list[str]] = {}
    for name, people, when, sees in shape:
        if row.faults or (when is not None and not when(row)):
            continue
        seen = [f"{each}/{who}" for each, given in row.votes.items() for who in given] if sees else []
        row.votes[name] = {}
        for who in people:
            told[f"{name}/{who}"] = seen
            vote = votes[f"{name}/{who}/{row.record.id}"]
            if vote == "fails":
                row.faults[f"{name}/{who}"] = "ValueError: it fails"
            else:
                row.votes[name][who] = vote
    return told


@settings(max_examples=120, deadline=None)
@given(reviews())
def test_any_review(
    review: tuple[list[tuple[str, list[str], When | None, bool]], int, int, dict[str, Json]],
) -> None:
    shape, count, concurrency, votes = review
    seen: dict[str, dict[str, list[str]]] = {str(record): {} for record in range(count)}

    def reviewer(round_: str, who: str) -> Reviewer:
        async def look(context: Context[object], record: Record, before: Mapping[str, Json]) -> Json:
            seen[record.id][f"{round_}/{who}"] = list(before)
            await asyncio.sleep((len(round_) * 5 + ord(who[0]) + int(record.id) * 3) % 7)
            if votes[f"{round_}/{who}/{record.id}"] == "fails":
                raise ValueError("it fails")
            return votes[f"{round_}/{who}/{record.id}"]

        return Reviewer(who, look)

    rounds = [
        Round(name, [reviewer(name, who) for who in people], when, sees) for name, people, when, sees in shape
    ]

    async def work() -> ReviewReport:
        async with Runtime() as runtime:
            rows = [Record(str(number), {"n": number}) for number in range(count)]
            return (
                await runtime.run(ReviewRounds(rounds, concurrency=concurrency, on_fault="keep"), rows)
            ).output

    report = run_in(lambda: new_loop("virtual"), work())
    looks = failed = 0
    for number, row in enumerate(report.rows):
        plain = Row(Record(str(number), {"n": number}))
        told = wanted(shape, plain, votes)
        assert (row.votes, row.faults) == (plain.votes, plain.faults)
        assert seen[str(number)] == told
        looks += len(told)
        failed += len(plain.faults)
    assert sum(spent.looks for spent in report.spent.values()) == looks
    assert sum(spent.failed for spent in report.spent.values()) == failed
    columns, rows = report.table()
    assert len(set(columns)) == len(columns)
    assert all(len(cells) == len(columns) for cells in rows)
