"""What response headers say of rate limits, in every dialect. Sans-IO.

Headers are evidence, not truth: values that can't be (absent, negative, no number) are
left out, and whoever reads decides what to make of the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

__all__ = ["Dimension", "LimitReading", "read_limits"]

Dimension: TypeAlias = Literal["requests", "tokens", "input_tokens", "output_tokens"]
_Field: TypeAlias = Literal["limit", "remaining", "reset"]


@dataclass(slots=True)
class LimitReading:
    """One limit as a response tells it: units a window, units left, seconds until it is whole again.

    `window_s` is the length of the window where a header names it. None is not told.
    """

    dimension: Dimension
    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None
    window_s: float | None = None


_DIMENSIONS: dict[str, Dimension] = {
    "requests": "requests",
    "tokens": "tokens",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
}
_WINDOWS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 2592000.0}
_KIND = "|".join(_DIMENSIONS)
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        # Anthropic: anthropic-ratelimit-input-tokens-remaining
        rf"anthropic-ratelimit-(?P<kind>{_KIND})-(?P<field>limit|remaining|reset)",
        # OpenAI, Azure, Groq, xAI; with a window Cerebras, Mistral: x-ratelimit-limit-tokens-minute
        rf"x-ratelimit-(?P<field>limit|remaining|reset)-(?P<kind>{_KIND})(?:-(?P<window>{'|'.join(_WINDOWS)}))?",
        # Mistral's requests: x-ratelimit-limit-req-minute
        rf"x-ratelimit-(?P<field>limit|remaining|reset)-req-(?P<window>{'|'.join(_WINDOWS)})",
        # Together, OpenRouter, and what the IETF's drafts had first
        r"(?:x-)?ratelimit-(?P<field>limit|remaining|reset)",
        # Together's tokens
        r"x-(?P<tokens>token)limit-(?P<field>limit|remaining|reset)",
        # Mistral's older names of tokens
        rf"(?:x-)?ratelimit(?P<tokens>bysize)-(?P<field>limit|remaining|reset)(?:-(?P<window>{'|'.join(_WINDOWS)}))?",
    )
)
_IETF = re.compile(r'\s*"?[^";]*"?\s*;(?P<parameters>.*)')
_PARAMETER = re.compile(r"\b([qwrt])\s*=\s*(\d+(?:\.\d+)?)")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LONGEST_S = 40 * 86400.0
_MAX_VALUE = 200  # characters that a value may have


def read_limits(headers: Mapping[str, str], now: float) -> list[LimitReading]:
    """Return the limits that `headers` (lower-case names) tell, one for each dimension and window.

    `now` is seconds since 1970: some resets are points in time.
    """
    found: dict[tuple[Dimension, float | None], LimitReading] = {}
    for name, value in headers.items():
        if ("ratelimit" not in name and "tokenlimit" not in name) or len(value) > _MAX_VALUE:
            continue
        if name in ("ratelimit", "ratelimit-policy", "x-ratelimit-policy"):
            _read_ietf(name, value, found)
            continue
        for pattern in _PATTERNS:
            match = pattern.fullmatch(name)
            if match is not None:
                _read(match, value, now, found)
                break
    return [
        reading for reading in found.values() if reading.limit is not None or reading.remaining is not None
    ]


def _read(
    match: re.Match[str], value: str, now: float, found: dict[tuple[Dimension, float | None], LimitReading]
) -> None:
    groups = match.groupdict()
    dimension: Dimension = "tokens" if groups.get("tokens") else _DIMENSIONS[groups.get("kind") or "requests"]
    window = _WINDOWS.get(groups.get("window") or "")
    reading = found.setdefault((dimension, window), LimitReading(dimension, window_s=window))
    field = groups["field"]
    if field == "reset":
        reading.reset_s = _seconds(value, now)
    elif field == "limit":
        reading.limit = _amount(value, least=1.0)
    else:
        reading.remaining = _amount(value, least=0.0)


def _read_ietf(name: str, value: str, found: dict[tuple[Dimension, float | None], LimitReading]) -> None:
    """Read the IETF's structured form: `RateLimit: "p";r=50;t=30`, `RateLimit-Policy: "p";q=100;w=60`."""
    form = _IETF.match(value)
    if form is None:
        return
    values = {key: float(number) for key, number in _PARAMETER.findall(form["parameters"])}
    reading = found.setdefault(("requests", None), LimitReading("requests"))
    reading.remaining = values.get("r", reading.remaining)
    reading.reset_s = values.get("t", reading.reset_s)
    if values.get("q"):
        reading.limit = values["q"]
        reading.window_s = values.get("w") or reading.window_s


def _amount(value: str, least: float) -> float | None:
    """Return a count. The first of several (`100, 100;window=60`) is what counts now."""
    try:
        amount = float(value.split(",")[0].split(";")[0].strip())
    except ValueError:
        return None
    return amount if least <= amount < 1e15 else None


def _seconds(value: str, now: float) -> float | None:
    """Return the seconds until a reset: `6m0s`, `12ms`, seconds, a point in time in any usual form."""
    text = value.strip()
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text:
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in spans))
    try:
        number = float(text)
    except ValueError:
        return _until(text, now)
    if number > 1e11:  # milliseconds since 1970
        return _bounded(number / 1000 - now)
    return _bounded(number - now if number > 1e9 else number)


def _until(text: str, now: float) -> float | None:
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    try:
        return _bounded(when.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _bounded(seconds: float) -> float | None:
    if seconds != seconds or seconds > _LONGEST_S:
        return None
    return max(0.0, seconds)
