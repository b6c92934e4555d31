"""Gemini's batchGenerateContent with the requests in its body: an operation that is asked for. Sans-IO."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic_core import to_json

from agentflow_protocols.chat.batches import BatchCall, BatchResult, BatchState, whole_number
from agentflow_protocols.chat.draft import items, json_object, mapping, string
from agentflow_protocols.chat.server_error import ServerError, server_error
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["GeminiBatches"]

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
_UNASKED = {"CANCELLED": "cancelled", "EXPIRED": "expired"}
# The codes of google.rpc.Status, which a row's error has, and what they are in HTTP.
_STATUS = {1: 499, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501}
_STATUS |= {13: 500, 14: 503, 15: 500, 16: 401}
_MOST_PAGES = 100
_NAMELESS = "agentflow"


@dataclass(slots=True, frozen=True)
class GeminiBatches:
    """The API. A body has at most 20 MB, with what stands round the lines."""

    most_requests: int = 100_000
    most_bytes: int = 19_000_000

    @property
    def named(self) -> bool:
        """The name is the batch's display name."""
        return True

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        """Return the line for one request."""
        return b'{"request":' + body + b',"metadata":' + to_json({"key": custom_id}) + b"}"

    def submit(self, model: str, name: str, first: bytes) -> Generator[BatchCall, bytes, str]:
        """Hand in all requests in one call."""
        full = model if "/" in model else f"models/{model}"
        title = to_json({"displayName": name or _NAMELESS})[1:-1] + b","  # the API wants one
        head = b'{"batch":{' + title + b'"inputConfig":{"requests":{"requests":['
        path = f"/{quote(full)}:batchGenerateContent"
        made = yield BatchCall("POST", path, head, b"]}}}}", b",", lines=True, creates=True)
        identity = string(json_object(made).get("name"))
        if not identity:
            raise RemoteProtocolError("the answer names no batch")
        return identity

    def find(self, name: str) -> Generator[BatchCall, bytes, str | None]:
        """Look through the batches."""
        token = ""
        for _ in range(_MOST_PAGES):
            more = f"&pageToken={quote(token, safe='')}" if token else ""
            page = json_object((yield BatchCall("GET", f"/batches?pageSize=100{more}")))
            for each in items(page.get("operations")):
                batch = mapping(each)
                if mapping(batch.get("metadata")).get("displayName") == name:
                    return string(batch.get("name")) or None
            token = string(page.get("nextPageToken"))
            if not token:
                return None
        return None

    def state(self, remote: str) -> BatchCall:
        """Return the call that asks for a batch's state, with its results once it has ended."""
        return BatchCall("GET", f"/{quote(remote)}")

    def read_state(self, body: bytes) -> BatchState:
        """Read a batch's state."""
        data = json_object(body)
        told = mapping(data.get("metadata"))
        status = string(told.get("state")).rpartition("STATE_")[2]
        if not status and "done" not in data and not string(data.get("name")):
            raise RemoteProtocolError("the batch has no state")
        stats = mapping(told.get("batchStats"))
        rows = _rows(data.get("response")) or _rows(told.get("output"))
        fault = ""
        if data.get("error") or status == "FAILED":
            fault = server_error(data).message or "no reason was given"
        return BatchState(
            status or ("SUCCEEDED" if data.get("done") is True else "PENDING"),
            data.get("done") is True or status in _ENDED,
            whole_number(stats.get("successfulRequestCount")),
            whole_number(stats.get("failedRequestCount")),
            whole_number(stats.get("requestCount")),
            inline=tuple(to_json(row) for row in rows),
            fault="" if rows or status in _UNASKED else fault,
        )

    def read_result(self, line: bytes) -> BatchResult:
        """Read one row of the results."""
        row = json_object(line)
        custom_id = mapping(row.get("metadata")).get("key", row.get("key"))
        if not isinstance(custom_id, str):
            raise RemoteProtocolError("a row of the results has no key")
        response = row.get("response")
        if isinstance(response, Mapping):
            return BatchResult(custom_id, to_json(response))
        error = mapping(row.get("error"))
        code = whole_number(error.get("code"))
        if code == 1:
            return BatchResult(custom_id, unasked="cancelled")
        told = server_error({"error": {**error, "code": ""}})
        if not told.message:
            told = ServerError(message="an answer without a reason")
        return BatchResult(custom_id, status=_STATUS.get(code, code if code >= 400 else 500), error=told)

    def cancel(self, remote: str) -> BatchCall:
        """Return the call that ends a batch."""
        return BatchCall("POST", f"/{quote(remote)}:cancel")


def _rows(answer: object) -> list[object]:
    return items(mapping(mapping(answer).get("inlinedResponses")).get("inlinedResponses"))
