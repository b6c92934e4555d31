"""Long files: memory that does not grow with them, and the time that each line takes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from agentflow.batch.lines import read_pages
from agentflow.batch.place import Folder
from agentflow.batch.store import Store
from agentflow.runtime.sqlite import SqliteJournal
from agentflow_bench.batch.dialects import answer_of
from agentflow_bench.batch.experiment import Experiment, Ran, experiment
from agentflow_bench.batch.rules import Rules
from agentflow_bench.batch.served import Served
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.experiment import TIMESTAMP, Record, completed, to_line

__all__ = ["LINES"]

_LEFT = 1000
_AT_ONCE = 64


async def _answer_most(made: Experiment) -> None:
    """Leave the experiment as an earlier sitting would have, with all but the last prompts answered."""
    place = Folder(made.data, made.file).place(datetime.now().strftime(TIMESTAMP))
    place.input.parent.mkdir(parents=True)
    place.input.write_bytes(made.file.read_bytes())
    journal = SqliteJournal(made.output / "journal.db", durable=False)
    await journal.open()
    try:
        store = Store(journal, place.run)
        store.begin(place.name, "0", {})
        with open(place.completed, "wb") as out:
            for page in read_pages(place.input):
                for line in page:
                    record = line.content
                    assert isinstance(record, Record)
                    if record.line > made.count - _LEFT:
                        break
                    added = _added(str(record.values["prompt"]))
                    store.done(record.line, record.hash, added, failed=False, began=1.0)
                    out.write(to_line(completed(record.values, dict(added))))
                await store.barrier()
    finally:
        await journal.aclose()


def _added(prompt: str) -> dict[str, str | float | int | dict[str, int] | None]:
    stamp = "01-01-2026-00-00-00"
    return {
        "timestamp_sent": stamp,
        "response": answer_of(prompt),
        "usage": {"input_tokens": 20, "output_tokens": 4, "cached_tokens": 0},
        "cost": None,
        "finish_reason": "stop",
        "latency_s": 0.1,
        "attempts": 1,
        "endpoint": "openai:m",
        "timestamp_received": stamp,
    }


def _resumed(count: int) -> tuple[Ran, list[Figure]]:
    """Go on with a file of which all but 1,000 prompts are answered."""
    with Served(Rules(keeps=False)) as server, experiment(server.url, count) as made:
        asyncio.run(_answer_most(made))
        ran = made.run("--concurrency", _AT_ONCE, timeout=900)
        come = server.record().come
    name = f"{count:,} lines, {_LEFT:,} unanswered"
    return ran, [
        Figure(f"{name}: requests", come, bar=Bar("==", _LEFT)),
        Figure(f"{name}: answered in the end", ran.number("answered"), bar=Bar("==", count)),
        Figure(f"{name}: peak", ran.took.peak_mb, "MB"),
    ]


def _fresh(count: int) -> tuple[Ran, list[Figure]]:
    with Served(Rules(keeps=False)) as server, experiment(server.url, count) as made:
        ran = made.run("--concurrency", _AT_ONCE, timeout=900)
        right = made.right()
    name = f"{count:,} fresh lines"
    return ran, [
        Figure(f"{name}: right", right, bar=Bar("==", count)),
        Figure(f"{name}: a line, in all", ran.took.wall_s * 1000 / count, "ms"),
        Figure(f"{name}: peak", ran.took.peak_mb, "MB"),
    ]


def _lines(setting: Setting) -> Sequence[Figure]:
    small, large = (2_000, 20_000) if setting.quick else (10_000, 1_000_000)
    before, figures = _resumed(small)
    after, more = _resumed(large)
    figures += more
    each = (after.number("wall_s") - before.number("wall_s")) * 1e6 / (large - small)
    grown = after.took.peak_mb - before.took.peak_mb
    figures += [
        Figure(f"peak above that with {small:,} lines", grown, "MB", Bar("<=", 20)),
        Figure(
            "an answered line, passed over", each, "us", note="read, looked up, counted; then read once more"
        ),
    ]
    if setting.quick:
        return figures
    ran, more = _fresh(30_000)
    figures += more
    grown = ran.took.peak_mb - before.took.peak_mb
    return [*figures, Figure(f"its peak above that with {small:,} lines", grown, "MB", Bar("<=", 20))]


LINES = Measure(
    "lines", "A million lines, of which 999,000 are answered; and thousands that are not.", _lines
)
