"""An experiment's lines, read from any place in the file in bounded memory, and made from CSV or rows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agentflow.errors import UserError
from agentflow_protocols.chat import Json
from agentflow_protocols.experiment import Problem, Record, read_line, read_row, to_line

__all__ = ["MOST_BYTES", "PAGE", "Line", "read_lines", "read_pages", "write_csv_lines", "write_rows"]

MOST_BYTES = 64 * 1024 * 1024  # of one line
PAGE = 500  # lines that are looked up at once
_CELL_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Line:
    """A line that is not blank: what it says, and where it begins in the file."""

    content: Record | Problem
    offset: int

    @property
    def number(self) -> int:
        """The line's number, from 1."""
        return self.content.line


def read_lines(path: Path, *, number: int = 1, offset: int = 0) -> Iterator[Line]:
    """Read the lines of a JSON Lines file from line `number` on, which begins at byte `offset`."""
    with open(path, "rb") as file:
        file.seek(offset)
        while raw := file.readline(MOST_BYTES + 1):
            size = len(raw)
            if size > MOST_BYTES and not raw.endswith(b"\n"):
                size += _skip_line(file)
                content: Record | Problem | None = Problem(
                    number, f"longer than {MOST_BYTES // 1024 // 1024} MiB; put large media into files"
                )
            else:
                content = read_line(raw, number, first=number == 1)
            if content is not None:
                yield Line(content, offset)
            number += 1
            offset += size


def read_pages(path: Path) -> Iterator[list[Line]]:
    """Read the lines of a JSON Lines file, some at a time."""
    page: list[Line] = []
    for line in read_lines(path):
        page.append(line)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _skip_line(file: BinaryIO) -> int:
    """Pass over the rest of a line and return how many bytes it has."""
    skipped = 0
    while part := file.readline(1 << 20):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def write_csv_lines(table: Path, path: Path) -> None:
    """Write the rows of a CSV file as JSON Lines. Raises `UserError`, which names a wrong row."""
    before = csv.field_size_limit(_CELL_BYTES)
    try:
        with open(table, encoding="utf-8-sig", newline="") as source, open(path, "wb") as out:
            rows = csv.reader(source)
            header = next(rows, None)
            if header is None:
                raise UserError(f"{table}: the file is empty; its first row should name the columns")
            for cells in rows:
                record = read_row(header, cells, rows.line_num)
                if isinstance(record, Problem):
                    raise UserError(f"{table}:{record.line}: {record.message}")
                if record is not None:
                    out.write(to_line(record.values))
    except csv.Error as error:
        raise UserError(f"{table}:{rows.line_num}: no CSV: {error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{table}: not UTF-8 at byte {error.start}; save the table as UTF-8") from None
    finally:
        csv.field_size_limit(before)


def write_rows(rows: Iterable[Mapping[str, Json]], path: Path) -> None:
    """Write records as JSON Lines."""
    with open(path, "wb") as out:
        for row in rows:
            out.write(to_line(dict(row)))
