"""Answers from elsewhere: completed files of prompto's, or of a start whose input has changed since.

A prompt is known again by what it holds, wherever its line is now; a prompt that stands
on several lines takes as many answers as there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from agentflow.batch.lines import MOST_BYTES, read_pages
from agentflow.batch.store import Store
from agentflow_protocols.experiment import Completed, Record, read_completed

__all__ = ["adopt"]


async def adopt(sources: Iterable[Path], target: Path, store: Store) -> int:
    """Put the answers in `sources` into `store`, for the prompts of the input `target`; return how many."""
    places: dict[str, list[tuple[Path, int]]] = defaultdict(list)
    for source in sources:
        for offset, completed in _read(source):
            if not completed.failed:
                places[Record(0, completed.values).hash].append((source, offset))
    if not places:
        return 0
    count = 0
    for page in read_pages(target):
        for line in page:
            record = line.content
            if isinstance(record, Record) and (found := places.get(record.hash)):
                source, offset = found.pop(0)
                answer = _answer(source, offset)
                store.done(record.line, record.hash, answer.added, failed=False, began=0.0)
                count += 1
        await store.barrier()
    return count


def _read(path: Path) -> Iterable[tuple[int, Completed]]:
    offset = 0
    with open(path, "rb") as file:
        while raw := file.readline(MOST_BYTES):
            completed = read_completed(raw, 0)
            if isinstance(completed, Completed):  # else a torn line: its prompt is asked again
                yield offset, completed
            offset += len(raw)


def _answer(path: Path, offset: int) -> Completed:
    with open(path, "rb") as file:
        file.seek(offset)
        found = read_completed(file.readline(MOST_BYTES), 0)
    assert isinstance(found, Completed)
    return found
