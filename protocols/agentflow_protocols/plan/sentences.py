"""Sentences that say an order: `Step 1 must precede step 3.`, `Step 3 depends on steps 1 and 2.`"""

from __future__ import annotations

import re

__all__ = ["sentence"]

_FIRST = re.compile(
    r" (?:must |should |has to |have to |needs to )?"
    r"(?:be (?:done|completed|finished) |happen |come |comes |finish |end )?"
    r"(?:precedes?|before|prior to|leads? to) ",
    re.IGNORECASE,
)
_LATER = re.compile(
    r" (?:must |should |has to |have to |can |can only |may )?(?:only )?"
    r"(?:be (?:done|started) |start |starts |begin |begins |happen |come |comes |wait |waits )?"
    r"(?:depends? on|requires?|needs?|follows?|after|for|once) ",
    re.IGNORECASE,
)
_NOT = re.compile(r"\bnot\b|n't\b|\bno\b|\bindependent", re.IGNORECASE)
_MOST = 2_000  # characters of a sentence


def sentence(line: str) -> tuple[str, str] | None:
    """Return what comes before and what after by a sentence, as it names them; None for no order."""
    if len(line) > _MOST or _NOT.search(line):
        return None
    later = _LATER.search(line)
    first = _FIRST.search(line)
    if first is not None and (later is None or first.start() <= later.start()):
        return line[: first.start()], line[first.end() :]
    if later is not None:
        return line[later.end() :], line[: later.start()]
    return None
