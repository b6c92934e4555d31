"""The seam to HTTP: send a request, get its status, headers and chunks, leave at any time.

`over_aiohttp` is the default and carries the hot path; `over_httpx2` takes a
client that the user has configured (proxies, authentication, a MockTransport).
Both keep virtual time still while the network works, count time-outs in wall
time, follow no redirect, and close the connection when a response is left early.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from agentflow.errors import EndpointUnavailable, UserError
from agentflow.runtime.resources import Resources

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["Response", "Timeouts", "Transport", "transport_of", "unreachable"]


@dataclass(slots=True, frozen=True)
class Timeouts:
    """Seconds of wall time (`total` on a virtual clock, too); None waits without end.

    `connect`: for a new connection; `first`: from the request to the head of its
    response; `idle`: between two chunks of it; `total`: for a whole request, its
    retries included, the queue for its rate limit not.
    """

    connect: float | None = 10.0
    first: float | None = 120.0
    idle: float | None = 120.0
    total: float | None = 1800.0


class Response(Protocol):
    """A response whose head has come. `headers` has lower-case names."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, looked up by lower-case names."""

    async def read(self) -> bytes:
        """Return the next bytes of the body as they come; empty at its end.

        Raises `EndpointUnavailable` when the body is cut or idle for too long.
        """

    async def aclose(self, *, linger: float = 0.0) -> None:
        """Leave the response. What has not ended within `linger` seconds is closed on the wire."""


class Transport(Protocol):
    """Sends requests. One is shared by all endpoints of a Runtime."""

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes],
        timeouts: Timeouts,
    ) -> Response:
        """Send a request and return its response once the head has come.

        A body that is no bytes is a large one, whose length is among the headers: it is sent
        as it is read. Files of provider batches are.

        Raises `EndpointUnavailable`, naming host and port, when there is none.
        """

    async def aclose(self) -> None:
        """Close every connection."""


def transport_of(resources: Resources, client: AsyncClient | Transport | None = None) -> Transport:
    """Return the transport for `client`, or the default one; `resources` own it."""
    if client is None:
        from agentflow.endpoints.over_aiohttp import AiohttpTransport

        return resources.get("http", AiohttpTransport)
    if hasattr(client, "build_request"):
        from agentflow.endpoints.over_httpx2 import Httpx2Transport

        user = cast("AsyncClient", client)
        return resources.get(("http", id(client)), lambda: Httpx2Transport(user))
    if hasattr(client, "send"):
        return client
    raise UserError(f"http_client must be an httpx2.AsyncClient or a Transport, not {type(client).__name__}")


def unreachable(where: str, what: str) -> EndpointUnavailable:
    """Return the one error for a request that got no (whole) response from `where`, a host and port."""
    return EndpointUnavailable(f"{where}: {what}")
