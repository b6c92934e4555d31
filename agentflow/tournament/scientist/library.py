"""Library: the documents that agents may search, passage by passage."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentflow.errors import UserError

__all__ = ["Library", "Passage", "words"]

_WORD = re.compile(r"[^\W_]{2,}")
_LENGTH = 1_200  # characters of a passage, about
_K1, _B = 1.5, 0.75  # of BM25


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document: the document's name, and the text."""

    source: str
    text: str


def words(text: str) -> Counter[str]:
    """Return how often each word stands in a text."""
    return Counter(word.lower() for word in _WORD.findall(text))


class Library:
    """Documents by name, found by words (BM25; S. Robertson and H. Zaragoza, 2009)."""

    def __init__(self, documents: Mapping[str, str]) -> None:
        self.names = tuple(documents)
        self._passages = [Passage(name, part) for name, text in documents.items() for part in _parts(text)]
        self._words = [words(passage.text) for passage in self._passages]
        self._lengths = [sum(each.values()) for each in self._words]
        self._mean = sum(self._lengths) / max(1, len(self._lengths)) or 1.0
        self._in = Counter(word for each in self._words for word in each)

    @classmethod
    def read(cls, paths: Sequence[str | Path]) -> Library:
        """Return a library of text files, by their names. Raises `UserError` for one that is no text."""
        documents: dict[str, str] = {}
        for path in map(Path, paths):
            if path.name in documents:
                raise UserError(f"{path}: a second document has the name {path.name}: rename one")
            try:
                documents[path.name] = path.read_text("utf-8-sig")
            except OSError as error:
                raise UserError(f"{path}: {error.strerror}") from None
            except UnicodeDecodeError as error:
                raise UserError(f"{path}: it is not UTF-8 (byte {error.start}): give it as text") from None
        return cls(documents)

    def search(self, query: str, limit: int = 5, only: Sequence[str] = ()) -> list[Passage]:
        """Return the passages that fit a query best; of the sources named in `only`, if any are."""
        count = len(self._passages)
        scores: list[tuple[float, int]] = []
        wanted = words(query)
        for number, found in enumerate(self._words):
            if only and self._passages[number].source not in only:
                continue
            score = 0.0
            for word in wanted:
                if times := found.get(word, 0):
                    rare = math.log(1 + (count - self._in[word] + 0.5) / (self._in[word] + 0.5))
                    long = 1 - _B + _B * self._lengths[number] / self._mean
                    score += rare * times * (_K1 + 1) / (times + _K1 * long)
            if score > 0:
                scores.append((-score, number))
        return [self._passages[number] for _, number in sorted(scores)[:limit]]


def _parts(text: str) -> list[str]:
    """Return a text as passages: paragraphs, put together or cut to about the length of a passage."""
    parts: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        rest = paragraph.strip()
        if not rest:
            continue
        if parts and len(parts[-1]) + len(rest) < _LENGTH:
            parts[-1] = f"{parts[-1]}\n\n{rest}"
            continue
        while len(rest) > 2 * _LENGTH:
            at = rest.rfind(" ", _LENGTH, 2 * _LENGTH)
            at = at if at > 0 else 2 * _LENGTH
            parts.append(rest[:at])
            rest = rest[at:].strip()
        parts.append(rest)
    return parts
