"""ReviewRounds: reviewers in rounds over a table of records, row by row, with no barrier between rounds."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

import pydantic_core

from agentflow.errors import EndpointError, RunError, UserError
from agentflow.review.records import Record
from agentflow.review.reviewer import Reviewer
from agentflow.runtime import Context, Result
from agentflow_protocols.chat import Json

__all__ = ["ReviewReport", "ReviewRounds", "Round", "Row", "Spent", "disagreement", "score_of", "scored"]


@dataclass(slots=True)
class Row:
    """A record and the votes on it, by round and reviewer; `faults` has those that failed."""

    record: Record
    votes: dict[str, dict[str, Json]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """Return it as a line of the output: the record's fields, and the votes."""
        return {
            "id": self.record.id,
            "record": dict(self.record.fields),
            "votes": dict(self.votes),
            "faults": dict(self.faults),
        }


When: TypeAlias = Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class Round:
    """Reviewers who look at the same rows: all of them, or those for which `when` says so.

    `sees_votes`: its reviewers are told what earlier rounds said.
    """

    name: str
    reviewers: Sequence[Reviewer]
    when: When | None = None
    sees_votes: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UserError(f"a round's name is an identifier, not {self.name[:60]!r}")
        names = [each.name for each in self.reviewers]
        if not names or len(set(names)) < len(names):
            raise UserError(f"round {self.name}: it has reviewers, each with a name of its own")


@dataclass(slots=True)
class Spent:
    """What a reviewer's looks in a round took. `cost` is USD, None when a price is unknown."""

    looks: int = 0
    failed: int = 0
    tokens: int = 0
    requests: int = 0
    cost: float | None = 0.0


@dataclass(slots=True)
class ReviewReport:
    """All rows in the order of the records, and what each reviewer took, as `ROUND/REVIEWER`."""

    rows: list[Row] = field(default_factory=list)
    spent: dict[str, Spent] = field(default_factory=dict)

    def entered(self, round: str) -> list[Row]:
        """Return the rows that entered a round."""
        return [row for row in self.rows if round in row.votes]

    def write(self, path: str | Path) -> None:
        """Write the rows, a line of JSON each."""
        lines = [json.dumps(row.as_json(), ensure_ascii=False) + "\n" for row in self.rows]
        Path(path).write_text("".join(lines), encoding="utf-8")


class ReviewRounds:
    """Review records in rounds; run it with a list of `Record`s, and the output is a `ReviewReport`.

    A row enters a round as soon as its own votes of the rounds before are in; within a round its
    reviewers look at once. At most `concurrency` rows are under way. With a journal nothing is asked
    twice: a run that failed, or that a crash ended, goes on with the same key. Looks whose endpoint
    failed fail the run in the end, with all other rows done; run again, only they are asked.
    """

    kind = "review"

    def __init__(self, rounds: Sequence[Round], *, concurrency: int = 32, name: str = "review") -> None:
        names = [each.name for each in rounds]
        if not names or len(set(names)) < len(names):
            raise UserError(f"{name}: a review has rounds, each with a name of its own")
        if concurrency < 1:
            raise UserError(f"{name}: concurrency must be 1 or more, not {concurrency}")
        self.rounds = tuple(rounds)
        self.concurrency = concurrency
        self.name = name

    async def __run__(self, context: Context[object], records: Sequence[Record], /) -> ReviewReport:
        """Review the records. Raises `RunError` when some look failed, after all others are done."""
        # A run that goes on is given its recorded input, which is plain JSON.
        records = [each if isinstance(each, Record) else Record(**each) for each in records]
        ids = Counter(record.id for record in records)
        twice = next((name for name, count in ids.items() if count > 1), None)
        if twice is not None:
            raise UserError(f"{self.name}: two records have the id {twice[:60]!r}")
        report = ReviewReport([Row(record) for record in records])
        waiting = iter(report.rows)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.concurrency, len(report.rows))):
                group.create_task(self._work(context, waiting, report))
        failed = [row for row in report.rows if row.faults]
        if failed:
            who, fault = next(iter(failed[0].faults.items()))
            count, row = f"{len(failed)} of {len(report.rows)}", failed[0].record.id
            raise RunError(
                f"{self.name}: {count} rows lack a vote, first {row} ({who}: {fault[:200]});"
                " the same run again asks only what is missing"
            )
        return report

    async def _work(self, context: Context[object], waiting: Iterator[Row], report: ReviewReport) -> None:
        for row in waiting:
            for each in self.rounds:
                if row.faults:
                    break
                if each.when is None or each.when(row):
                    await self._round(context, each, row, report)
            context.emit("row", {"id": row.record.id, "rounds": list(row.votes), "failed": bool(row.faults)})

    async def _round(self, context: Context[object], each: Round, row: Row, report: ReviewReport) -> None:
        seen: dict[str, Json] = {}
        if each.sees_votes:
            seen = {f"{name}/{who}": vote for name, votes in row.votes.items() for who, vote in votes.items()}
        async with asyncio.TaskGroup() as group:
            tasks = {
                reviewer.name: group.create_task(self._look(context, each, reviewer, row, seen, report))
                for reviewer in each.reviewers
            }
        votes = {name: task.result() for name, task in tasks.items()}
        row.votes[each.name] = {
            name: vote for name, vote in votes.items() if f"{each.name}/{name}" not in row.faults
        }

    async def _look(
        self,
        context: Context[object],
        each: Round,
        reviewer: Reviewer,
        row: Row,
        seen: Mapping[str, Json],
        report: ReviewReport,
    ) -> Json:
        """Return a reviewer's vote, in a run of its own: what the journal knows is not asked again."""
        name = f"{each.name}/{reviewer.name}"
        spent = report.spent.setdefault(name, Spent())

        async def look(inner: Context[object], input: None) -> Json:
            vote = await reviewer.look(inner, row.record, seen)
            return cast("Json", pydantic_core.to_jsonable_python(vote))

        spent.looks += 1
        try:
            key = f"{each.name}-{reviewer.name}-{_safe(row.record.id)}"
            result: Result[Json] = await context.run(look, None, key=key)
        except (EndpointError, UserError, RunError) as error:
            spent.failed += 1
            row.faults[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            return None
        spent.tokens += result.usage.total_tokens
        spent.requests += result.usage.requests
        spent.cost = None if spent.cost is None or result.cost is None else spent.cost + result.cost
        return result.output


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else f"%{ord(c):x}" for c in name)


def score_of(vote: Json) -> float | None:
    """Return the score in a vote, None where there is none."""
    score = vote.get("score") if isinstance(vote, dict) else vote
    return float(score) if isinstance(score, int | float) and not isinstance(score, bool) else None


def disagreement(round: str, *, threshold: float = 3.0) -> When:
    """Return a condition: in `round` some scored above the threshold and some did not, or one stood on it."""

    def when(row: Row) -> bool:
        scores = [
            score for vote in row.votes.get(round, {}).values() if (score := score_of(vote)) is not None
        ]
        above = [score > threshold for score in scores]
        return bool(scores) and (any(above) != all(above) or threshold in scores)

    return when


def scored(round: str, *, at_least: float) -> When:
    """Return a condition: the mean score of `round` is at least so high."""

    def when(row: Row) -> bool:
        scores = [
            score for vote in row.votes.get(round, {}).values() if (score := score_of(vote)) is not None
        ]
        return bool(scores) and sum(scores) / len(scores) >= at_least

    return when
