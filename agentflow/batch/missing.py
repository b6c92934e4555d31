"""The prompts of an experiment that have no answer yet, as an experiment of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agentflow.batch.chain import read_completed_file
from agentflow.batch.lines import read_lines
from agentflow.batch.place import as_lines, filing
from agentflow.errors import UserError
from agentflow_protocols.experiment import Record, needs_asking, to_line

__all__ = ["write_missing"]


def write_missing(experiment: Path, completed: Path, new: Path, key: str | None = None) -> int:
    """Write the records of `experiment` that have no answer in `completed` to `new`; return how many.

    An error is no answer. Records are compared by their `key`, or by all that they hold.
    Raises `UserError` for a file that can't be read, or is `new` itself.
    """
    for other in (experiment, completed):
        if new.exists() and other.exists() and new.samefile(other):
            raise UserError(f"{new}: it would be written over; give --new another name")
    part = new.with_name(f"{new.name}.part")
    count = 0
    with filing(), tempfile.TemporaryDirectory() as folder:
        lines = as_lines(experiment, Path(folder) / "lines.jsonl")
        done = list(read_completed_file(completed))
        with open(part, "wb") as out:
            for record in needs_asking(_records(experiment, lines), done, by=key):
                out.write(to_line(record.values))
                count += 1
        os.replace(part, new)
    return count


def _records(named: Path, path: Path) -> Iterator[Record]:
    for line in read_lines(path):
        if not isinstance(line.content, Record):
            raise UserError(f"{named}:{line.number}: {line.content.message}")
        yield line.content
