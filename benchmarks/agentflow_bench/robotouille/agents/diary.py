"""Diary: what was done in an episode, in order, so that after a crash it can be done again.

A kitchen lives in memory. The journal knows what each call came to and asks for none of them twice; so
the kitchen is brought to where it was by doing the diary's entries again before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, cast

from agentflow.runtime import Context
from agentflow.runtime.ledger import decode, encode
from agentflow_protocols.chat import Json

__all__ = ["Diary", "Entry"]

Entry: TypeAlias = Mapping[str, Json]


class Diary:
    """Entries of one run: read them all first, then write."""

    def __init__(self, context: Context[object]) -> None:
        self._ledger = context.ledger
        self._count = 0

    def read(self) -> list[Entry]:
        """Return the entries of an earlier process, none in a run that begins."""
        entries: list[Entry] = []
        while (fact := self._ledger.find(self._next())) is not None:
            entries.append(cast("Entry", decode(fact.output)))
            self._claim()
        return entries

    def write(self, entry: Entry) -> None:
        """Put an entry down, before what it tells is done: facts reach the journal in this order."""
        self._ledger.put(self._claim(), encode(entry, "an entry of the diary"))

    def _next(self) -> str:
        return f"did/{self._count + 1}"

    def _claim(self) -> str:
        key = self._next()
        self._ledger.claim(key)
        self._count += 1
        return key
