"""A real server that speaks Chat Completions, on the running event loop. All its times are wall time."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Literal, TypeAlias, cast

from agentflow.builtin.scripted import ScriptedCall, ScriptedReply, pieces
from agentflow.errors import UserError
from agentflow.testing.answers import Answer, as_reply
from agentflow.testing.vectors import bag_of_words
from agentflow.testing.wire import Connection, chunk
from agentflow_protocols.chat.messages import Json

__all__ = ["ChatServer", "Fault", "FaultKind", "ReplySource", "ServedRequest"]

FaultKind: TypeAlias = Literal[
    "cut", "drop", "empty", "error", "malformed", "silent", "stall", "status", "truncate"
]
ReplySource: TypeAlias = Answer | Sequence[Answer] | Callable[[Mapping[str, Json]], Answer]


@dataclass(slots=True, frozen=True)
class Fault:
    """What goes wrong with one request.

    `status`: that status, with `retry_after` seconds where given. `drop`: the
    connection closes without an answer. `silent`: no answer ever. `empty`: status 200
    and no body. `error`: status 200 and an error object. `malformed`: no JSON. `cut`:
    the connection closes in mid-reply. `truncate`: the body ends in mid-reply.
    `stall`: nothing follows. The last five go wrong after `after` events of the
    stream; None is half of them.
    """

    kind: FaultKind
    status: int = 503
    retry_after: float | None = None
    message: str = "a fault of the test server"
    code: str | None = None
    after: int | None = None


@dataclass(slots=True)
class ServedRequest:
    """A request that came, `at` on `time.monotonic()`. `left_at`: when its client left before the end."""

    number: int
    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Json] = field(default_factory=dict)
    status: int = 0
    left_at: float | None = None


class ChatServer:
    """Answer requests by `reply`: an answer, a list of them in order, or a function of the body.

    `first_token_s` is the time to the first token, `tokens_per_second` the speed
    after it; None writes a reply at once. More than `requests_per_minute` in the last
    `window_s` are refused (429). `faults` befall the first requests, one each: a
    `Fault`, its kind, a status, or None for none.
    """

    def __init__(
        self,
        reply: ReplySource = "Hello.",
        *,
        first_token_s: float = 0.0,
        tokens_per_second: float | None = None,
        requests_per_minute: float | None = None,
        window_s: float = 60.0,
        faults: Sequence[Fault | FaultKind | int | None] = (),
        model: str = "loopback",
        send_usage: bool = True,
    ) -> None:
        self.model = model
        self.first_token_s = first_token_s
        self.tokens_per_second = tokens_per_second
        self.requests_per_minute = requests_per_minute
        self.window_s = window_s
        self.send_usage = send_usage
        self.faults: deque[Fault | None] = deque(_fault(fault) for fault in faults)
        self.requests: list[ServedRequest] = []
        self.connections: set[Connection] = set()
        self.most_connections = 0
        self._reply = _replies(reply)
        self._numbers = count()
        self._recent: deque[float] = deque()
        self._changed: Callable[[], None] = lambda: None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, changed: Callable[[], None] | None = None) -> str:
        """Begin to listen; return the base address. `changed` is called after each change of the records."""
        if changed is not None:
            self._changed = changed
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._received, self._opened, self._lost), host, port, backlog=4096
        )
        bound = self._server.sockets[0].getsockname()[1]
        return f"http://{host}:{bound}/v1"

    async def aclose(self) -> None:
        """Close all connections, and listen no more."""
        server, self._server = self._server, None
        if server is not None:
            for listening in server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await asyncio.sleep(0)  # what was just accepted needs a server that is open
            server.close()
            for connection in list(self.connections):
                connection.abort()
            await server.wait_closed()
            await asyncio.sleep(0)

    def _opened(self, connection: Connection) -> None:
        self.connections.add(connection)
        if self._server is None:  # accepted while the server was closing
            connection.abort()
        self.most_connections = max(self.most_connections, len(self.connections))
        self._changed()

    def _lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if connection.answering is not None:
            self.requests[connection.answering].left_at = time.monotonic()
        self._changed()

    def _received(
        self, connection: Connection, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        number = next(self._numbers)
        request = ServedRequest(number, time.monotonic(), method, path.partition("?")[0], headers)
        self.requests.append(request)
        connection.answering = number
        try:
            if body:
                request.body = json.loads(body)
            if not isinstance(request.body, dict):
                raise ValueError
        except ValueError:
            self._refuse(connection, request, Fault("status", 400, message="the body is no JSON object"))
        else:
            self._answer(connection, request)
        self._changed()

    def _answer(self, connection: Connection, request: ServedRequest) -> None:
        if request.path.endswith("/models") and request.method == "GET":
            body = {"object": "list", "data": [{"id": self.model, "object": "model"}]}
            request.status = 200
            connection.respond(200, json.dumps(body).encode())
            return
        if not request.path.endswith(("/completions", "/embeddings")) or request.method != "POST":
            self._refuse(connection, request, Fault("status", 404, message=f"no {request.path} here"))
            return
        wait = self._over_limit(request.at)
        if wait is not None:
            self._refuse(
                connection, request, Fault("status", 429, wait, "rate limit reached", "rate_limit_exceeded")
            )
            return
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and fault.kind in ("status", "drop", "silent", "empty"):
            self._fail(connection, request, fault)
            return
        if request.path.endswith("/embeddings"):
            request.status = 200
            connection.respond(200, _vectors(request.body))
            return
        try:
            reply = self._reply(request.body)
        except Exception as error:  # the caller's function, whatever it raises
            message = f"the reply function failed: {type(error).__name__}"
            self._refuse(connection, request, Fault("status", 500, message=message))
            return
        if reply.error is not None:
            status = reply.error if isinstance(reply.error, int) else reply.error.status or 500
            self._refuse(connection, request, Fault("status", status, reply.retry_after, "scripted error"))
            return
        request.status = 200
        delay = self.first_token_s if reply.delay is None else reply.delay
        send = self._stream if request.body.get("stream") else self._whole
        connection.after(delay, lambda: send(connection, request, reply, fault))

    def _over_limit(self, now: float) -> float | None:
        """Return the seconds to wait when the limit is reached; else count the request."""
        if self.requests_per_minute is None:
            return None
        while self._recent and self._recent[0] <= now - self.window_s:
            self._recent.popleft()
        if len(self._recent) + 1 > self.requests_per_minute * self.window_s / 60.0:
            return self._recent[0] + self.window_s - now if self._recent else self.window_s
        self._recent.append(now)
        return None

    def _fail(self, connection: Connection, request: ServedRequest, fault: Fault) -> None:
        if fault.kind == "status":
            self._refuse(connection, request, fault)
        elif fault.kind == "drop":
            connection.answering = None
            connection.close()
        elif fault.kind == "empty":
            request.status = 200
            connection.respond(200, b"", kind="text/event-stream")

    def _refuse(self, connection: Connection, request: ServedRequest, fault: Fault) -> None:
        request.status = fault.status
        headers: list[tuple[str, str]] = []
        if fault.retry_after is not None:
            headers.append(("Retry-After", str(int(-(-fault.retry_after // 1)))))
            headers.append(("Retry-After-Ms", str(int(fault.retry_after * 1000) + 1)))
        connection.respond(fault.status, _error_body(fault), headers)

    def _whole(
        self, connection: Connection, request: ServedRequest, reply: ScriptedReply, fault: Fault | None
    ) -> None:
        if fault is not None and fault.kind == "error":
            connection.respond(200, _error_body(fault))
            return
        message: dict[str, Json] = {"role": "assistant", "content": reply.text or None}
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        if reply.calls:
            message["tool_calls"] = [
                _call(i, call.id or f"call_{request.number}_{i}", call.name, call.text())
                for i, call in enumerate(reply.calls)
            ]
        chats = _chats(request)
        said = {"message": message} if chats else _text_until_stop(request.body, reply.text)
        body = {
            "id": f"chatcmpl-{request.number}",
            "object": "chat.completion" if chats else "text_completion",
            "model": request.body.get("model", self.model),
            "choices": [{"index": 0, **said, "finish_reason": _finish(reply)}],
            "usage": _usage(request.body, reply) if self.send_usage else None,
        }
        data = json.dumps(body).encode()
        if fault is not None:
            data = data[: len(data) // 2]
        speed = reply.tokens_per_second or self.tokens_per_second
        seconds = 0.0 if speed is None else _written(reply) / 4 / speed
        connection.after(seconds, lambda: connection.respond(200, data))

    def _stream(
        self, connection: Connection, request: ServedRequest, reply: ScriptedReply, fault: Fault | None
    ) -> None:
        timed = self._timed(request, reply)
        if fault is None:
            connection.stream(_STREAM_HEAD, timed)
            return
        connection.write(_STREAM_HEAD)
        after = max(1, len(timed) // 2) if fault.after is None else fault.after
        sent = [part for _, part in timed[:after]]
        if fault.kind == "malformed":
            sent.append(b'data: {"choices": [{"del\n\n')
        elif fault.kind == "error":
            sent.append(b"data: " + _error_body(fault) + b"\n\n")
        connection.write(chunk(b"".join(sent)))
        if fault.kind == "cut":
            connection.answering = None
            connection.close()
        elif fault.kind != "stall":
            connection.write(b"0\r\n\r\n")
            connection.end()

    def _timed(self, request: ServedRequest, reply: ScriptedReply) -> list[tuple[float, bytes]]:
        """Return the events of the stream, each with its time in seconds after the first token's."""
        speed = reply.tokens_per_second or self.tokens_per_second
        model = json.dumps(request.body.get("model", self.model))
        head = f'data: {{"id":"chatcmpl-{request.number}","object":"chat.completion.chunk","model":{model},'
        timed: list[tuple[float, bytes]] = []
        written = 0

        def put(characters: int, delta: Mapping[str, Json], finish: str | None = None) -> None:
            send(characters, json.dumps({"index": 0, "delta": delta, "finish_reason": finish}))

        def send(characters: int, choice: str) -> None:
            nonlocal written
            written += characters
            at = 0.0 if speed is None else written / 4 / speed
            timed.append((at, f'{head}"choices":[{choice}]}}\n\n'.encode()))

        chats = _chats(request)
        if chats:
            put(0, {"role": "assistant", "content": ""})
        for piece in pieces(reply.reasoning):
            put(len(piece), {"reasoning_content": piece})
        until = {"text": reply.text} if chats else _text_until_stop(request.body, reply.text)
        for piece in pieces(str(until["text"])):
            send(len(piece), _text_choice(piece, chats))
        if "stop_reason" in until:
            send(0, json.dumps({"index": 0, **until, "text": "", "finish_reason": None}))
        for i, call in enumerate(reply.calls):
            identity = call.id or f"call_{request.number}_{i}"
            put(len(call.name), {"tool_calls": [_call(i, identity, call.name, "")]})
            text = call.text()
            for k in range(0, len(text), 8):
                part = text[k : k + 8]
                put(len(part), {"tool_calls": [{"index": i, "function": {"arguments": part}}]})
        put(0, {}, _finish(reply))
        at = timed[-1][0]
        options = request.body.get("stream_options")
        if self.send_usage and isinstance(options, Mapping) and options.get("include_usage"):
            usage = json.dumps(_usage(request.body, reply))
            timed.append((at, f'{head}"choices":[],"usage":{usage}}}\n\n'.encode()))
        timed.append((at, b"data: [DONE]\n\n"))
        return timed


