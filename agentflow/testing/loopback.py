"""A real OpenAI-compatible server on 127.0.0.1, in a thread and on an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypedDict, Unpack

from agentflow.testing.chat_server import ChatServer, Fault, FaultKind, ReplySource, ServedRequest

__all__ = ["LoopbackServer", "ServerOptions"]


class ServerOptions(TypedDict, total=False):
    """The options of `ChatServer`."""

    first_token_s: float
    tokens_per_second: float | None
    requests_per_minute: float | None
    window_s: float
    faults: Sequence[Fault | FaultKind | int | None]
    model: str
    send_usage: bool


class LoopbackServer:
    """Serve `reply` (see `ChatServer`) at `url` while the `with` block lasts."""

    def __init__(
        self,
        reply: ReplySource = "Hello.",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **options: Unpack[ServerOptions],
    ) -> None:
        self._server = ChatServer(reply, **options)
        self._address = (host, port)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failed: OSError | None = None
        self.url = ""
        """The base address, such as `http://127.0.0.1:40123/v1`."""

    def __enter__(self) -> LoopbackServer:
        """Start the server. Raises OSError when it can't listen."""
        self._thread = threading.Thread(target=self._serve, name="loopback-server", daemon=True)
        self._thread.start()
        self.wait_for(lambda: bool(self.url) or self._failed is not None)
        if self._failed is not None:
            raise self._failed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server, and wait until its thread has ended."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    @property
    def requests(self) -> list[ServedRequest]:
        """The requests that came, in order."""
        return list(self._server.requests)

    @property
    def disconnects(self) -> list[ServedRequest]:
        """The requests whose client left before the answer's end; `left_at` says when."""
        return [request for request in self.requests if request.left_at is not None]

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._server.connections)

    @property
    def most_connections(self) -> int:
        """How many were open at once, at most."""
        return self._server.most_connections

    def wait_for(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait until `condition` holds of the server. Raises TimeoutError after `timeout` seconds."""
        ends = time.monotonic() + timeout
        with self._changed:
            while not condition():
                left = ends - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    if condition():
                        return
                    raise TimeoutError(f"not within {timeout:g} s")

    async def until(self, condition: Callable[[], bool], timeout: float = 5.0) -> None:
        """Wait as `wait_for` does, while the running loop goes on."""
        await asyncio.to_thread(self.wait_for, condition, timeout)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            url = await self._server.start(*self._address, self._notify)
        except OSError as error:
            self._failed = error
            self._notify()
            return
        self.url = url
        self._notify()
        await self._stop.wait()
        await self._server.aclose()
