"""The measures' server, in a process of its own: it answers each prompt in one way, misbehaves, and counts.

`python -m agentflow_bench.batch.server RULES` takes its `Rules` as JSON and prints its base
address. GET /record returns what came. It ends when its stdin is closed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from agentflow.testing.wire import Connection
from agentflow_bench.batch.dialects import Body, answer_of, body_of, prompt_of
from agentflow_bench.batch.rules import Bucket, FaultName, Rules, Trouble

__all__ = ["main"]

_LINGER = struct.pack("ii", 1, 0)  # closing sends a reset


class _Peer(Connection):
    """A connection that can be reset."""

    request: _Request | None = None

    def reset(self) -> None:
        if self._transport is not None:
            end: socket.socket = self._transport.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            self._transport.abort()


@dataclass(slots=True)
class _Request:
    """A request that came: when, of which prompt, its status (0: none was sent), when its answer was sent."""

    at: float
    prompt: str
    status: int = 0
    sent: float | None = None


class _Server:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.kept: list[_Request] = []
        self.come = self.sent = self.refused = self.open = self.most = 0
        self._trouble = Trouble(rules)
        self._bucket = None if rules.limit is None else Bucket(rules.limit, rules.window)

    def connection(self) -> _Peer:
        """Return the protocol of a connection."""
        return _Peer(self._received, lambda _: None, self._lost)

    def _lost(self, peer: Connection) -> None:
        assert isinstance(peer, _Peer)
        if peer.request is not None:
            peer.request = None
            self.open -= 1

    def _received(
        self, peer: Connection, method: str, path: str, headers: Mapping[str, str], data: bytes
    ) -> None:
        assert isinstance(peer, _Peer)
        path = path.partition("?")[0]
        if method == "GET":
            peer.respond(200, self._record() if path == "/record" else b"{}")
            return
        now = time.monotonic()
        body: Body = json.loads(data)
        prompt = prompt_of(body)
        request = _Request(now, prompt)
        peer.request, peer.answering = request, 0
        self._come(request)
        told: list[tuple[str, str]] = []
        if self._bucket is not None:
            good, left, reset = self._bucket.take(now)
            told = self._told(left, reset, good)
            if not good:
                self.refused += 1
                self._respond(peer, 429, b'{"error": {"message": "rate limit reached"}}', told)
                return
        fault, seconds = self._trouble.next(prompt)
        whole = body_of(path, body.get("model", "m"), answer_of(prompt))
        if whole is None:
            self._respond(peer, 404, b'{"error": {"message": "nothing is served there"}}', told)
        elif fault is None:
            peer.after(seconds, lambda: self._respond(peer, 200, whole, told))
        elif fault != "hang":
            peer.after(seconds, lambda: self._fail(peer, fault, whole, told))

    def _come(self, request: _Request) -> None:
        self.come += 1
        self.open += 1
        self.most = max(self.most, self.open)
        if self.rules.keeps:
            self.kept.append(request)
        if self.rules.tell_of == "come" and self.come == self.rules.tell_at:
            print("reached", flush=True)

    def _told(self, left: float, reset: float, good: bool) -> list[tuple[str, str]]:
        assert self._bucket is not None
        told = [] if good else [("retry-after", str(max(1, round(reset))))]
        if self.rules.tells:
            whole = (self._bucket.size - left) * 60 / self._bucket.limit
            told += [
                ("x-ratelimit-limit-requests", f"{self._bucket.limit:.0f}"),
                ("x-ratelimit-remaining-requests", f"{int(left)}"),
                ("x-ratelimit-reset-requests", f"{whole:.3f}s"),
            ]
        return told

    def _ended(self, peer: _Peer, status: int) -> None:
        request = peer.request
        if request is not None:
            peer.request = None
            self.open -= 1
            request.status, request.sent = status, time.monotonic()

    def _respond(self, peer: _Peer, status: int, body: bytes, told: list[tuple[str, str]]) -> None:
        self._ended(peer, status)
        peer.respond(status, body, told)
        if status == 200:
            self.sent += 1
            if self.rules.tell_of == "sent" and self.sent == self.rules.tell_at:
                print("reached", flush=True)

    def _fail(self, peer: _Peer, fault: FaultName, whole: bytes, told: list[tuple[str, str]]) -> None:
        self._ended(peer, int(fault) if fault in ("500", "503") else 0)
        if fault in ("500", "503"):
            peer.respond(int(fault), b'{"error": {"message": "a fault of the server"}}', told)
        elif fault == "reset":
            peer.reset()
        elif fault == "malformed":
            peer.respond(200, whole[: len(whole) // 2] + b"<<<")
        elif fault == "empty":
            peer.respond(200, b"")
        elif fault == "truncated":
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(whole)}\r\n\r\n"
            )
            peer.write(head.encode() + whole[: len(whole) // 2])
            peer.close()

    def _record(self) -> bytes:
        kept = [[r.at, r.prompt, r.status, r.sent] for r in self.kept]
        totals = {
            "come": self.come,
            "sent": self.sent,
            "refused": self.refused,
            "open": self.open,
            "most": self.most,
        }
        return json.dumps({**totals, "requests": kept}).encode()


async def _serve(rules: Rules) -> None:
    loop = asyncio.get_running_loop()
    server = _Server(rules)
    listening = await loop.create_server(server.connection, "127.0.0.1", 0, backlog=4096)
    ended = asyncio.Event()

    class Parent(asyncio.Protocol):
        def connection_lost(self, error: Exception | None) -> None:
            ended.set()

    await loop.connect_read_pipe(Parent, sys.stdin)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await ended.wait()


def main() -> None:
    """Serve until stdin is closed."""
    asyncio.run(_serve(Rules(**json.loads(sys.argv[1]))))


if __name__ == "__main__":
    main()
