"""What a model's answer says, by the rules of the original: the quoted time, in ranges of seconds."""

from __future__ import annotations

import re

from agentflow_protocols.duration import seconds_range
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["exact", "overlaps", "quoted", "read_answer"]

_QUOTED = re.compile(r"[\"“”]([^\"“”\n]+)[\"“”]")
_SPAN = re.compile(r"(?<![\w.])(\d[\d,]{0,15}(?:\.\d{1,9})?)\s?([a-z]{1,12})", re.ASCII)


def quoted(text: str, *, last: bool) -> str:
    """Return the part of an answer that says the time.

    That is the first span in double quotes, or the last where the model was to reason; without
    quotes what follows the last `is `.
    """
    found = _QUOTED.findall(text)
    if found:
        return str(found[-1 if last else 0])
    return text.split("is ")[-1]


def read_answer(text: str, *, last: bool) -> tuple[float, float] | None:
    """Return the fewest and the most seconds that an answer means, None when it says no time.

    Of `A = B` and `A or B` the last counts, of `A (B)` the first; `A to B` is no answer.
    """
    said = quoted(text, last=last).lower()
    said = said.split("=")[-1].split(" or ")[-1].split("(")[0].strip(" .,;:!~*`'")
    if " to " in said or not said:
        return None
    try:
        return seconds_range(said.replace(",", ""))
    except RemoteProtocolError:
        return _spans(said)


def _spans(text: str) -> tuple[float, float] | None:
    """Return the sum of all times in a text."""
    low = high = 0.0
    found = False
    for number, unit in _SPAN.findall(text):
        try:
            one = seconds_range(f"{number.replace(',', '')} {unit}")
        except RemoteProtocolError:
            continue
        low, high, found = low + one[0], high + one[1], True
    return (low, high) if found else None


def overlaps(answer: tuple[float, float] | None, gold: tuple[float, float]) -> bool:
    """Return whether an answer is right: it and the known one have a time in common."""
    return answer is not None and answer[0] <= gold[1] and answer[1] >= gold[0]


def exact(answer: tuple[float, float] | None, gold: tuple[float, float]) -> bool:
    """Return whether an answer means just the known range."""
    return answer == gold
