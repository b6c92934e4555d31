"""A model behind HTTP, in the dialect of its provider."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from agentflow._version import __version__
from agentflow.endpoints.dialect import CHAT_COMPLETIONS, Dialect
from agentflow.endpoints.embeddings import Embeddings, Observe
from agentflow.endpoints.faults import classify
from agentflow.endpoints.model import Head
from agentflow.endpoints.transport import Response, Timeouts, Transport, transport_of
from agentflow.errors import BadResponse, EndpointUnavailable, UserError
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.messages import ChatRequest, Delta, Reply
from agentflow_protocols.chat.openai_reply import reply_deltas
from agentflow_protocols.chat.server_error import ErrorReply
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["Credentials", "HttpModel", "HttpReplyStream", "read_body"]

# How long the end of a body may stay out after the reply's own end. A connection that is
# closed for want of it costs the next request a handshake.
_LINGER_S = 0.05
_MAX_ERROR_BODY = 64 * 1024


class Credentials(Protocol):
    """A secret that does not last: asked for before each request."""

    def check(self) -> None:
        """Raise `UserError` for what a first request would."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that carry it. Raises `UserError` or `EndpointError`."""


class HttpModel:
    """The model `model` at `base_url`. `key` returns the secret, or None to send none."""

    def __init__(
        self,
        name: str,
        model: str,
        base_url: str,
        key: Callable[[], str | None],
        *,
        capabilities: Capabilities,
        timeouts: Timeouts,
        http_client: AsyncClient | Transport | None = None,
        dialect: Dialect = CHAT_COMPLETIONS,
        credentials: Credentials | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.capabilities = capabilities
        self.timeouts = timeouts
        self.base_url = base_url.rstrip("/")
        self.dialect = dialect
        self.credentials = credentials
        self._key = key
        self._client = http_client
        self._headers: dict[str, str] | None = None
        self._identity: tuple[str, str, str] | None = None

    def open(self, request: ChatRequest, resources: Resources) -> HttpReplyStream:
        """Return the stream of the reply to `request`. Raises `UserError` when the key is missing."""
        try:
            body = self.dialect.encode(
                request, self.model, stream=self.capabilities.stream, capabilities=self.capabilities
            )
        except LocalProtocolError as error:
            raise UserError(f"{self.name}: {error}") from None
        headers = self.headers()
        if request.idempotency_key:
            headers = {**headers, "Idempotency-Key": request.idempotency_key}
        url = self.base_url + self.dialect.path(request, self.model, self.capabilities.stream)
        return HttpReplyStream(
            self, url, self.transport(resources), headers, body, needs_content=_needs_content(request)
        )

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, resources: Resources, observe: Observe
    ) -> Embeddings:
        """Return the vectors of `texts`. Raises `EndpointError`, `UserError` where none are made."""
        form = self.dialect.vectors
        if form is None:
            raise UserError(f"{self.name}: this provider makes no embeddings")
        transport = self.transport(resources)
        body = form.encode(texts, self.model, dimensions)
        url = self.base_url + form.path(self.model)
        headers = await self.sent_headers()
        response = await transport.send("POST", url, headers, body, self.timeouts)
        try:
            observe(response.status, response.headers)
            if response.status != 200:
                fault = await read_body(response, _MAX_ERROR_BODY)
                error = self.dialect.parse_error(fault)
                raise classify(self.name, response.status, error, response.headers)
            vectors, usage = form.parse(await read_body(response, None), len(texts))
        except RemoteProtocolError as error:
            raise BadResponse(f"{self.name}: {error}", status=200) from None
        finally:
            await response.aclose()
        return Embeddings(vectors, usage)

    @property
    def identity(self) -> tuple[str, str, str]:
        """Host, hash of the key, model: whoever shares these shares the rate limits."""
        if self._identity is None:
            # A project's credentials are not read for this; its address tells it.
            secret = self._key() or (self.base_url if self.credentials is not None else "")
            digest = hashlib.sha256(secret.encode()).hexdigest()[:16]
            self._identity = (urlsplit(self.base_url).netloc.lower(), digest, self.model)
        return self._identity

    @property
    def is_near(self) -> bool:
        """Whether the server is on this machine: then it has no quota of ours."""
        host = (urlsplit(self.base_url).hostname or "").lower()
        return host in ("localhost", "::1") or host.startswith("127.")

    def headers(self) -> dict[str, str]:
        """Return the headers of every request. Raises `UserError` when the key is missing."""
        if self._headers is None:
            headers = {
                "Content-Type": "application/json",
                "Accept": "text/event-stream, application/json",
                "User-Agent": f"agentflow/{__version__}",
            }
            self._headers = headers | self.dialect.headers(self._key())
            if self.credentials is not None:
                self.credentials.check()
        return self._headers

    async def sent_headers(self, headers: dict[str, str] | None = None) -> dict[str, str]:
        """Return `headers`, or those of every request, with a secret that does not last."""
        headers = self.headers() if headers is None else headers
        return headers if self.credentials is None else {**headers, **await self.credentials.headers()}

    def read_reply(self, body: bytes, *, needs_content: bool = False) -> Reply:
        """Return the whole reply in `body`, of a response with status 200. Raises `EndpointError`.

        With `needs_content` one without any is a `BadResponse`.
        """
        try:
            reply = self.dialect.parse_reply(body)
        except ErrorReply as error:
            raise classify(self.name, 200, error.error) from None
        except RemoteProtocolError as error:
            raise BadResponse(f"{self.name}: {error}", status=200) from None
        if needs_content:
            _check_content(self.name, reply)
        return reply

    def transport(self, resources: Resources) -> Transport:
        """Return what sends the requests."""
        return transport_of(resources, self._client)


