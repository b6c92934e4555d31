"""Which error an answer of a server is. One table of what is tried again and what is not."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from agentflow.errors import (
    BadResponse,
    ContextOverflow,
    EndpointError,
    EndpointUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
)
from agentflow_protocols.chat.server_error import ServerError

__all__ = ["classify", "is_transient", "retry_after"]

_OVERFLOW = re.compile(
    r"context[ _-]?(?:length|window|size|limit)|maximum context|prompt is too long|input is too long"
    r"|too many (?:input )?tokens|reduce the length of the (?:messages|prompt)"
    r"|exceeds the (?:model's )?maximum (?:input |sequence |prompt )?(?:length|tokens)"
    r"|token count .{0,40}exceeds|(?:input|prompt) tokens? .{0,40}exceed"
    r"|max_new_tokens\W{0,3}must be <=",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|balance|credits?|funds)|exceeded your current quota|billing|credit balance"
    r"|out of credits|payment required",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate[_ ]?limit|too[_ ]many[_ ]requests|resource_exhausted", re.IGNORECASE)
_REQUEST = re.compile(r"invalid_request|invalid_argument|bad ?request|not_found|permission|authentic", re.I)
_SECRET = re.compile(r"\b(?:sk|pk|gsk|xai|key)[-_][\w*-]{8,}|\bBearer\s+\S+|\bAIza[\w-]{20,}")
_MAX_DETAIL = 240


def classify(
    where: str, status: int, error: ServerError, headers: Mapping[str, str] | None = None
) -> EndpointError:
    """Return the error for an answer with `status` (200 for an error inside a stream).

    `where` names the endpoint. What the server says is shortened and freed of keys.
    """
    if error.code.isdigit() and len(error.code) == 3 and status == 200:
        status = int(error.code)
    words = f"{error.type} {error.code} {error.message}"
    wait = retry_after(headers) if headers is not None else None
    wait = error.retry_after if wait is None else wait
    message = f"{where}: {_detail(status, error)}"
    if status in (429, 402, 403, 400, 200) and _QUOTA.search(words) and status != 403:
        return QuotaExhausted(message, status=status)
    if status == 402:
        return QuotaExhausted(message, status=status)
    if status == 429 or (status == 200 and _RATE.search(words)):
        return RateLimited(message, status=status, retry_after=wait)
    if status in (200, 400, 413, 422, 500) and _OVERFLOW.search(words):
        return ContextOverflow(message, status=status)
    if status in (408, 409) or status >= 500:
        return EndpointUnavailable(message, status=status, retry_after=wait)
    if status == 200 and not _REQUEST.search(words):
        return EndpointUnavailable(message, status=status)
    return RequestRejected(message, status=status)


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed when it is sent again."""
    return isinstance(error, (RateLimited, EndpointUnavailable, BadResponse))


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return the seconds that `headers` ask to wait: `retry-after-ms`, seconds, or an HTTP date."""
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        when = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, when - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else -1.0
    except ValueError:
        return None
    return value if 0 <= value < 86_400 else None


def _detail(status: int, error: ServerError) -> str:
    said = " ".join((error.message or error.code or error.type).split())
    said = _SECRET.sub("…", said)
    if len(said) > _MAX_DETAIL:
        said = said[:_MAX_DETAIL].rstrip() + "…"
    head = "an error in the stream" if status == 200 else f"status {status}"
    if 300 <= status < 400:
        return f"{head}: redirects are not followed; give the final address as base_url"
    return f"{head}: {said}" if said else head
