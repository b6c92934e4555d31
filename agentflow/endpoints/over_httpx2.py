"""HTTP by a user's own `httpx2.AsyncClient`, which stays the user's: it is never closed here."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import TYPE_CHECKING

from agentflow.endpoints.transport import Timeouts, unreachable
from agentflow.errors import EndpointUnavailable
from agentflow.runtime.clock import Clock, current_clock

if TYPE_CHECKING:
    import httpx2

__all__ = ["Httpx2Response", "Httpx2Transport"]


class Httpx2Transport:
    """Send requests by `client`."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes],
        timeouts: Timeouts,
    ) -> Httpx2Response:
        """Send a request and return its response once the head has come."""
        import httpx2

        clock = current_clock()
        limits = httpx2.Timeout(None, connect=timeouts.connect)
        request = self._client.build_request(method, url, content=body, headers=dict(headers), timeout=limits)
        where = f"{request.url.host}:{request.url.port or (443 if request.url.scheme == 'https' else 80)}"
        try:
            with clock.hold():
                async with clock.guard(timeouts.first):
                    response = await self._client.send(request, stream=True, follow_redirects=False)
        except TimeoutError:
            raise unreachable(where, f"no answer within {timeouts.first:g} s") from None
        except httpx2.ConnectTimeout:
            raise unreachable(where, f"no connection within {timeouts.connect:g} s") from None
        except httpx2.TransportError as error:
            raise _mapped(where, error) from None
        return Httpx2Response(response, clock, where, timeouts.idle)

    async def aclose(self) -> None:
        """Leave the user's client open."""


class Httpx2Response:
    """A response of httpx2."""

    __slots__ = ("_chunks", "_clock", "_ended", "_idle", "_response", "_where", "headers", "status")

    def __init__(self, response: httpx2.Response, clock: Clock, where: str, idle: float | None) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._clock = clock
        self._where = where
        self._idle = idle
        self._ended = False
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """Return the next bytes of the body as they come; empty at its end."""
        import httpx2

        if self._ended:
            return b""
        try:
            with self._clock.hold():
                async with self._clock.guard(self._idle):
                    return await anext(self._chunks)
        except StopAsyncIteration:
            self._ended = True
            return b""
        except TimeoutError:
            raise unreachable(self._where, f"sent nothing for {self._idle:g} s") from None
        except httpx2.TransportError as error:
            raise _mapped(self._where, error) from None

    async def aclose(self, *, linger: float = 0.0) -> None:
        """Leave the response; close its connection unless it ended within `linger` seconds."""
        try:
            if linger > 0 and not self._ended:
                with self._clock.hold():
                    async with self._clock.guard(linger):
                        while await self.read():
                            pass
        except (EndpointUnavailable, TimeoutError):
            pass
        finally:
            close = getattr(self._chunks, "aclose", None)
            if close is not None:
                await close()
            await self._response.aclose()


def _mapped(where: str, error: httpx2.TransportError) -> EndpointUnavailable:
    import httpx2

    if isinstance(error, httpx2.TimeoutException):
        return unreachable(where, "no answer in time")
    if isinstance(error, httpx2.ConnectError):
        return unreachable(where, "no connection")
    if isinstance(error, httpx2.RemoteProtocolError):
        return unreachable(where, "cut the connection")
    return unreachable(where, f"the connection failed ({type(error).__name__})")