_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def _text_until_stop(body: Mapping[str, Json], text: str) -> dict[str, Json]:
    """Return a completed text up to the first of the request's stop texts, and which that was."""
    given = body.get("stop")
    stops = [stop for stop in given if isinstance(stop, str)] if isinstance(given, list) else []
    found = [(text.find(stop), stop) for stop in stops if stop in text]
    if not found:
        return {"text": text}
    at, stop = min(found)
    return {"text": text[:at], "stop_reason": stop}


def _vectors(body: Mapping[str, Json]) -> bytes:
    given = body.get("input")
    texts = [given] if isinstance(given, str) else [str(text) for text in cast("Sequence[Json]", given or [])]
    size = body.get("dimensions")
    rows = [
        {
            "object": "embedding",
            "index": i,
            "embedding": bag_of_words(text, size if isinstance(size, int) else None),
        }
        for i, text in enumerate(texts)
    ]
    tokens = sum(len(text) for text in texts) // 4 + 1
    return json.dumps({"object": "list", "data": rows, "usage": {"prompt_tokens": tokens}}).encode()


def _chats(request: ServedRequest) -> bool:
    """Return whether a request is for chat, and not for the going on of a text."""
    return request.path.endswith("/chat/completions")


@lru_cache(maxsize=4096)
def _text_choice(piece: str, chats: bool) -> str:
    said: dict[str, Json] = {"delta": {"content": piece}} if chats else {"text": piece}
    return json.dumps({"index": 0, **said, "finish_reason": None})


