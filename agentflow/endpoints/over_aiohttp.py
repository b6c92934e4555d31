"""HTTP by aiohttp: one session, one TLS context, no limit of connections (the scheduler has it)."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from yarl import URL

from agentflow.endpoints.transport import Timeouts, unreachable
from agentflow.errors import EndpointUnavailable
from agentflow.runtime.clock import Clock, current_clock

if TYPE_CHECKING:
    from aiohttp.base_protocol import BaseProtocol
    from aiohttp.client import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

__all__ = ["AiohttpResponse", "AiohttpTransport"]

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class _Connector(aiohttp.TCPConnector):
    """A connector whose time-out for a new connection counts wall time.

    A kept connection that the server has closed meanwhile is not used, even when the
    loop has not seen that yet: some servers close with the end of a reply, unannounced.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[BaseProtocol] = WeakSet()

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        async with current_clock().guard(timeout.sock_connect):
            while True:
                connection = await super().connect(req, traces, _NO_TIMEOUT)
                protocol = connection.protocol
                assert protocol is not None
                if protocol not in self._used or not _has_ended(connection.transport):
                    self._used.add(protocol)
                    return connection
                connection.close()


def _has_ended(transport: asyncio.Transport | None) -> bool:
    """Return whether a connection without a request is at its end: nothing but that can be read."""
    if transport is None or transport.is_closing():
        return True
    if transport.get_extra_info("sslcontext") is not None:
        return False
    looks = select.poll()
    looks.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(looks.poll(0))


class AiohttpTransport:
    """Send requests by one aiohttp session, opened by the first of them.

    Without `keep`, each request has a connection of its own.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._session: aiohttp.ClientSession | None = None
        self._clock: Clock | None = None
        self._proxies: dict[tuple[str, str | None], str | None] = {}
        self._limits: dict[float | None, aiohttp.ClientTimeout] = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes],
        timeouts: Timeouts,
    ) -> AiohttpResponse:
        """Send a request and return its response once the head has come."""
        session = self._session or self._open()
        clock = self._clock
        assert clock is not None
        target = URL(url)
        origin = (target.scheme, target.host)
        if origin not in self._proxies:
            self._proxies[origin] = _proxy(target)
        limit = self._limits.get(timeouts.connect)
        if limit is None:
            limit = aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect)
            self._limits[timeouts.connect] = limit
        where = f"{target.host}:{target.port}"
        try:
            with clock.hold():
                async with clock.guard(timeouts.first):
                    response = await session.request(
                        method,
                        target,
                        data=body or None,
                        headers=headers,
                        proxy=self._proxies[origin],
                        timeout=limit,
                        allow_redirects=False,
                    )
        except aiohttp.ConnectionTimeoutError:
            raise unreachable(where, f"no connection within {timeouts.connect:g} s") from None
        except TimeoutError:
            raise unreachable(where, f"no answer within {timeouts.first:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _mapped(where, error) from None
        return AiohttpResponse(response, clock, where, timeouts.idle)

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            with current_clock().hold():
                await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._clock = current_clock()
        # The pool's clean-up is a timer of the loop that looks at wall time: on virtual time it
        # would fire without end while connections are kept, so none are.
        keep: dict[str, Any] = {"keepalive_timeout": 30.0}
        if self._clock.kind != "wall" or not self._keep:
            keep = {"force_close": True}
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0, ttl_dns_cache=60, **keep),
            timeout=_NO_TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session


class AiohttpResponse:
    """A response of aiohttp."""

    __slots__ = ("_clock", "_content", "_idle", "_response", "_where", "headers", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, clock: Clock, where: str, idle: float | None
    ) -> None:
        self._response = response
        self._content = response.content
        self._clock = clock
        self._where = where
        self._idle = idle
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """Return the next bytes of the body as they come; empty at its end."""
        try:
            if chunk := self._content.read_nowait():
                return chunk
            with self._clock.hold():
                async with self._clock.guard(self._idle):
                    return await self._content.readany()
        except TimeoutError:
            raise unreachable(self._where, f"sent nothing for {self._idle:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _mapped(self._where, error) from None

    async def aclose(self, *, linger: float = 0.0) -> None:
        """Leave the response; close its connection unless it ended within `linger` seconds."""
        content = self._content
        if linger > 0 and not content.is_eof():
            try:
                with self._clock.hold():
                    async with self._clock.guard(linger):
                        while await content.readany():
                            pass
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            except asyncio.CancelledError:
                self._response.close()
                raise
        if content.is_eof():
            self._response.release()
        else:
            self._response.close()


def _proxy(target: URL) -> str | None:
    """Return the proxy that the environment names for `target`; this machine is never behind one."""
    if target.host in (None, "localhost", "127.0.0.1", "::1") or proxy_bypass(target.host):
        return None
    return getproxies().get(target.scheme)


def _mapped(where: str, error: Exception) -> EndpointUnavailable:
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return unreachable(where, "closed the connection without an answer")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return unreachable(where, "its TLS certificate is not trusted")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return unreachable(where, "no such host")
    if isinstance(error, aiohttp.ClientPayloadError):
        return unreachable(where, "cut the reply short")
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return unreachable(where, "refused the connection")
    if isinstance(cause, ConnectionResetError):
        return unreachable(where, "reset the connection")
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else type(cause).__name__
    return unreachable(where, f"no connection ({reason})")
