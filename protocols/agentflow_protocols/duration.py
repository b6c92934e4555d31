"""Durations in words (`1 hour 30 minutes`, `2 months`) and in short (`90s`, `1h30m`, `PT1H30M`).

A month has 28 to 31 days and a year 365 or 366, so words give a range of seconds.
"""

from __future__ import annotations

import re

from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["format_seconds", "parse_duration", "seconds_range"]

_DAY = 86400.0
_UNITS: dict[str, tuple[float, float]] = {
    "millisecond": (0.001, 0.001),
    "second": (1.0, 1.0),
    "minute": (60.0, 60.0),
    "hour": (3600.0, 3600.0),
    "day": (_DAY, _DAY),
    "week": (7 * _DAY, 7 * _DAY),
    "fortnight": (14 * _DAY, 14 * _DAY),
    "month": (28 * _DAY, 31 * _DAY),
    "year": (365 * _DAY, 366 * _DAY),
}
_SHORT = {
    "ms": "millisecond", "millisec": "millisecond", "s": "second", "sec": "second", "m": "minute",
    "min": "minute", "h": "hour", "hr": "hour", "d": "day", "w": "week", "wk": "week", "mo": "month",
    "mon": "month", "y": "year", "yr": "year",
}  # fmt: skip
_WORDS = {
    "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0,
    "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0, "eleven": 11.0, "twelve": 12.0,
    "half": 0.5, "quarter": 0.25,
}  # fmt: skip
_ARTICLES = {"a", "an"}
_FILLERS = {"and", "of", "about", "approximately", "around"}
_DASHES = {"-", "–", "—"}
_TOKEN = re.compile(r"\s*(?:(\d+(?:[.,]\d+)?|\.\d+)|([a-z]+)\.?|([-–—,&]))", re.ASCII)
_ISO = re.compile(
    r"P(?:(?P<week>\d+(?:\.\d+)?)W)?(?:(?P<day>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hour>\d+(?:\.\d+)?)H)?(?:(?P<minute>\d+(?:\.\d+)?)M)?(?:(?P<second>\d+(?:\.\d+)?)S)?)?",
    re.ASCII,
)
_LONGEST = 200


def seconds_range(text: str) -> tuple[float, float]:
    """Return the fewest and the most seconds that `text` can mean.

    `30 minutes`, `2.5 hours`, `half an hour`, `1 hour and 30 min`, `2-3 days`, `5 to 10 minutes`.
    Raises `RemoteProtocolError` for text that is no duration.
    """
    numbers: list[float] = []
    unit = (0.0, 0.0)
    low = high = 0.0
    seen = ranged = article = False
    for number, word, mark in _tokens(text):
        value = float(number.replace(",", ".")) if number else _WORDS.get(word)
        if value is not None:
            if value < 1 and word and numbers and not ranged:
                numbers[-1] += value
            else:
                numbers.append(value)
        elif word in _ARTICLES:
            article = True
        elif word in {"to", "or"} or mark in _DASHES:
            if len(numbers) != 1 or ranged:
                raise _fault(text)
            ranged = True
        elif word not in _FILLERS and not mark:
            unit = _unit(word, text)
            if article and not numbers:
                numbers.append(1.0)
            if len(numbers) != 1 + ranged:
                raise _fault(text)
            low, high = low + numbers[0] * unit[0], high + numbers[-1] * unit[1]
            numbers, seen, ranged, article = [], True, False, False
    if seen and article and len(numbers) == 1 and numbers[0] < 1:
        return low + numbers[0] * unit[0], high + numbers[0] * unit[1]
    if not seen or numbers or low > high:
        raise _fault(text)
    return low, high


def parse_duration(text: str) -> float:
    """Return the seconds of `90s`, `10m`, `1h30m`, `250ms`, ISO 8601 (`PT1H30M`) or words.

    Raises `RemoteProtocolError` for text that is no duration, or none of one length (a month).
    """
    iso = _ISO.fullmatch(text.strip().upper())
    if iso and any(iso.groupdict().values()):
        return sum(float(n) * _UNITS[unit][0] for unit, n in iso.groupdict().items() if n)
    low, high = seconds_range(text)
    if low != high:
        raise RemoteProtocolError(f"`{_clip(text)}` is no one length; allowed: weeks down to milliseconds")
    return low


def format_seconds(seconds: float) -> str:
    """Return `seconds` in words: `1 day 2 hours`, `45 minutes`, `2.5 seconds`."""
    if seconds < 60:
        return _count(round(seconds, 3), "second")
    whole = round(seconds)
    parts: list[str] = []
    for unit in ("day", "hour", "minute", "second"):
        size = int(_UNITS[unit][0])
        n, whole = divmod(whole, size)
        if n:
            parts.append(_count(n, unit))
    return " ".join(parts)


def _count(n: float, unit: str) -> str:
    return f"{n:g} {unit}" + ("" if n == 1 else "s")


def _tokens(text: str) -> list[tuple[str, str, str]]:
    source = text.strip().lower()
    if not source or len(source) > _LONGEST:
        raise _fault(text)
    out: list[tuple[str, str, str]] = []
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            raise _fault(text)
        out.append((found[1] or "", found[2] or "", found[3] or ""))
        at = found.end()
    return out


def _unit(word: str, text: str) -> tuple[float, float]:
    for name in (word, word.removesuffix("s")):
        unit = _UNITS.get(_SHORT.get(name, name))
        if unit:
            return unit
    raise _fault(text)


def _clip(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _fault(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"`{_clip(text)}` is no duration; allowed: `90s`, `10m`, `1h30m`, `PT1H30M`, `2 hours 30 minutes`"
    )
