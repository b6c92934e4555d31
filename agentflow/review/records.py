"""Records to be reviewed: read from CSV, JSON Lines or RIS files."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn, cast

from agentflow.errors import UserError
from agentflow.review.ris import Fields, read_ris
from agentflow_protocols.chat import Json

__all__ = ["SUFFIXES", "Record", "near", "read_records"]

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ris", ".nbib")

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONG_CELL = 64 * 1024 * 1024

# What exporters call the columns that reviewers look for.
_ALIASES = {
    "title": ("article title", "document title"),
    "abstract": ("abstract note",),
    "keywords": ("author keywords", "manual tags"),
    "year": ("publication year",),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table: its id, which names it in the journal, and its fields."""

    id: str
    fields: Mapping[str, Json] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its title, "" without one."""
        return str(self.get("title") or "")

    def get(self, name: str) -> Json:
        """Return a field, None without one: `title` is also found as `Title` or `Article Title`."""
        if name in self.fields:
            return self.fields[name]
        wanted = (name.casefold(), *_ALIASES.get(name.casefold(), ()))
        known = {each.casefold(): value for each, value in self.fields.items()}
        return next((known[each] for each in wanted if each in known), None)

    def as_text(self, names: Sequence[str] = ()) -> str:
        """Return its fields, or those named, a line each, as a reviewer reads them."""
        chosen = {name: self.get(name) for name in names} if names else self.fields
        lines = [f"{name}: {_plain(value)}" for name, value in chosen.items() if not _is_empty(value)]
        return "\n".join(lines) or "(the record is empty)"


def _is_empty(value: Json) -> bool:
    return value is None or value == [] or value == {} or (isinstance(value, str) and not value.strip())


def _plain(value: Json) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "; ".join(cast("list[str]", value))
    return json.dumps(value, ensure_ascii=False, default=str)


def near(name: str, names: Iterable[str]) -> str:
    """Return ` (did you mean `x`?)` for the name nearest to `name`, or nothing."""
    found = get_close_matches(name, list(names), 1)
    return f" (did you mean `{found[0]}`?)" if found else ""


def read_records(path: str | Path, *, id_field: str | None = "id") -> list[Record]:
    """Return the records of a `.csv`, `.tsv`, `.jsonl`, `.ris` or (PubMed's) `.nbib` file.

    A record without `id_field` is named by its number, `r1`, `r2` and so on; all are with None. Raises
    `UserError` with the line of what is no record, for a file of another kind, for an id that comes
    twice, and for an `id_field` (other than `id`) that no record has.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{file}: records are read from {', '.join(SUFFIXES)} files")
    text = _text(file)
    if suffix in (".csv", ".tsv"):
        found = _csv(file, text, "\t" if suffix == ".tsv" else _delimiter(text))
    elif suffix == ".jsonl":
        found = _jsonl(file, _lines(text))
    else:
        found = read_ris(str(file), _lines(text))
    records: dict[str, Record] = {}
    columns: dict[str, None] = {}
    for number, (line, fields) in enumerate(found, 1):
        columns.update(dict.fromkeys(fields))
        given = None if id_field is None else fields.get(id_field)
        name = f"r{number}" if _is_empty(given) else given if isinstance(given, str) else json.dumps(given)
        if name in records:
            raise UserError(
                f"{file}:{line}: a second record has the id {name[:60]!r}; name another `id_field`, or none"
                " at all: records are then numbered"
            )
        records[name] = Record(name, fields)
    if not records:
        raise UserError(f"{file}: it holds no records")
    if id_field not in (None, "id", *columns):
        raise UserError(f"{file}: no record has a field `{id_field}`{near(str(id_field), columns)}")
    return list(records.values())


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}: it is not {encoding[:6].upper().rstrip('-')} (byte {error.start}); save it as UTF-8"
        ) from None


def _lines(text: str) -> Iterator[str]:
    """Yield lines as editors count them: the other separators of Unicode stand inside values."""
    return (line.rstrip("\n") for line in io.StringIO(text, newline=None))


def _delimiter(text: str) -> str:
    """Return what stands between cells: a comma, or what spreadsheets write where it is a decimal sign."""
    head = text.partition("\n")[0]
    return next((sign for sign in ",;\t" if sign in head), ",")


def _csv(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, Fields]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(_LONG_CELL)
    try:
        names = [name.strip() for name in next(reader, [])]
        named = [name for name in names if name]
        if len(set(named)) < len(named):
            twice = next(name for name in named if named.count(name) > 1)
            raise UserError(f"{file}:1: two columns have the same name, `{twice[:60]}`")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            beyond = [cell for name, cell in zip(names, cells, strict=False) if not name] + cells[
                len(names) :
            ]
            if len(cells) < len(names) or any(cell.strip() for cell in beyond):
                raise UserError(
                    f"{file}:{reader.line_num}: the row has not {len(named)} cells, as the head has"
                )
            yield reader.line_num, {name: cell for name, cell in zip(names, cells, strict=False) if name}
    except csv.Error as error:
        raise UserError(f"{file}:{reader.line_num}: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _jsonl(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, Fields]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file}:{number}: no JSON: {error}") from None
        if not isinstance(fields, dict):
            raise UserError(f"{file}:{number}: a record is a JSON object")
        if "\\u" in line and _SURROGATE.search(json.dumps(fields, ensure_ascii=False)):
            raise UserError(f"{file}:{number}: a \\uXXXX escape stands for half a character")
        yield number, fields


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
