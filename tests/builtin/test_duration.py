"""Durations in words and in short."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.duration import format_seconds, parse_duration, seconds_range
from agentflow_protocols.errors import RemoteProtocolError

DAY = 86400.0


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("180 days", 180 * DAY, 180 * DAY),
        ("1 hours", 3600, 3600),
        ("30 min", 1800, 1800),
        ("20 sec", 20, 20),
        ("2.5 hours", 9000, 9000),
        ("2 weeks", 14 * DAY, 14 * DAY),
        ("2 months", 56 * DAY, 62 * DAY),
        ("1 year", 365 * DAY, 366 * DAY),
        ("1 hour 30 minutes", 5400, 5400),
        ("2 days, 6 hours and 1 min", 2 * DAY + 6 * 3600 + 60, 2 * DAY + 6 * 3600 + 60),
        ("half an hour", 1800, 1800),
        ("An hour", 3600, 3600),
        ("an hour and a half", 5400, 5400),
        ("two and a half hours", 9000, 9000),
        ("a quarter of an hour", 900, 900),
        ("about 5 to 10 minutes", 300, 600),
        ("2-3 days", 2 * DAY, 3 * DAY),
        ("1h30m", 5400, 5400),
    ],
)
def test_words(text: str, low: float, high: float) -> None:
    assert seconds_range(text) == (low, high)


@pytest.mark.parametrize("text", ["90s", "1m30s", "PT1M30S", "PT90S", "90000ms", "1.5 minutes"])
def test_short_forms(text: str) -> None:
    assert parse_duration(text) == 90


@pytest.mark.parametrize(
    "text",
    ["", "soon", "5", "minutes", "5 5 min", "3-2 h", "1-2-3 h", "PT", "P", "5 min 3", "- 5 h", "x" * 999],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"is no duration; allowed: `90s`"):
        parse_duration(text)


def test_a_month_is_no_one_length() -> None:
    with pytest.raises(RemoteProtocolError, match="`1 month` is no one length"):
        parse_duration("1 month")


@given(st.integers(0, 10**9))
def test_format_reads_back(seconds: int) -> None:
    assert parse_duration(format_seconds(seconds)) == seconds


@given(st.text(max_size=60))
def test_any_text_gives_seconds_or_our_error(text: str) -> None:
    try:
        low, high = seconds_range(text)
    except RemoteProtocolError:
        return
    assert 0 <= low <= high


def test_agrees_with_asynchow() -> None:
    folder = Path(os.environ.get("AGENTFLOW_ASYNCHOW", Path(__file__).parents[3] / "shared/data/asynchow"))
    files = [folder] if folder.is_file() else sorted(folder.glob("*.jsonl"))
    if not files:
        pytest.skip("no AsyncHow data: set AGENTFLOW_ASYNCHOW to its file or folder")
    steps = [step for f in files for line in f.read_text().splitlines() for step in json.loads(line)["steps"]]
    wrong = [step for step in steps if seconds_range(step["duration"]) != tuple(step["seconds"])]
    # The data counts only the last part of its few compound durations ("2 days 6 hours": 6 hours).
    assert all(
        seconds_range(" ".join(step["duration"].split()[-2:])) == tuple(step["seconds"]) for step in wrong
    )
    assert len(wrong) <= 8
