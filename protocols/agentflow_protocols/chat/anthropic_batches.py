"""Anthropic's Message Batches: requests in one body, results as JSON lines. Sans-IO.

Such a batch has no name: whoever does not know whether it was handed in can't look for it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic_core import to_json

from agentflow_protocols.chat.batches import BatchCall, BatchResult, BatchState, whole_number
from agentflow_protocols.chat.draft import json_object, mapping, string
from agentflow_protocols.chat.server_error import ServerError, server_error
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["AnthropicBatches"]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STATUS = {  # what these errors are answered with where they are not in a batch
    "invalid_request_error": 400,
    "invalid_request": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "timeout_error": 504,
}


@dataclass(slots=True, frozen=True)
class AnthropicBatches:
    """The API."""

    most_requests: int = 100_000
    most_bytes: int = 256_000_000

    @property
    def named(self) -> bool:
        """A batch has no name there."""
        return False

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        """Return the line for one request. Raises `LocalProtocolError` for an id that is not taken."""
        if _ID.fullmatch(custom_id) is None:
            raise LocalProtocolError(
                f"custom_id {custom_id[:70]!r} is not taken: 1 to 64 letters, digits, `_` and `-` are"
            )
        return b'{"custom_id":"' + custom_id.encode() + b'","params":' + body + b"}"

    def submit(self, model: str, name: str, first: bytes) -> Generator[BatchCall, bytes, str]:
        """Hand in all requests in one call."""
        made = yield BatchCall(
            "POST", "/messages/batches", b'{"requests":[', b"]}", b",", lines=True, creates=True
        )
        identity = string(json_object(made).get("id"))
        if not identity:
            raise RemoteProtocolError("the answer names no id")
        return identity

    def find(self, name: str) -> Generator[BatchCall, bytes, str | None]:
        """Return None: no batch has a name."""
        yield from ()
        return None

    def state(self, remote: str) -> BatchCall:
        """Return the call that asks for a batch's state."""
        return BatchCall("GET", f"/messages/batches/{quote(remote)}")

    def read_state(self, body: bytes) -> BatchState:
        """Read a batch's state. The results' address is built, not taken: the key goes there."""
        data = json_object(body)
        status, identity = string(data.get("processing_status")), string(data.get("id"))
        if not status or not identity:
            raise RemoteProtocolError("the batch has no status")
        counts = {kind: whole_number(value) for kind, value in mapping(data.get("request_counts")).items()}
        ended = status == "ended"
        return BatchState(
            status,
            ended,
            counts.get("succeeded", 0),
            sum(counts.get(kind, 0) for kind in ("errored", "canceled", "expired")),
            sum(counts.values()),
            (f"/messages/batches/{quote(identity)}/results",) if ended else (),
        )

    def read_result(self, line: bytes) -> BatchResult:
        """Read one line of the results."""
        row = json_object(line)
        custom_id = row.get("custom_id")
        if not isinstance(custom_id, str):
            raise RemoteProtocolError("a line of the results has no custom_id")
        result = mapping(row.get("result"))
        kind = result.get("type")
        message = result.get("message")
        if kind == "succeeded" and isinstance(message, Mapping):
            return BatchResult(custom_id, to_json(message))
        if kind in ("canceled", "expired"):
            return BatchResult(custom_id, unasked="expired" if kind == "expired" else "cancelled")
        error = mapping(result.get("error"))
        told = server_error(error if isinstance(error.get("error"), Mapping) else {"error": error})
        if not (told.message or told.type):
            told = ServerError(message="a result of no known kind")
        return BatchResult(custom_id, status=_STATUS.get(told.type, 500), error=told)

    def cancel(self, remote: str) -> BatchCall:
        """Return the call that ends a batch."""
        return BatchCall("POST", f"/messages/batches/{quote(remote)}/cancel")
