"""What the cache of a token engine holds, and which conversation goes on in which of its sequences.

A conversation comes as one text. The sequence that holds the beginning of that text goes on
from there: only what is new is turned into tokens and evaluated. Where a text goes on just
as it was left, the tokens that were sampled stay as they are, however they were cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

__all__ = ["CachedSequence", "Sequences", "Vocabulary"]

# Tokens before the place where two texts part that are cut anew, as the whole text would be.
_SEAM = 8
# How much of its text a conversation must share to be gone on with in place of itself.
_MOST = 0.5
_MOST_LENT = 0.9
# Tokens that must be saved before they are taken from another sequence.
_WORTH = 16


class Vocabulary(Protocol):
    """The part of a token engine that turns text into tokens and back."""

    def tokenize(self, text: str, start: bool) -> list[int]:
        """Return the tokens of `text`; `start` when a sequence begins with it."""

    def piece(self, token: int) -> bytes:
        """Return the UTF-8 bytes that `token` writes; they may end inside a character."""


@dataclass(slots=True)
class CachedSequence:
    """Sequence `number` of an engine, as far as it is known here.

    `tokens` write `text`; the first `evaluated` of them are in the engine's cache, and
    the rest wait for their evaluation. `ends` holds for each token how many characters
    are written with it, or -1 where that can't be said. When `doubtful`, there may be more
    in the engine's cache than `evaluated` tokens.
    """

    number: int
    text: str = ""
    tokens: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    evaluated: int = 0
    doubtful: bool = False

    def turn_to(self, prompt: str, vocabulary: Vocabulary, window: int) -> int:
        """Hold the tokens of `prompt` from now on, and return how many they are.

        Where they leave no room in the `window`, nothing changes. At least one is left to
        evaluate, since what follows is sampled from it. It is doubtful where the cache
        must be cut first.
        """
        held = self._held(prompt)
        begin = self.ends[held - 1] if held else 0
        rest = prompt[begin:]
        new = vocabulary.tokenize(rest, held == 0) if rest or not held else []
        count = held + len(new)
        if 0 < count < window:
            keep = min(held + _same(self.tokens[held:], new), self.evaluated, count - 1)
            self.doubtful = self.doubtful or keep < self.evaluated
            self.evaluated = keep
            self.ends[held:] = _ends(rest, begin, new, vocabulary.piece)
            self.tokens[held:] = new
            self.text = prompt
        return count

    def write(self, token: int, text: str, whole: bool) -> None:
        """Add a sampled token, which adds `text`; `whole` unless it ends inside a character."""
        self.text += text
        self.tokens.append(token)
        self.ends.append(len(self.text) if whole else -1)

    def shares(self, prompt: str, most: float) -> int:
        """Return how many characters of `prompt` it holds; 0 when its text is to be kept.

        That is so when they are not more of its text than `most`, from 0 to 1.
        """
        shared = _shared(self.text, prompt)
        return shared if shared > most * len(self.text) else 0

    def lends(self, prompt: str) -> int:
        """Return how many of its tokens in the cache begin `prompt`, whatever follows them."""
        held = min(self._held(prompt), self.evaluated)
        while held and self.ends[held - 1] < 0:
            held -= 1
        return held

    def borrow(self, source: CachedSequence, count: int) -> None:
        """Hold nothing but the first `count` tokens of `source`; they are not evaluated yet."""
        self.tokens, self.ends = source.tokens[:count], source.ends[:count]
        self.text = source.text[: self.ends[-1]]
        self.evaluated, self.doubtful = 0, True

    def _held(self, prompt: str) -> int:
        """Return how many tokens stay as they are, whatever follows them."""
        shared = _shared(self.text, prompt)
        if shared == len(self.text) and self.ends and self.ends[-1] == shared:
            return len(self.tokens)
        held = sum(1 for _ in takewhile(lambda end: end <= shared, self.ends))
        held = max(held - _SEAM, 0)
        while held and self.ends[held - 1] < 0:
            held -= 1
        return held


class Sequences:
    """The `count` sequences of an engine, given to conversations in the order of asking.

    Where one can begin as another does without evaluating it again (`lent`), a conversation
    takes the place of another one only when little of that is lost.
    """

    def __init__(self, count: int, lent: bool = False) -> None:
        self._free = asyncio.Semaphore(count)
        self._most = _MOST_LENT if lent else _MOST
        self._all = tuple(CachedSequence(number) for number in range(count))
        # The one that is longest out of use comes first.
        self._idle = list(self._all)

    async def acquire(self, prompt: str) -> CachedSequence:
        """Wait for a free sequence, and return the one that holds the most of `prompt`.

        One of which too much would be lost counts as holding nothing; among equals it is
        the one that is longest out of use.
        """
        await self._free.acquire()
        found = max(self._idle, key=lambda sequence: sequence.shares(prompt, self._most))
        self._idle.remove(found)
        return found

    def lender(self, borrower: CachedSequence, prompt: str) -> tuple[CachedSequence, int]:
        """Return which sequence has the most tokens in the cache that begin `prompt`, and how many."""
        own = borrower.lends(prompt) + _WORTH
        counts = [(own if sequence is borrower else sequence.lends(prompt)) for sequence in self._all]
        best = max(counts)
        if best == own:
            return borrower, own
        return self._all[counts.index(best)], best

    def release(self, sequence: CachedSequence) -> None:
        """Give back a sequence that was acquired."""
        self._idle.append(sequence)
        self._free.release()


def _shared(a: str, b: str) -> int:
    """Return the length of the common beginning of `a` and `b`."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(bool, (x == y for x, y in zip(a, b, strict=False))))


def _ends(text: str, begin: int, tokens: Sequence[int], piece: Callable[[int], bytes]) -> list[int]:
    """Return for each token how many characters are written with it, `begin` of them before the first.

    A tokeniser that changes the text leaves only the last known.
    """
    data = text.encode("utf-8", "surrogatepass")
    ends: list[int] = []
    at, count = 0, begin
    for token in tokens:
        part = piece(token)
        if not data.startswith(part, at):
            # What a sequence begins with may be written nowhere.
            part = b"" if not ends else part
            if ends:
                return [-1] * (len(tokens) - 1) + [begin + len(text)]
        at += len(part)
        count += len(part) if part.isascii() else sum(byte & 0xC0 != 0x80 for byte in part)
        ends.append(count if at == len(data) or data[at] & 0xC0 != 0x80 else -1)
    return ends if at == len(data) else [-1] * (len(tokens) - 1) + [begin + len(text)]
