"""What providers' batch APIs have in common: many requests handed in at once, answered within a day. Sans-IO.

A `BatchApi` says which calls to make and reads their answers; who makes them is not its
matter. A batch is handed in as lines, each one request under an id of the caller's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from agentflow_protocols.chat.server_error import ServerError

__all__ = ["BatchApi", "BatchCall", "BatchResult", "BatchState", "whole_number"]


@dataclass(slots=True, frozen=True)
class BatchCall:
    """An HTTP request: `path` goes behind the base address, `head` is the body.

    With `lines` the lines of the batch stand between `head` and `tail`, with `between`
    from one to the next. A call that `creates` a batch is paid for each time it is made.
    It is made `pause` seconds after the one before.
    """

    method: str
    path: str
    head: bytes = b""
    tail: bytes = b""
    between: bytes = b""
    lines: bool = False
    creates: bool = False
    pause: float = 0.0
    content_type: str = "application/json"


@dataclass(slots=True, frozen=True)
class BatchState:
    """How far a batch is. `status` is the provider's word, `ended` that nothing more will come.

    `done` of `total` requests were answered, `failed` were not. `sources` are the paths
    of files with results, `inline` the results themselves where the state holds them; each
    is a line for `BatchApi.read_result`. `fault` says why the whole batch was refused.
    """

    status: str
    ended: bool
    done: int = 0
    failed: int = 0
    total: int = 0
    sources: tuple[str, ...] = ()
    inline: tuple[bytes, ...] = ()
    fault: str = ""


@dataclass(slots=True, frozen=True)
class BatchResult:
    """What became of one request: the `body` of a reply, or an `error` with its `status`.

    `unasked` says why a request was never put to the model: it may be handed in again.
    """

    custom_id: str
    body: bytes | None = None
    status: int = 200
    error: ServerError | None = None
    unasked: str = ""


class BatchApi(Protocol):
    """A provider's batch API. Its readers raise `RemoteProtocolError` for what they can't read.

    The generators yield calls and are sent the body of each answer.
    """

    @property
    def most_requests(self) -> int:
        """How many requests a batch may have."""

    @property
    def most_bytes(self) -> int:
        """How large its lines may be together."""

    @property
    def named(self) -> bool:
        """Whether a batch can be found by the name that it was given."""

    def line(self, custom_id: str, path: str, body: bytes) -> bytes:
        """Return the line, without its newline, for a request with `body` to `path`.

        Raises `LocalProtocolError` for an id that the provider does not take.
        """

    def submit(self, model: str, name: str, first: bytes) -> Generator[BatchCall, bytes, str]:
        """Hand in a batch whose first line is `first`; return the provider's id of it."""

    def find(self, name: str) -> Generator[BatchCall, bytes, str | None]:
        """Look for the last batch of this name; return its id, None where there is none."""

    def state(self, remote: str) -> BatchCall:
        """Return the call that asks for a batch's state."""

    def read_state(self, body: bytes) -> BatchState:
        """Read a batch's state."""

    def read_result(self, line: bytes) -> BatchResult:
        """Read one line of results."""

    def cancel(self, remote: str) -> BatchCall:
        """Return the call that ends a batch; what was answered stays."""


def whole_number(value: object) -> int:
    """Return a count, which some providers write as a text; 0 for anything else."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        return int(value)
    return value if type(value) is int and value > 0 else 0
