"""Mistral's batch jobs: files in and out as with OpenAI, under names of their own. Sans-IO.

A job has one model and one address, so that the lines have neither. What a job did not come
to before its time was over is not among its results.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from urllib.parse import quote

from pydantic_core import to_json

from agentflow_protocols.chat.batches import BatchCall, BatchResult, BatchState, whole_number
from agentflow_protocols.chat.draft import items, json_object, mapping, string
from agentflow_protocols.chat.messages import Json
from agentflow_protocols.chat.openai_batches import OpenAIBatches, file_call, made_id
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["MistralBatches"]

_PATH = "/chat/completions"
_ENDED = ("SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED")
_PAGE = 100
_MOST_PAGES = 100


@dataclass(slots=True, frozen=True)
class MistralBatches:
    """The API."""

    most_requests: int = 1_000_000
    most_bytes: int = 512_000_000

    @property
    def named(self) -> bool:
        """The name is kept in the job's metadata."""
        return True

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        """Return the line for one request."""
        if path != _PATH:
            raise LocalProtocolError(f"the batch API asks nothing at {path}")
        asked = {name: value for name, value in json_object(body).items() if name != "model"}
        return to_json({"custom_id": custom_id, "body": asked})

    def submit(self, model: str, name: str, first: bytes) -> Generator[BatchCall, bytes, str]:
        """Hand in a file, then a job for it."""
        file = yield file_call("/files", name, first)
        body: dict[str, Json] = {
            "input_files": [made_id(file)],
            "model": model,
            "endpoint": f"/v1{_PATH}",
            **({"metadata": {"name": name}} if name else {}),
        }
        made = yield BatchCall("POST", "/batch/jobs", to_json(body), creates=True)
        return made_id(made)

    def find(self, name: str) -> Generator[BatchCall, bytes, str | None]:
        """Look through the jobs."""
        for page in range(_MOST_PAGES):
            place = f"/batch/jobs?page={page}&page_size={_PAGE}"
            jobs = items(json_object((yield BatchCall("GET", place))).get("data"))
            for each in jobs:
                job = mapping(each)
                if mapping(job.get("metadata")).get("name") == name:
                    return string(job.get("id")) or None
            if len(jobs) < _PAGE:
                return None
        return None

    def state(self, remote: str) -> BatchCall:
        """Return the call that asks for a job's state."""
        return BatchCall("GET", f"/batch/jobs/{quote(remote)}")

    def read_state(self, body: bytes) -> BatchState:
        """Read a job's state."""
        data = json_object(body)
        status = string(data.get("status"))
        if not status:
            raise RemoteProtocolError("the job has no status")
        files = [string(data.get(f"{kind}_file")) for kind in ("output", "error")]
        sources = tuple(f"/files/{quote(file)}/content" for file in files if file)
        told = [string(mapping(each).get("message")) for each in items(data.get("errors"))]
        refused = status == "FAILED" and not sources
        return BatchState(
            status,
            status in _ENDED,
            whole_number(data.get("succeeded_requests")),
            whole_number(data.get("failed_requests")),
            whole_number(data.get("total_requests")),
            sources,
            fault=("; ".join(told[:3]) or "no reason was given") if refused else "",
        )

    def read_result(self, line: bytes) -> BatchResult:
        """Read one line of an output or an error file, which have OpenAI's form."""
        return OpenAIBatches().read_result(line)

    def cancel(self, remote: str) -> BatchCall:
        """Return the call that ends a job."""
        return BatchCall("POST", f"/batch/jobs/{quote(remote)}/cancel")