class HttpReplyStream:
    """One reply over HTTP. The request is sent when the stream is first read."""

    __slots__ = (
        "_body",
        "_headers",
        "_model",
        "_needs_content",
        "_parser",
        "_reply",
        "_response",
        "_transport",
        "_url",
        "head",
        "ready",
    )

    def __init__(
        self,
        model: HttpModel,
        url: str,
        transport: Transport,
        headers: dict[str, str],
        body: bytes,
        *,
        needs_content: bool = False,
    ) -> None:
        self._needs_content = needs_content
        self._model = model
        self._url = url
        self._transport = transport
        self._headers = headers
        self._body = body
        self._parser = model.dialect.reader()
        self.ready: deque[Delta] = deque()
        """Deltas that have come, and may be taken without waiting."""
        self._response: Response | None = None
        self._reply: Reply | None = None
        self.head: Head | None = None

    def __aiter__(self) -> HttpReplyStream:
        """Return itself."""
        return self

    async def __anext__(self) -> Delta:
        """Return the next delta.

        Raises `EndpointError`: refused, not reached, malformed, or cut before its end.
        """
        ready = self.ready
        while not ready:
            if self._reply is not None:
                raise StopAsyncIteration
            if self._response is None:
                self._response = await self._send()
                continue
            if self._parser.done:
                await self._end()
                continue
            chunk = await self._response.read()
            ready.extend(self._parser.feed(chunk) if chunk else self._parser.end())
        return ready.popleft()

    @property
    def reply(self) -> Reply:
        """The whole reply, once the iteration has ended."""
        assert self._reply is not None, "the reply has not ended"
        return self._reply

    async def aclose(self) -> None:
        """Leave the reply; the server sees the connection close at once."""
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()

    async def _send(self) -> Response:
        model = self._model
        headers = self._headers
        if model.credentials is not None:
            headers = await model.sent_headers(headers)
        response = await self._transport.send("POST", self._url, headers, self._body, model.timeouts)
        self.head = Head(response.status, response.headers)
        content_type = response.headers.get("content-type", "")
        if response.status == 200 and ("json" not in content_type or "ndjson" in content_type):
            return response
        try:
            if response.status != 200:
                body = await read_body(response, _MAX_ERROR_BODY)
                raise classify(model.name, response.status, model.dialect.parse_error(body), response.headers)
            self._whole(await read_body(response, None))
        except BaseException:
            await response.aclose()
            raise
        return response

    def _whole(self, body: bytes) -> None:
        self._reply = self._model.read_reply(body, needs_content=self._needs_content)
        self.ready.extend(reply_deltas(self._reply))

    async def _end(self) -> None:
        assert self._response is not None
        name = self._model.name
        try:
            reply = self._parser.finish()
        except ErrorReply as error:
            raise classify(name, 200, error.error) from None
        except RemoteProtocolError as error:
            if self._parser.fault is None:
                raise EndpointUnavailable(f"{name}: {error}", status=200) from None
            raise BadResponse(f"{name}: {error}", status=200) from None
        if self._needs_content:
            _check_content(name, reply)
        await self._response.aclose(linger=_LINGER_S)
        self._reply = reply


def _needs_content(request: ChatRequest) -> bool:
    """Return whether a reply without content is a fault: something was asked that only words answer.

    A model that has tools may have nothing more to say; what goes on with a text, or ends at a
    stop text, may end at once.
    """
    if request.prompt is not None or request.tools or request.settings.stop or not request.messages:
        return False
    return request.messages[-1].role == "user"


def _check_content(name: str, reply: Reply) -> None:
    """Raise `BadResponse` for a reply that ended without anything in it."""
    if reply.finish != "stop" or reply.stopped is not None:
        return
    for message in (reply.message, *reply.others):
        if message.text or message.calls or message.refusal or message.reasoning:
            return
    raise BadResponse(f"{name}: the reply is empty", status=200)


async def read_body(response: Response, limit: int | None) -> bytes:
    """Return the whole body, or its first `limit` bytes."""
    pieces: list[bytes] = []
    size = 0
    while chunk := await response.read():
        pieces.append(chunk)
        size += len(chunk)
        if limit is not None and size >= limit:
            break
    return b"".join(pieces)
