"""One HTTP/1.1 connection of the loopback server: requests in, timed writes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

__all__ = ["Connection", "chunk"]

_MAX_HEAD = 64 * 1024

Received = Callable[["Connection", str, str, Mapping[str, str], bytes], None]


class Connection(asyncio.Protocol):
    """A kept connection. `received` is told each request; the answer ends by `end`."""

    def __init__(
        self,
        received: Received,
        opened: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        self._received = received
        self._opened = opened
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.answering: int | None = None
        """The number of the request that is being answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.answering is None:
            self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._lost(self)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do `act` in `seconds`, unless the client has left."""
        if seconds <= 0:
            act()
        else:
            self._timer = asyncio.get_running_loop().call_later(seconds, act)

    def write(self, data: bytes) -> None:
        """Send `data`."""
        if self._transport is not None:
            self._transport.write(data)

    def respond(
        self,
        status: int,
        body: bytes,
        headers: Sequence[tuple[str, str]] = (),
        kind: str = "application/json",
    ) -> None:
        """Send a whole response, and end the answer."""
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {kind}"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"Content-Length: {len(body)}", "", ""]
        self.write("\r\n".join(lines).encode() + body)
        self.end()

    def stream(self, head: bytes, timed: Sequence[tuple[float, bytes]]) -> None:
        """Send `head` and the parts of a chunked body, each at its time from now, and end the answer.

        What is due together is one write.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        at = 0

        def go_on() -> None:
            nonlocal at, head
            ready: list[bytes] = []
            now = loop.time() - began + 0.0005
            while at < len(timed) and timed[at][0] <= now:
                ready.append(timed[at][1])
                at += 1
            body = head + chunk(b"".join(ready))
            head = b""
            if at < len(timed):
                self.write(body)
                self._timer = loop.call_at(began + timed[at][0], go_on)
            else:
                self.write(body + b"0\r\n\r\n")
                self.end()

        go_on()

    def end(self) -> None:
        """Say that the answer is complete; the next request may come."""
        self.answering = None
        if self._buffer:
            asyncio.get_running_loop().call_soon(self._next)

    def close(self) -> None:
        """Close the connection, once what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        if self.answering is not None:
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                self.abort()
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = headers.get("content-length", "0")
        words = first.split(" ")
        if len(words) != 3 or not length.isdigit() or "transfer-encoding" in headers:
            self.respond(400, b'{"error": {"message": "no request that this server understands"}}')
            self.close()
            return
        stop = end + 4 + int(length)
        if len(self._buffer) < stop:
            return
        body = bytes(self._buffer[end + 4 : stop])
        del self._buffer[:stop]
        self._received(self, words[0], words[1], headers, body)


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk of a chunked body; nothing for no data, since that would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
