"""The completed file: a line for each prompt that has ended, written when its answer is durable.

The journal is the truth and the file its picture: a torn line is dropped, and what the
file lacks is written anew from the journal.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from agentflow.batch.lines import Line, read_pages
from agentflow.batch.place import Place
from agentflow.batch.store import Known, Store
from agentflow.errors import RunError
from agentflow_protocols.chat import Json
from agentflow_protocols.experiment import Problem, Record, completed, to_line, to_row

__all__ = [
    "CompletedFile",
    "count_lines",
    "fitting",
    "look_up",
    "output_line",
    "read_output",
    "write_in_order",
    "write_table",
]


class CompletedFile:
    """The completed file of a start, open for appending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Open the file, made when it is not there. Raises `RunError`."""
        try:
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise RunError(f"{self.path}: {error.strerror}") from None

    def add(self, content: Record | Problem, added: Mapping[str, Json]) -> None:
        """Append the line of a prompt that has ended. Raises `RunError` when there is no room for it."""
        assert self._file is not None
        line = output_line(content, added)
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise RunError(
                f"{self.path}: {error.strerror}; the answers are kept in the journal: make room and"
                " run the same command again"
            ) from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def output_line(content: Record | Problem, added: Mapping[str, Json]) -> bytes:
    """Return the line of a prompt: what it was, and what came of it."""
    values: dict[str, Json] = {"line": content.line} if isinstance(content, Problem) else content.values
    return to_line(completed(values, dict(added)))


async def look_up(page: list[Line], store: Store | None) -> list[tuple[Line, Known | None]]:
    """Return the lines of a page, each with what is known of its prompt."""
    known = {} if store is None else await store.known(page[0].number, page[-1].number)
    return [(line, fitting(line.content, known.get(line.number))) for line in page]


def fitting(content: Record | Problem, known: Known | None) -> Known | None:
    """Return what is known when it is of this very prompt."""
    if known is None:
        return None
    return known if known.hash == (content.hash if isinstance(content, Record) else "") else None


async def write_in_order(place: Place, store: Store, path: Path, *, failed: bool) -> int:
    """Write what ended, in the order of the input; `failed` prompts too, or answers alone.

    The file is whole at every moment. Returns how many lines it has.
    """
    part = path.with_name(f"{path.name}.part")
    count = 0
    wanted = ("ok", "failed") if failed else ("ok",)
    try:
        with _written(part) as out:
            for page in read_pages(place.input):
                for line, known in await look_up(page, store):
                    if known is not None and known.status in wanted and known.added is not None:
                        out.write(output_line(line.content, json.loads(known.added)))
                        count += 1
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(f"{path}: {error.strerror}; make room and run the same command again") from None
    return count


def _written(path: Path) -> BinaryIO:
    return open(path, "wb")


def count_lines(path: Path) -> int | None:
    """Return how many whole lines a file has; None when it is not there or its last line is torn."""
    count, last = 0, b"\n"
    try:
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                count += part.count(b"\n")
                last = part
    except FileNotFoundError:
        return None
    return count if last.endswith(b"\n") else None


def read_output(path: Path) -> Iterator[dict[str, Json]]:
    """Read the lines of an output."""
    with open(path, "rb") as file:
        for line in file:
            yield json.loads(line)


def write_table(lines: Path, table: Path) -> None:
    """Write an output as CSV; parameters and other nested values are JSON text."""
    columns: dict[str, None] = {}
    for values in read_output(lines):
        columns.update(dict.fromkeys(values))
    part = table.with_name(f"{table.name}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(columns)
            rows.writerows(to_row(values, list(columns)) for values in read_output(lines))
        os.replace(part, table)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(f"{table}: {error.strerror}") from None
