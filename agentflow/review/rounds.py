"""ReviewRounds: reviewers in rounds over a table of records, row by row, with no barrier between rounds."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal, TypeAlias, cast

import pydantic_core

from agentflow.errors import LimitExceeded, ProtocolError, RemoteProtocolError, RunError, UserError
from agentflow.review.conditions import When, disagreement
from agentflow.review.records import Record, near
from agentflow.review.report import ReviewFailed, ReviewReport, Row, Spent
from agentflow.review.reviewer import Reviewer
from agentflow.runtime import Budget, Context, Result
from agentflow.runtime.execute import recorded_input
from agentflow.runtime.ledger import digest
from agentflow_protocols.chat import Json

__all__ = ["OnFault", "ReviewRounds", "Round"]

OnFault: TypeAlias = Literal["fail", "keep"]

_PATIENCE = 20  # looks of a reviewer in a round that fail one after the other, before it is given up


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
        if inspect.iscoroutinefunction(self.when):
            raise UserError(f"round {self.name}: `when` is a plain function of a Row, which never waits")


@dataclass(slots=True)
class _Sitting:
    """What a run of a review has in hand."""

    context: Context[object]
    report: ReviewReport
    waiting: Iterator[Row]
    failing: Counter[str] = field(default_factory=Counter)  # looks in a row
    given_up: str | None = None
    error: Exception | None = None

    def failed(self, name: str, row: Row, error: Exception) -> None:
        """Take it down that a look, or a condition, failed."""
        row.faults[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        self.error = self.error or error
        self.failing[name] += 1
        if self.failing[name] >= _PATIENCE and self.given_up is None:
            self.given_up = name


class ReviewRounds:
    """Review records in rounds; run it with a list of `Record`s, and the output is a `ReviewReport`.

    A row enters a round as soon as its own votes of the rounds before are in; within a round its
    reviewers look at once. At most `concurrency` rows are under way. With a journal nothing is asked
    twice: a run that failed, or that a crash ended, goes on with the same key; what has changed since
    (a record, a reviewer's criteria) is looked at anew.

    A look that fails (its endpoint, a model that never answers as it should, a function that raises)
    ends the way of its row alone. When all other rows are done such a run fails with `ReviewFailed`,
    and run again only what is missing is asked; with `on_fault="keep"` it succeeds, and the faults
    stand in the report. When the looks of a reviewer fail 20 times in a row, no more rows are begun.
    """

    kind = "review"

    def __init__(
        self,
        rounds: Sequence[Round],
        *,
        concurrency: int = 32,
        on_fault: OnFault = "fail",
        name: str = "review",
    ) -> None:
        names = [each.name for each in rounds]
        if not names or len(set(names)) < len(names):
            raise UserError(f"{name}: a review has rounds, each with a name of its own")
        if concurrency < 1:
            raise UserError(f"{name}: concurrency must be 1 or more, not {concurrency}")
        if on_fault not in ("fail", "keep"):
            raise UserError(f"{name}: on_fault must be fail or keep, not {on_fault!r}")
        self.rounds = tuple(rounds)
        self.concurrency = concurrency
        self.on_fault: OnFault = on_fault
        self.name = name

    async def __run__(self, context: Context[object], records: Sequence[Record], /) -> ReviewReport:
        """Review the records. Raises `ReviewFailed` when some look failed, after all others are done."""
        # A run that goes on is given its recorded input, which is plain JSON.
        records = [each if isinstance(each, Record) else Record(**each) for each in records]
        self._check(records)
        report = ReviewReport([Row(record) for record in records])
        for each in self.rounds:
            report.spent.update({f"{each.name}/{reviewer.name}": Spent() for reviewer in each.reviewers})
        told: list[Json] = [
            {"name": each.name, "reviewers": [reviewer.name for reviewer in each.reviewers]}
            for each in self.rounds
        ]
        context.emit("review", {"name": self.name, "records": len(records), "rounds": told})
        sitting = _Sitting(context, report, iter(report.rows))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.concurrency, len(report.rows))):
                group.create_task(self._work(sitting))
        failed = [row for row in report.rows if row.faults]
        if failed and (self.on_fault == "fail" or sitting.given_up is not None):
            raise self._failed(sitting, failed) from sitting.error
        return report

    def _check(self, records: Sequence[Record]) -> None:
        """Look that ids are not used twice, and that each reviewer has something to read."""
        ids = Counter(record.id for record in records)
        twice = next((name for name, times in ids.items() if times > 1), None)
        if twice is not None:
            raise UserError(f"{self.name}: two records have the id {twice[:60]!r}")
        for each in self.rounds if records else ():
            for reviewer in each.reviewers:
                fields = reviewer.fields
                if fields and not any(record.get(name) for record in records for name in fields):
                    known = dict.fromkeys(name for record in records[:1000] for name in record.fields)
                    hint = near(fields[0], known)
                    raise UserError(
                        f"{self.name}: reviewer {reviewer.name} reads {', '.join(fields)}, and no record has"
                        f" any of these; they have {', '.join(known)[:200] or 'nothing'}{hint}"
                    )

    def _failed(self, sitting: _Sitting, failed: Sequence[Row]) -> RunError:
        who, fault = next(iter(failed[0].faults.items()))
        rows = sitting.report.rows
        first = f"first {failed[0].record.id[:60]} ({who}: {fault[:200]})"
        few = f"{len(failed)} of {len(rows)} rows lack a vote, {first}"
        if sitting.given_up is not None:
            left = sum(1 for _ in sitting.waiting)
            few += f"; {sitting.given_up} failed {_PATIENCE} times in a row, so {left} rows were not begun"
        return ReviewFailed(
            f"{self.name}: {few}; the same run again asks only what is missing", sitting.report
        )

    async def _work(self, sitting: _Sitting) -> None:
        context = sitting.context
        while sitting.given_up is None and (row := next(sitting.waiting, None)) is not None:
            for each in self.rounds:
                if row.faults:
                    break
                try:
                    enters = each.when is None or each.when(row)
                    sitting.failing[f"{each.name}/when"] = 0
                except Exception as error:
                    sitting.failed(f"{each.name}/when", row, error)
                    break
                if enters:
                    await self._round(sitting, each, row)
            fault = next((f"{who}: {text}" for who, text in row.faults.items()), None)
            context.emit("row", {"id": row.record.id, "rounds": list(row.votes), "fault": fault})

    async def _round(self, sitting: _Sitting, each: Round, row: Row) -> None:
        sitting.context.emit("entered", {"id": row.record.id, "round": each.name})
        seen: dict[str, Json] = {}
        if each.sees_votes:
            seen = {f"{name}/{who}": vote for name, votes in row.votes.items() for who, vote in votes.items()}
        async with asyncio.TaskGroup() as group:
            tasks = {
                reviewer.name: group.create_task(self._look(sitting, each, reviewer, row, seen))
                for reviewer in each.reviewers
            }
        votes = {name: task.result() for name, task in tasks.items()}
        row.votes[each.name] = {
            name: vote for name, vote in votes.items() if f"{each.name}/{name}" not in row.faults
        }
        disputed = disagreement(each.name)(row) if len(each.reviewers) > 1 else False
        sitting.context.emit("voted", {"id": row.record.id, "round": each.name, "disputed": disputed})

    async def _look(
        self, sitting: _Sitting, each: Round, reviewer: Reviewer, row: Row, seen: Mapping[str, Json]
    ) -> Json:
        """Return a reviewer's vote, None when it failed; count what it took."""
        name, vote = f"{each.name}/{reviewer.name}", None
        spent, took = sitting.report.spent[name], Spent()
        try:
            vote = await _asked(sitting.context, each, reviewer, row, seen, took)
            sitting.failing[name] = 0
        except Exception as error:
            if isinstance(error, LimitExceeded):
                _raise_own(sitting.context, error)
            spent.failed += 1
            sitting.failed(name, row, error)
        spent.looks += 1
        spent.add(took)
        told: dict[str, Json] = {"tokens": took.tokens, "cost": took.cost, "failed": name in row.faults}
        sitting.context.emit(
            "look", {"id": row.record.id, "round": each.name, "reviewer": reviewer.name, **told}
        )
        return vote


async def _asked(
    context: Context[object], each: Round, reviewer: Reviewer, row: Row, seen: Mapping[str, Json], took: Spent
) -> Json:
    """Return a reviewer's vote, in a run of its own: what the journal knows is not asked again.

    A look that was made of another record, or by other criteria, is left where it is, and made anew. One
    whose answers were no votes is read again, for what it took, and then made anew as well.
    """
    told: list[Json] = [dict(row.record.fields), dict(seen), reviewer.version]
    rested = digest(json.dumps(told, sort_keys=True, default=str))
    base = f"{each.name}-{reviewer.name}-{_safe(row.record.id)}"
    for number in count():
        key = f"{base}~{number}" if number else base
        record = context.state.records.get(f"{context.run_id}/{key}")
        if record is not None and recorded_input(record)[0] != rested:
            continue
        spoilt = record is not None and record.row.status == "failed" and _is_no_vote(record.row.error)
        begun: list[Budget] = []

        async def look(inner: Context[object], input: str, begun: list[Budget] = begun) -> Json:
            begun.append(inner.budget)
            vote = await reviewer.look(inner, row.record, seen)
            return cast("Json", pydantic_core.to_jsonable_python(vote, inf_nan_mode="null"))

        try:
            result: Result[Json] = await context.run(look, rested, key=key)
        except Exception as error:
            for budget in begun:
                took.count(budget.usage, budget.cost)
            if spoilt and isinstance(error, ProtocolError):
                continue
            raise
        took.count(result.usage, result.cost)
        return result.output
    raise AssertionError("count() has no end")


def _is_no_vote(error: str | None) -> bool:
    return error is not None and error.startswith(RemoteProtocolError.__name__)


def _raise_own(context: Context[object], error: LimitExceeded) -> None:
    """Raise when a limit of the review, or of what it runs in, is reached, and not one of the look."""
    context.budget.check()
    if context.deadline is not None and context.clock.time() >= context.deadline:
        raise error


def _safe(name: str) -> str:
    """Return an id as a part of a key, another for each: signs are written out, long ones cut."""
    safe = "".join(c if c.isalnum() or c in "._" else f"%{ord(c):x};" for c in name)
    return safe if len(safe) <= 120 else f"{safe[:80]}%{digest(safe)}"
