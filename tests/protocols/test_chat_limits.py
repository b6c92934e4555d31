"""What response headers say of rate limits, in every dialect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.chat.limits import LimitReading, read_limits

NOW = 1_764_000_000.0  # 2025-11-24T16:00:00Z

DIALECTS = {
    "openai": (
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-tokens": "159976",
            "x-ratelimit-reset-tokens": "6m0.5s",
        },
        [
            LimitReading("requests", 5000, 4999, 0.012),
            LimitReading("tokens", 160000, 159976, 360.5),
        ],
    ),
    "anthropic": (
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2025-11-24T16:00:30Z",
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-input-tokens-remaining": "39000",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2025-11-24T15:59:00Z",
        },
        [
            LimitReading("requests", 50, 49, 30),
            LimitReading("input_tokens", 40000, 39000),
            LimitReading("output_tokens", 8000, 8000, 0),
        ],
    ),
    "cerebras": (
        {
            "x-ratelimit-limit-requests-day": "14400",
            "x-ratelimit-remaining-requests-day": "14399",
            "x-ratelimit-reset-requests-day": "33011.382867097855",
            "x-ratelimit-limit-tokens-minute": "60000",
            "x-ratelimit-remaining-tokens-minute": "58298",
            "x-ratelimit-reset-tokens-minute": "11.38",
        },
        [
            LimitReading("requests", 14400, 14399, 33011.382867097855, 86400),
            LimitReading("tokens", 60000, 58298, 11.38, 60),
        ],
    ),
    "azure, with values that can't be": (
        {
            "x-ratelimit-limit-requests": "-1",
            "x-ratelimit-remaining-requests": "-1",
            "x-ratelimit-limit-tokens": "10000",
            "x-ratelimit-remaining-tokens": "0",
        },
        [LimitReading("tokens", 10000, 0)],
    ),
    "together": (
        {
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "9",
            "x-ratelimit-reset": "1",
            "x-tokenlimit-limit": "3000",
        },
        [LimitReading("requests", 10, 9, 1), LimitReading("tokens", 3000)],
    ),
    "openrouter, milliseconds since 1970": (
        {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1764000015000"},
        [LimitReading("requests", 20, 0, 15)],
    ),
    "mistral": (
        {
            "x-ratelimit-limit-req-minute": "60",
            "x-ratelimit-remaining-req-minute": "59",
            "ratelimitbysize-limit": "500000",
        },
        [LimitReading("requests", 60, 59, None, 60), LimitReading("tokens", 500000)],
    ),
    "the IETF's": (
        {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
        [LimitReading("requests", 100, 50, 30, 60)],
    ),
    "a date, as HTTP writes it": (
        {"x-ratelimit-remaining": "3", "x-ratelimit-reset": "Mon, 24 Nov 2025 16:00:05 GMT"},
        [LimitReading("requests", None, 3, 5)],
    ),
    "several windows in one value": (
        {"x-ratelimit-limit": "100, 100;window=60, 10000;window=86400", "x-ratelimit-remaining": "98"},
        [LimitReading("requests", 100, 98)],
    ),
    "none": ({"content-type": "application/json", "retry-after": "3"}, []),
    "nonsense": (
        {
            "x-ratelimit-limit-requests": "many",
            "x-ratelimit-remaining-requests": "nan",
            "x-ratelimit-reset-requests": "soon",
            "x-ratelimit-limit-tokens": "1e99",
        },
        [],
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_is_read(name):
    headers, readings = DIALECTS[name]
    assert read_limits(headers, NOW) == readings


NAMES = sorted({header for headers, _ in DIALECTS.values() for header in headers})


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.text(max_size=60) | st.from_regex(r"-?[0-9.e]+[smh]*", fullmatch=True)
    )
)
def test_no_value_raises_and_none_is_absurd(headers):
    for reading in read_limits(headers, NOW):
        assert reading.limit is None or reading.limit >= 1
        assert reading.remaining is None or reading.remaining >= 0
        assert reading.reset_s is None or 0 <= reading.reset_s <= 40 * 86400
