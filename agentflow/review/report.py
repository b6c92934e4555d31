"""What a review came to: votes row by row, what they took, and a table of it."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

from agentflow.errors import RunError, UserError
from agentflow.review.records import Record
from agentflow_protocols.chat import Json, Usage

__all__ = ["ReviewFailed", "ReviewReport", "Row", "Spent"]


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


@dataclass(slots=True)
class Spent:
    """What a reviewer's looks in a round took. `cost` is USD, None when a price is unknown."""

    looks: int = 0
    failed: int = 0
    tokens: int = 0
    requests: int = 0
    cost: float | None = 0.0

    def count(self, usage: Usage, cost: float | None) -> None:
        """Count what a run took."""
        self.tokens += usage.total_tokens
        self.requests += usage.requests
        self.cost = None if self.cost is None or cost is None else self.cost + cost

    def add(self, other: Spent) -> None:
        """Add what another took."""
        self.looks += other.looks
        self.failed += other.failed
        self.tokens += other.tokens
        self.requests += other.requests
        self.cost = None if self.cost is None or other.cost is None else self.cost + other.cost


@dataclass(slots=True)
class ReviewReport:
    """All rows in the order of the records, and what each reviewer took, as `ROUND/REVIEWER`."""

    rows: list[Row] = field(default_factory=list)
    spent: dict[str, Spent] = field(default_factory=dict)

    def entered(self, round: str) -> list[Row]:
        """Return the rows that entered a round."""
        return [row for row in self.rows if round in row.votes]

    def as_json(self) -> dict[str, Json]:
        """Return the report without the records' fields: counts, what was spent, votes, faults."""
        rounds: dict[str, Json] = {}
        for name, spent in self.spent.items():
            round_, _, reviewer = name.partition("/")
            told = rounds.setdefault(round_, {"rows": len(self.entered(round_)), "reviewers": {}})
            cast("dict[str, Json]", cast("dict[str, Json]", told)["reviewers"])[reviewer] = asdict(spent)
        rows: list[Json] = [{"id": row.record.id, "votes": dict(row.votes)} for row in self.rows]
        faults = {row.record.id: dict(row.faults) for row in self.rows if row.faults}
        return {"records": len(self.rows), "rounds": rounds, "rows": rows, "faults": {**faults}}

    def table(self) -> tuple[list[str], Iterator[list[str]]]:
        """Return a table's columns and rows: `id`, the records' fields, a column for each answer.

        A vote that is an object has the columns `ROUND_REVIEWER_FIELD`, any other the column
        `ROUND_REVIEWER`. The last column, `faults`, is there when something failed.
        """
        columns: dict[tuple[str, ...], str] = {("id",): "id"}
        taken = {"id"}

        def name(*place: str) -> None:
            if place in columns:
                return
            wanted = chosen = "_".join(each for each in place if each)
            count = 1
            while chosen in taken:
                count += 1
                chosen = f"{wanted}_{count}"
            columns[place] = chosen
            taken.add(chosen)

        for row in self.rows:
            for each in row.record.fields:
                if each != "id" or str(row.record.fields[each]) != row.record.id:
                    name("", each)
        for spent in self.spent:  # in the order of rounds, whatever came first
            round_, _, reviewer = spent.partition("/")
            for row in self.rows:
                vote = row.votes.get(round_, {}).get(reviewer)
                for each in vote if isinstance(vote, dict) else [] if vote is None else [""]:
                    name(round_, reviewer, *([each] if each else []))
        if any(row.faults for row in self.rows):
            name("faults")
        return list(columns.values()), ([_cell(row, place) for place in columns] for row in self.rows)

    def write(self, path: str | Path) -> None:
        """Write the rows: a line of JSON each to `.jsonl`, as `table` says to `.csv` or `.tsv`.

        The file is there at once or not at all. Raises `UserError`: another kind of file, or no place.
        """
        file = Path(path)
        if (suffix := file.suffix.lower()) in (".csv", ".tsv"):
            out = io.StringIO(newline="")
            columns, rows = self.table()
            writer = csv.writer(out, delimiter="," if suffix == ".csv" else "\t", lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
            text = out.getvalue()
        elif suffix == ".jsonl":
            text = "".join(
                json.dumps(row.as_json(), ensure_ascii=False, default=str) + "\n" for row in self.rows
            )
        else:
            raise UserError(f"{file}: a review is written to a .csv, .tsv or .jsonl file")
        beside = file.with_name(f"{file.name}.{os.getpid()}.part")
        try:
            # A model may write half a character, which UTF-8 has no form of, but JSON has.
            beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
            os.replace(beside, file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise UserError(f"can't write {file}: {error.strerror}") from None


class ReviewFailed(RunError):
    """Rows lack votes; `report` has what there is. The same run again asks only what is missing."""

    def __init__(self, message: str, report: ReviewReport) -> None:
        super().__init__(message)
        self.report = report


def _cell(row: Row, place: tuple[str, ...]) -> str:
    value: Json
    if place == ("id",):
        value = row.record.id
    elif place == ("faults",):
        value = "; ".join(f"{who}: {fault}" for who, fault in row.faults.items())
    elif not place[0]:
        value = row.record.fields.get(place[1])
    else:
        value = row.votes.get(place[0], {}).get(place[1])
        value = value.get(place[2]) if isinstance(value, dict) and len(place) > 2 else value
    return _text(value)


def _text(value: Json | Mapping[str, Json] | Sequence[Json]) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return "; ".join(str(each) for each in value)
    return json.dumps(value, ensure_ascii=False, default=str)
