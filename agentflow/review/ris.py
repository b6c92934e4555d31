"""RIS files, and PubMed's own format: tags and values, a record after the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from agentflow.errors import UserError
from agentflow_protocols.chat import Json

__all__ = ["Fields", "read_ris"]

Fields: TypeAlias = dict[str, Json]
_Tagged: TypeAlias = dict[str, list[str]]

_RIS = re.compile(r"([A-Z][A-Z0-9])  ?-(?: +(.*))?$")
_PUBMED = re.compile(r"(?=.{4}-)([A-Z]{2,4}) *-(?: (.*))?$")
_BETWEEN = re.compile(r"\d+\.?$|(Provider|Database|Content) ?:")  # what exporters write between records

# Of several tags for the same thing the first that is there is meant; the others keep their tags.
_NAMES: dict[bool, dict[str, tuple[str, ...]]] = {
    False: {
        "id": ("ID",),
        "type": ("TY",),
        "title": ("TI", "T1", "CT"),
        "abstract": ("AB", "N2"),
        "authors": ("AU", "A1"),
        "year": ("PY", "Y1", "DA"),
        "journal": ("T2", "JF", "JO", "JA"),
        "doi": ("DO",),
        "keywords": ("KW",),
        "url": ("UR",),
    },
    True: {
        "id": ("PMID",),
        "type": ("PT",),
        "title": ("TI", "BTI"),
        "abstract": ("AB",),
        "authors": ("FAU", "AU"),
        "year": ("DP",),
        "journal": ("JT", "TA"),
        "doi": ("DOI",),
        "keywords": ("OT", "MH"),
    },
}
_LISTS = ("authors", "keywords")


@dataclass(slots=True)
class _Open:
    """A record that is being read: its tags in order, and where it began."""

    line: int = 0
    last: str = ""
    tags: _Tagged = field(default_factory=dict)
    more: list[str] = field(default_factory=list)  # lines that go on with the last value

    def add(self, tag: str, value: str, pubmed: bool) -> None:
        self._end()
        doi = re.fullmatch(r"(\S+) \[doi\]", value) if pubmed and tag in ("LID", "AID") else None
        if doi is not None:
            tag, value = "DOI", doi[1]
        values = self.tags.setdefault(tag, [])
        if tag != "DOI" or value not in values:
            values.append(value)
        self.last = tag

    def go_on(self, line: str) -> None:
        """Take a line without a tag, which goes on with the last value; or is a keyword of its own."""
        values, text = self.tags[self.last], line.strip()
        if self.last in ("KW", "AU", "A1") and line[:1] != " " and values[-1] and not self.more:
            values.append(text)
        else:
            self.more.append(text)

    def _end(self) -> None:
        """Put the last value together."""
        if self.more:
            values = self.tags[self.last]
            values[-1] = " ".join([values[-1], *self.more]).strip()
            self.more = []

    def fields(self, pubmed: bool) -> Fields:
        """Return the record's fields."""
        self._end()
        return _fields(self.tags, pubmed)


def read_ris(where: str, lines: Iterable[str]) -> Iterator[tuple[int, Fields]]:
    """Yield the records of a RIS or PubMed file, each with the line on which it begins.

    `where` is the file in errors. Raises `UserError` with the line of what is no record.
    """
    record: _Open | None = None
    pubmed: bool | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if pubmed is None:
            pubmed = bool(_PUBMED.match(line)) and not _RIS.match(line.rstrip())
        found = (_PUBMED if pubmed else _RIS).match(line.rstrip())
        if found is None:
            if record is not None:
                record.go_on(line)
            elif not _BETWEEN.match(line.strip()):
                raise UserError(
                    f"{where}:{number}: no RIS: a line begins with a tag, such as `TI  - A title`"
                )
            continue
        tag, value = found[1], (found[2] or "").strip()
        if tag == "ER" and not pubmed:
            if record is not None:
                yield record.line, record.fields(pubmed)
            record = None
            continue
        if record is not None and tag == ("PMID" if pubmed else "TY"):
            if not pubmed:
                message = f"a record begins before that of line {record.line} is closed by `ER  -`"
                raise UserError(f"{where}:{number}: {message}")
            yield record.line, record.fields(pubmed)
            record = None
        record = record or _Open(number)
        record.add(tag, value, pubmed)
    if record is not None:
        if not pubmed:
            raise UserError(f"{where}:{record.line}: the record is not closed by `ER  -`")
        yield record.line, record.fields(pubmed)


def _fields(tags: _Tagged, pubmed: bool) -> Fields:
    """Return a record's fields by name, in the order of the tags; what has no name keeps its tag."""
    names = {tag: name for name, tags_of in _NAMES[pubmed].items() for tag in tags_of}
    chosen = {
        name: next((tag for tag in tags_of if any(tags.get(tag, ()))), None)
        for name, tags_of in _NAMES[pubmed].items()
    }
    fields: Fields = {}
    for tag, values in tags.items():
        name = names.get(tag, tag)
        best = chosen.get(name)
        if name == tag or best is None:
            if any(values):
                fields[tag] = _joined(values, "; ")
            continue
        meant = _value(name, tags[best], pubmed)
        fields.setdefault(name, meant)
        left = name == "year" if tag == best else values != meant
        if left and (raw := _joined(values, "; ")) not in ("", meant):
            fields[tag] = raw
    return fields


def _value(name: str, values: list[str], pubmed: bool) -> Json:
    if name in _LISTS:
        return [each.replace("*", "") if pubmed else each for each in values if each]
    if name == "year":
        year = re.match(r"\d{4}(?!\d)", values[0])
        return year[0] if year else values[0]
    return _joined(values, " " if name == "abstract" else "; ")


def _joined(values: list[str], between: str) -> str:
    return between.join(dict.fromkeys(each for each in values if each))
