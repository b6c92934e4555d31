"""`python -m agentflow.testing.server`: the loopback server as a process of its own.

The first line on stdout is the base address. The server ends by SIGTERM, SIGINT, or
when its stdin is closed (with `--with-stdin`), so that it never outlives its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys

from agentflow.errors import UserError
from agentflow.testing.chat_server import ChatServer
from agentflow.testing.scenarios import SCENARIOS, scenario

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; return the exit code, 2 for wrong use."""
    parser = argparse.ArgumentParser(prog="agentflow.testing.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--first-token", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--tokens-per-second", type=float, default=None)
    parser.add_argument("--requests-per-minute", type=float, default=None)
    parser.add_argument("--window", type=float, default=60.0, metavar="SECONDS")
    known = ", ".join(sorted(SCENARIOS))
    parser.add_argument("--scenario", default="text", help=f"{known}, or module:function (body -> answer)")
    parser.add_argument("--with-stdin", action="store_true", help="end when stdin is closed")
    options = parser.parse_args(arguments)
    try:
        reply = scenario(options.scenario)
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    server = ChatServer(
        reply,
        first_token_s=options.first_token,
        tokens_per_second=options.tokens_per_second,
        requests_per_minute=options.requests_per_minute,
        window_s=options.window,
    )
    asyncio.run(_serve(server, options.host, options.port, options.with_stdin))
    return 0


async def _serve(server: ChatServer, host: str, port: int, with_stdin: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    if with_stdin:
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: _EndsWith(reader, stop), sys.stdin)
    print(await server.start(host, port), flush=True)  # noqa: T201
    await stop.wait()
    await server.aclose()


class _EndsWith(asyncio.StreamReaderProtocol):
    """Set `stop` when stdin is closed."""

    def __init__(self, reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
        super().__init__(reader)
        self._stop = stop

    def data_received(self, data: bytes) -> None:
        """Read over it."""

    def eof_received(self) -> bool:
        self._stop.set()
        return False


if __name__ == "__main__":
    sys.exit(main())