def _replies(source: ReplySource) -> Callable[[Mapping[str, Json]], ScriptedReply]:
    if callable(source):
        answer = source
        return lambda body: as_reply(answer(body))
    if (
        isinstance(source, (str, Mapping))
        or not isinstance(source, Sequence)
        or all(isinstance(item, ScriptedCall) for item in source)
    ):
        constant = as_reply(cast("Answer", source))
        return lambda body: constant
    waiting = iter([as_reply(item) for item in source])

    def following(body: Mapping[str, Json]) -> ScriptedReply:
        reply = next(waiting, None)
        if reply is None:
            raise UserError("the test server has no reply left")
        return reply

    return following


def _fault(fault: Fault | FaultKind | int | None) -> Fault | None:
    if isinstance(fault, int):
        return Fault("status", fault)
    return Fault(fault) if isinstance(fault, str) else fault


def _error_body(fault: Fault) -> bytes:
    kinds = {400: "invalid_request_error", 429: "rate_limit_error"}
    error = {"message": fault.message, "type": kinds.get(fault.status, "server_error"), "code": fault.code}
    return json.dumps({"error": error}).encode()


def _call(index: int, identity: str, name: str, arguments: str) -> Json:
    return {
        "index": index,
        "id": identity,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _finish(reply: ScriptedReply) -> str:
    return reply.finish or ("tool_calls" if reply.calls else "stop")


def _written(reply: ScriptedReply) -> int:
    calls = sum(len(call.name) + len(call.text()) for call in reply.calls)
    return len(reply.text) + len(reply.reasoning) + calls


def _usage(body: Mapping[str, Json], reply: ScriptedReply) -> Json:
    asked = len(json.dumps(body.get("messages") or body.get("prompt") or "")) // 4 + 1
    written = -(-_written(reply) // 4)
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}
