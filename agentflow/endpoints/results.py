"""The results of a provider's batch as they come down: a line at a time, gone on with after a cut."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

from agentflow.endpoints.faults import classify
from agentflow.endpoints.http_model import HttpModel
from agentflow.endpoints.retry import Attempts
from agentflow.endpoints.transport import Response
from agentflow.errors import BadResponse, EndpointError, EndpointUnavailable, RequestRejected
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.batches import BatchApi
from agentflow_protocols.chat.messages import Reply
from agentflow_protocols.errors import RemoteProtocolError

if TYPE_CHECKING:
    from agentflow.endpoints.deferred import Deferred
    from agentflow.endpoints.endpoint import Endpoint

__all__ = ["DeferredResults"]

_NOTHING_LEFT = 416  # of a file that has no byte where the rest should begin


class DeferredResults:
    """An async context manager and iterator of `(custom_id, Reply | EndpointError)`.

    Raises `EndpointError` when the results can't be had: the batch goes on, was refused as
    a whole, or the download fails again and again.
    """

    def __init__(
        self,
        deferred: Deferred,
        endpoint: Endpoint,
        model: HttpModel,
        api: BatchApi,
        remote: str,
        resources: Resources,
    ) -> None:
        self._deferred = deferred
        self._endpoint = endpoint
        self._model = model
        self._api = api
        self._remote = remote
        self._resources = resources
        self._sources: deque[str] | None = None
        self._ready: deque[bytes] = deque()
        self._response: Response | None = None
        self._rest: list[bytes] = []
        self._read = 0  # bytes of whole lines that came from the source
        self._skip = 0  # bytes that come again
        self._attempts = Attempts(endpoint.retry)

    async def __aenter__(self) -> DeferredResults:
        """Return itself; nothing is asked for before the first result is."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the download."""
        await self.aclose()

    def __aiter__(self) -> DeferredResults:
        """Return itself."""
        return self

    async def __anext__(self) -> tuple[str, Reply | EndpointError]:
        """Return the next result."""
        while not self._ready:
            if self._sources is None:
                await self._begin()
                continue
            if not self._sources:
                raise StopAsyncIteration
            try:
                await self._more(self._sources)
            except EndpointError as error:
                await self._cut(error)
        return self._result(self._ready.popleft())

    async def aclose(self) -> None:
        """Leave the download, at any time."""
        response, self._response = self._response, None
        if response is not None:
            await response.aclose()

    async def _begin(self) -> None:
        state = await self._deferred.full_state(self._remote, self._resources)
        where = f"{self._model.name}: batch {self._remote}"
        if not state.ended:
            raise EndpointUnavailable(f"{where} has not ended ({state.status})")
        if state.fault:
            raise RequestRejected(f"{where} was refused: {state.fault[:240]}")
        self._ready.extend(state.inline)
        self._sources = deque(state.sources)

    async def _more(self, sources: deque[str]) -> None:
        """Take in the next bytes of the source that is first."""
        if self._response is None:
            span = {"Range": f"bytes={self._read}-"} if self._read else None
            try:
                self._response = await self._deferred.get(sources[0], self._resources, span)
            except RequestRejected as error:
                if error.status != _NOTHING_LEFT or not self._read:
                    raise
                self._next(sources)  # it was cut behind its last line
                return
            part = self._response.status == 206
            told = self._response.headers.get("content-range", "")
            if part and not told.startswith(f"bytes {self._read}-"):
                raise BadResponse(f"{self._model.name}: another part of the results came than was asked for")
            self._skip = 0 if part else self._read
        chunk = await self._response.read()
        if chunk:
            self._take(chunk)
            return
        last = b"".join(self._rest)
        if last.strip():
            try:
                self._api.read_result(last)
            except RemoteProtocolError:  # half a line: the rest is yet to come
                raise EndpointUnavailable(f"{self._model.name}: the results were cut short") from None
            self._ready.append(last)
        await self.aclose()
        self._next(sources)

    def _next(self, sources: deque[str]) -> None:
        self._rest, self._read = [], 0
        sources.popleft()

    def _take(self, chunk: bytes) -> None:
        if self._skip:
            passed = min(self._skip, len(chunk))
            self._skip -= passed
            chunk = chunk[passed:]
        first, newline, more = chunk.partition(b"\n")
        self._rest.append(first)
        if not newline:
            return
        lines = [b"".join(self._rest), *more.split(b"\n")]
        self._rest = [lines.pop()]
        self._read += sum(len(line) + 1 for line in lines)
        self._ready.extend(line for line in lines if line.strip())
        self._attempts = Attempts(self._endpoint.retry)  # something came: the next cut is a new one

    async def _cut(self, error: EndpointError) -> None:
        """Wait before the source is asked for again, from the first line that has not come."""
        await self.aclose()
        self._rest = []
        wait = self._attempts.wait_after(error)
        if wait is None:
            raise error
        await asyncio.sleep(wait)

    def _result(self, line: bytes) -> tuple[str, Reply | EndpointError]:
        name = self._model.name
        try:
            result = self._api.read_result(line)
        except RemoteProtocolError as error:
            raise BadResponse(f"{name}: batch {self._remote}: {error}") from None
        if result.unasked:
            why = f"{name}: the batch ended before this request's turn ({result.unasked})"
            return result.custom_id, EndpointUnavailable(why)
        if result.body is None:
            assert result.error is not None
            return result.custom_id, classify(name, result.status, result.error)
        try:
            return result.custom_id, self._model.read_reply(result.body, needs_content=True)
        except EndpointError as error:
            return result.custom_id, error
