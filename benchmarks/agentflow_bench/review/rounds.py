"""A table reviewed row by row, against rounds that wait for their slowest row, on the virtual clock."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from agentflow.builtin.scripted import ScriptedModel, ScriptedReply
from agentflow.endpoints import Endpoint, Price
from agentflow.endpoints.talk import Talk
from agentflow.review import Record, Reviewer, ReviewReport, ReviewRounds, Round, disagreement, scored
from agentflow.runtime import Context, Runtime
from agentflow.runtime.loop import new_loop, run_in
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import Json, Message

__all__ = ["ROUNDS"]

T = TypeVar("T")

_AT_ONCE = 20  # looks
_NONE = Bar("==", 0)
_STOPPED = 2  # tables whose review is stopped half way


class _Reviewers:
    """Reviewers whose votes depend on record and reviewer alone, and whose times are heavy-tailed.

    A look is a request of an endpoint that takes a Pareto time (shape 1.5, at least a second), at most
    `_AT_ONCE` at once; with `hedge` a slow one is sent a second time.
    """

    def __init__(self, table: int, hedge: float | None = None) -> None:
        self.asked: Counter[str] = Counter()
        self._chance = random.Random(table)
        model = ScriptedModel(lambda request: ScriptedReply("-", delay=self._chance.paretovariate(1.5)))
        self._endpoint = Endpoint(model, concurrency=_AT_ONCE, hedge=hedge, price=Price(0.0, 0.0))

    def score(self, name: str, record: str) -> int:
        """Return a vote."""
        return 1 + (random.Random(record).randrange(5) + random.Random(f"{name}/{record}").randrange(2)) % 5

    async def look(self, context: Context[object], name: str, record: str) -> int:
        """Look at a record and return the vote."""
        await Talk(self._endpoint, context, name=name).ask([Message("user", record)])
        self.asked[f"{name}/{record}"] += 1
        return self.score(name, record)

    def make(self, name: str) -> Reviewer:
        """Return the reviewer of a name."""

        async def look(context: Context[object], record: Record, votes: Mapping[str, Json]) -> Json:
            return await self.look(context, name, record.id)

        return Reviewer(name, look)


_PASSES = (("screening", ("ann", "ben", "cid")), ("senior", ("dot",)), ("extraction", ("eve", "fay")))
"""Rounds and their reviewers: three screen, one decides what is disputed, two work on what is good."""


def _rounds(reviewers: _Reviewers) -> ReviewRounds:
    conditions = {"senior": disagreement("screening"), "extraction": scored("screening", at_least=3)}
    return ReviewRounds(
        [
            Round(name, [reviewers.make(who) for who in names], conditions.get(name))
            for name, names in _PASSES
        ],
        concurrency=4 * _AT_ONCE,  # rows: what is limited is looks
    )


def _measured(setting: Setting) -> Sequence[Figure]:
    figures: list[Figure] = []
    for count, tables in ((40, 3),) if setting.quick else ((40, 30), (100, 30), (600, 1)):
        plain: list[float] = []
        hedged: list[float] = []
        other = wrong = again = 0
        for table in range(tables):
            records = [Record(f"t{table}.r{number}", {"title": str(number)}) for number in range(count)]
            theirs, waited = _timed(_barriers(records, table))
            for hedge, ratios in ((None, plain), (0.1, hedged)):
                reviewers = _Reviewers(table, hedge)
                ours, seconds = _timed(_ours(records, reviewers))
                ratios.append(waited / seconds)
                votes = {row.record.id: row.votes for row in ours.rows}
                other += sum(votes[name] != theirs[name] for name in votes)
                wanted = sum(len(each) for rounds in theirs.values() for each in rounds.values())
                wrong += abs(reviewers.asked.total() - wanted)
            if table < _STOPPED:
                again = max(again, _again(records, table))
        bar = Bar(">=", 2) if count <= 100 else None
        note = "the more rows for each look at once, the less a slow one matters"
        note = note if bar is None else "rounds that wait send nothing twice; without it in the next line"
        name = f"{count} records: rounds that wait / row by row"
        figures += [
            Figure(f"{name}, slow looks hedged", fmean(hedged), "x", bar, note),
            Figure(f"{name}, not hedged", fmean(plain), "x"),
            Figure(f"{count} records: rows with other votes", other, bar=_NONE),
            Figure(f"{count} records: looks too many or too few", wrong, bar=_NONE),
            Figure(f"{count} records: looks made twice after a stop", again, bar=Bar("<=", _AT_ONCE)),
        ]
    return figures


def _timed(work: Coroutine[object, object, T]) -> tuple[T, float]:
    """Return what comes of some work on a virtual clock of its own, and the time it took."""

    async def timed() -> tuple[T, float]:
        return await work, asyncio.get_running_loop().time()

    return run_in(lambda: new_loop("virtual"), timed())


async def _ours(records: Sequence[Record], reviewers: _Reviewers) -> ReviewReport:
    async with Runtime() as runtime:
        return (await runtime.run(_rounds(reviewers), records)).output


async def _barriers(records: Sequence[Record], table: int) -> dict[str, dict[str, dict[str, Json]]]:
    """Return the votes of the same reviewers, one after the other, in rounds that wait for all rows."""
    reviewers = _Reviewers(table)
    votes: dict[str, dict[str, dict[str, Json]]] = {record.id: {} for record in records}

    def disputed(record: str) -> bool:
        above = [int(str(score)) > 3 for score in votes[record]["screening"].values()]
        return any(above) != all(above) or 3 in votes[record]["screening"].values()

    def good(record: str) -> bool:
        scores = [int(str(score)) for score in votes[record]["screening"].values()]
        return sum(scores) / len(scores) >= 3

    async def work(context: Context[object], input: None) -> None:
        for round_, names in _PASSES:
            wanted = {"senior": disputed, "extraction": good}.get(round_)
            chosen = [each for each in votes if wanted is None or wanted(each)]
            for name in names:
                looks = [context.spawn(look, (name, each), key=f"{round_}-{name}-{each}") for each in chosen]
                for record, done in zip(chosen, await asyncio.gather(*looks), strict=True):
                    votes[record].setdefault(round_, {})[name] = done.output

    async def look(context: Context[object], input: tuple[str, str]) -> int:
        return await reviewers.look(context, *input)

    async with Runtime() as runtime:
        await runtime.run(work)
    return votes


def _again(records: Sequence[Record], table: int) -> int:
    """Return how many looks are made twice when a run is cancelled half way and gone on with."""
    asked: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:

        async def sitting(stop: float | None) -> None:
            reviewers = _Reviewers(table)
            reviewers.asked = asked
            async with Runtime(Path(folder) / "review.db") as runtime:
                try:
                    async with asyncio.timeout(stop):
                        await runtime.run(_rounds(reviewers), records, key="review")
                except TimeoutError:
                    pass

        for stop in (len(records) / 10, None):
            run_in(lambda: new_loop("virtual"), sitting(stop))
    return sum(count - 1 for count in asked.values())


ROUNDS = Measure(
    "reviews", "A row enters a round when its own votes are in; heavy-tailed reviewers.", _measured
)
