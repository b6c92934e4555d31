"""OpenAI's batch API, and Azure's: a file of requests in, files of results out. Sans-IO."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic_core import to_json

from agentflow_protocols.chat.batches import BatchCall, BatchResult, BatchState, whole_number
from agentflow_protocols.chat.draft import items, json_object, mapping, string
from agentflow_protocols.chat.messages import Json
from agentflow_protocols.chat.server_error import ServerError, server_error
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["OpenAIBatches", "file_call", "made_id"]

_ENDS = ("/chat/completions", "/completions", "/responses")
_ENDED = ("completed", "failed", "expired", "cancelled")
_UNASKED = {"batch_expired": "expired", "batch_cancelled": "cancelled", "batch_canceled": "cancelled"}
_MOST_PAGES = 100
_PENDING = ("pending", "notrunning", "running", "importing")
_MOST_WAITS = 200
_LONGEST_PAUSE = 15.0


@dataclass(slots=True, frozen=True)
class OpenAIBatches:
    """The API. `prefix` stands before the address in each line; `query` goes behind every path."""

    most_requests: int = 50_000
    most_bytes: int = 200_000_000
    prefix: str = "/v1"
    query: str = ""

    @property
    def named(self) -> bool:
        """The name is kept in the batch's metadata."""
        return True

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        """Return the line for one request."""
        plain = path.split("?")[0]
        url = next((end for end in _ENDS if plain.endswith(end)), None)
        if url is None:
            raise LocalProtocolError(f"the batch API asks nothing at {plain}")
        head = to_json({"custom_id": custom_id, "method": "POST", "url": self.prefix + url})
        return head[:-1] + b',"body":' + body + b"}"

    def submit(self, model: str, name: str, first: bytes) -> Generator[BatchCall, bytes, str]:
        """Hand in a file, then a batch of it. All lines go where the first one goes.

        The server that looks through a file first is asked until it has.
        """
        url = string(json_object(first).get("url"))
        file = yield file_call(self._at("/files"), name, first)
        identity = made_id(file)
        for tries in range(_MOST_WAITS):  # Azure takes no batch of a file that it has not looked through
            status = string(json_object(file).get("status"))
            if status.lower() not in _PENDING:
                break
            pause = min(0.25 * 2**tries, _LONGEST_PAUSE)
            file = yield BatchCall("GET", self._at(f"/files/{quote(identity)}"), pause=pause)
        if status in ("error", "failed"):
            raise RemoteProtocolError("the batch's file was refused")
        body: dict[str, Json] = {
            "input_file_id": identity,
            "endpoint": url,
            "completion_window": "24h",
            **({"metadata": {"name": name}} if name else {}),
        }
        made = yield BatchCall("POST", self._at("/batches"), to_json(body), creates=True)
        return made_id(made)

    def find(self, name: str) -> Generator[BatchCall, bytes, str | None]:
        """Look through the batches, the last one first."""
        after = ""
        for _ in range(_MOST_PAGES):
            more = f"&after={quote(after)}" if after else ""
            page = json_object((yield BatchCall("GET", self._at(f"/batches?limit=100{more}"))))
            for each in items(page.get("data")):
                batch = mapping(each)
                if mapping(batch.get("metadata")).get("name") == name:
                    return string(batch.get("id")) or None
                after = string(batch.get("id"))
            if page.get("has_more") is not True or not after:
                return None
        return None

    def state(self, remote: str) -> BatchCall:
        """Return the call that asks for a batch's state."""
        return BatchCall("GET", self._at(f"/batches/{quote(remote)}"))

    def read_state(self, body: bytes) -> BatchState:
        """Read a batch's state: an expired or cancelled one has the results that came before."""
        data = json_object(body)
        status = string(data.get("status"))
        if not status:
            raise RemoteProtocolError("the batch has no status")
        counts = mapping(data.get("request_counts"))
        files = [string(data.get(f"{kind}_file_id")) for kind in ("output", "error")]
        told = [string(mapping(e).get("message")) for e in items(mapping(data.get("errors")).get("data"))]
        return BatchState(
            status,
            status in _ENDED,
            whole_number(counts.get("completed")),
            whole_number(counts.get("failed")),
            whole_number(counts.get("total")),
            tuple(self._at(f"/files/{quote(file)}/content") for file in files if file),
            fault="; ".join(told[:3]) or "no reason was given" if status == "failed" else "",
        )

    def read_result(self, line: bytes) -> BatchResult:
        """Read one line of an output or an error file."""
        row = json_object(line)
        custom_id = row.get("custom_id")
        if not isinstance(custom_id, str):
            raise RemoteProtocolError("a line of the results has no custom_id")
        error = mapping(row.get("error"))
        response = mapping(row.get("response"))
        code = string(error.get("code"))
        if code in _UNASKED:
            return BatchResult(custom_id, unasked=_UNASKED[code])
        status = whole_number(response.get("status_code"))
        body = response.get("body")
        if status == 200 and isinstance(body, Mapping):
            return BatchResult(custom_id, to_json(body))
        told = server_error(body if isinstance(body, Mapping) else {"error": error})
        if not (told.message or told.code):
            told = ServerError(message=f"an answer without a body{f' ({code})' if code else ''}")
        return BatchResult(custom_id, status=status or 500, error=told)

    def cancel(self, remote: str) -> BatchCall:
        """Return the call that ends a batch."""
        return BatchCall("POST", self._at(f"/batches/{quote(remote)}/cancel"))

    def _at(self, path: str) -> str:
        if not self.query:
            return path
        return f"{path}{'&' if '?' in path else '?'}{self.query}"


def file_call(path: str, name: str, first: bytes) -> BatchCall:
    """Return the call that hands in the file of a batch whose first line is `first`."""
    mark = hashlib.sha256(f"{name}\n{len(first)}".encode() + first).hexdigest()[:32]
    head = (
        f"--{mark}\r\n"
        'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f"--{mark}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{mark}.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    ).encode()
    kind = f"multipart/form-data; boundary={mark}"
    tail = f"\r\n--{mark}--\r\n".encode()
    return BatchCall("POST", path, head, tail, b"\n", lines=True, content_type=kind)


def made_id(body: bytes) -> str:
    """Return the id of what a call made. Raises `RemoteProtocolError` for an answer without one."""
    identity = string(json_object(body).get("id"))
    if not identity:
        raise RemoteProtocolError("the answer names no id")
    return identity
