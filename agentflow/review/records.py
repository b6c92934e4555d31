"""Records to be reviewed: read from CSV, JSON Lines or RIS files."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from agentflow.errors import UserError
from agentflow_protocols.chat import Json

__all__ = ["Record", "read_records"]

_RIS = re.compile(r"^([A-Z][A-Z0-9])  -(?: (.*))?$")
_RIS_NAMES = {
    **dict.fromkeys(("TI", "T1", "CT"), "title"),
    **dict.fromkeys(("AB", "N2"), "abstract"),
    **dict.fromkeys(("AU", "A1", "A2"), "authors"),
    **dict.fromkeys(("PY", "Y1"), "year"),
    **dict.fromkeys(("JO", "JF", "T2"), "journal"),
    "DO": "doi",
    "KW": "keywords",
    "UR": "url",
    "TY": "type",
    "ID": "id",
}
_LISTS = ("authors", "keywords")


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table: its id, which names it in the journal, and its fields."""

    id: str
    fields: Mapping[str, Json] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its title, "" without one."""
        return str(self.fields.get("title") or "")

    def as_text(self, names: Sequence[str] = ()) -> str:
        """Return its fields, or those named, a line each, as a reviewer reads them."""
        chosen = {name: self.fields.get(name) for name in names} if names else self.fields
        lines = [f"{name}: {_plain(value)}" for name, value in chosen.items() if value not in (None, "", [])]
        return "\n".join(lines) or "(the record is empty)"


def _plain(value: Json) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "; ".join(cast("list[str]", value))
    return json.dumps(value, ensure_ascii=False)


def read_records(path: str | Path, *, id_field: str = "id") -> list[Record]:
    """Return the records of a `.csv`, `.tsv`, `.jsonl` or `.ris` file.

    A record without `id_field` is named by its number, `r1`, `r2` and so on. Raises `UserError` with the
    line of what is no record, for a file of another kind, and for an id that comes twice.
    """
    file = Path(path)
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ris": _ris}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise UserError(f"{file}: records are read from {', '.join(readers)} files")
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: it is not UTF-8 (byte {error.start})") from None
    records: dict[str, Record] = {}
    for number, (line, fields) in enumerate(reader(file, text), 1):
        given = fields.get(id_field)
        name = str(given) if given not in (None, "") else f"r{number}"
        if name in records:
            raise UserError(f"{file}:{line}: a second record has the id {name[:60]!r}")
        records[name] = Record(name, fields)
    if not records:
        raise UserError(f"{file}: it holds no records")
    return list(records.values())


Fields = dict[str, Json]


def _csv(file: Path, text: str) -> Iterator[tuple[int, Fields]]:
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = reader.fieldnames or []
        if len(set(names)) < len(names):
            raise UserError(f"{file}:1: two columns have the same name")
        for row in reader:
            if None in row or None in row.values():
                raise UserError(
                    f"{file}:{reader.line_num}: the row has not {len(names)} cells, as the head has"
                )
            if any(cell.strip() for cell in row.values()):
                yield reader.line_num, cast("Fields", dict(row))
    except csv.Error as error:
        raise UserError(f"{file}:{reader.line_num}: {error}") from None


def _jsonl(file: Path, text: str) -> Iterator[tuple[int, Fields]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}:{number}: no JSON: {error}") from None
        if not isinstance(fields, dict):
            raise UserError(f"{file}:{number}: a record is a JSON object")
        yield number, fields


def _ris(file: Path, text: str) -> Iterator[tuple[int, Fields]]:
    """Yield the records of a RIS file: tags of two letters, each record closed by `ER`."""
    fields: Fields = {}
    begun, last = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _RIS.match(line.rstrip())
        if found is None:
            if not line.strip():
                continue
            if not last:
                raise UserError(f"{file}:{number}: no RIS: a line begins with a tag, such as `TI  - A title`")
            _add(fields, last, line.strip(), more=True)
            continue
        tag, value = found[1], (found[2] or "").strip()
        if tag == "ER":
            if begun:
                yield begun, fields
            fields, begun, last = {}, 0, ""
            continue
        begun = begun or number
        last = _RIS_NAMES.get(tag, tag)
        _add(fields, last, value)
    if begun:
        raise UserError(f"{file}:{begun}: the record is not closed by `ER  -`")


def _add(fields: Fields, name: str, value: str, *, more: bool = False) -> None:
    known = fields.get(name)
    if name in _LISTS:
        listed = cast("list[Json]", known) if isinstance(known, list) else []
        if more and listed:
            listed[-1] = f"{listed[-1]} {value}"
            fields[name] = listed
        else:
            fields[name] = [*listed, value]
    elif isinstance(known, str) and known:
        fields[name] = f"{known} {value}" if more else f"{known}; {value}"
    else:
        fields[name] = value
