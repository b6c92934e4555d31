"""An endpoint's provider batch API: many requests handed in at once, answered within a day, for less."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentflow.endpoints.faults import classify, is_transient
from agentflow.endpoints.http_model import HttpModel, read_body
from agentflow.endpoints.providers import PROVIDERS
from agentflow.endpoints.results import DeferredResults
from agentflow.endpoints.retry import Attempts
from agentflow.endpoints.transport import Response
from agentflow.endpoints.upload import BatchFile, Upload
from agentflow.errors import BadResponse, EndpointError, EndpointUnavailable, UserError
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.batches import BatchApi, BatchCall, BatchState
from agentflow_protocols.chat.messages import ChatRequest
from agentflow_protocols.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from agentflow.endpoints.endpoint import Endpoint

__all__ = ["Deferred", "DeferredState"]

_SLOWEST = 100_000  # bytes per second that an upload is given time for
_REFUSED = (429, 503, 529)  # of a server that took nothing
_MAX_ERROR_BODY = 64 * 1024


@dataclass(slots=True, frozen=True)
class DeferredState:
    """How far a batch is: `done` of `total` requests answered, `failed` not; `status` is the provider's word.

    Once it has `ended` there are results, also of one that expired or was cancelled. `fault`
    says why the whole batch was refused, where it was.
    """

    status: str
    done: int
    failed: int
    total: int
    ended: bool
    fault: str = ""


class Deferred:
    """The batch API of an endpoint's provider. Faults that may pass are tried again as the endpoint does.

    Raises `UserError` where the provider has none.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        target = endpoint.target
        api: BatchApi | None = target.dialect.batches if isinstance(target, HttpModel) else None
        if not isinstance(target, HttpModel) or api is None:
            having = ", ".join(f"{name}:" for name, row in PROVIDERS.items() if row.dialect.batches)
            raise UserError(f"{endpoint.name}: this provider has no batch API; {having} have one")
        self._endpoint = endpoint
        self._model = target
        self._api = api
        self.most_requests = api.most_requests
        """How many requests a batch may have."""
        self.most_bytes = api.most_bytes
        """How large its lines may be together."""
        self.named = api.named
        """Whether `find` finds a batch by its name."""

    def line(self, custom_id: str, request: ChatRequest) -> bytes:
        """Return the line, without its newline, for `request` under an id that is its own in the batch.

        Raises `UserError` for what the provider does not take.
        """
        model = self._model
        if self._endpoint.settings is not None:
            request = replace(request, settings=request.settings.over(self._endpoint.settings))
        try:
            body = model.dialect.encode(request, model.model, stream=False, capabilities=model.capabilities)
            return self._api.line(custom_id, model.dialect.path(request, model.model, False), body)
        except LocalProtocolError as error:
            raise UserError(f"{model.name}: {error}") from None

    async def submit(
        self, lines: Iterable[bytes] | Path | str, resources: Resources, *, name: str = ""
    ) -> str:
        """Hand in a batch of lines, or of a file of them; return the provider's id of it.

        A file is read piece by piece. Under a `name`, where the provider takes one, a call
        without an answer is not made again before it was looked for (see `find`); without
        one it is not made again at all. Raises `EndpointError`, `UserError` for too many lines.
        """
        file = await BatchFile.open(lines)
        try:
            self._check_size(file)
            steps = self._api.submit(self._model.model, name, file.first)
            call = next(steps)
            while True:
                if call.pause:
                    await asyncio.sleep(call.pause)
                body = await self._create(call, file, name if self.named else "", resources)
                if isinstance(body, str):
                    return body
                call = steps.send(body)
        except StopIteration as end:
            return str(end.value)
        except RemoteProtocolError as error:
            raise BadResponse(f"{self._model.name}: {error}", status=200) from None
        finally:
            file.close()

    async def state(self, remote: str, resources: Resources) -> DeferredState:
        """Return how far the batch `remote` is. Raises `EndpointError`."""
        state = await self.full_state(remote, resources)
        return DeferredState(state.status, state.done, state.failed, state.total, state.ended, state.fault)

    async def full_state(self, remote: str, resources: Resources) -> BatchState:
        """Return the same, with where the results are."""
        try:
            return self._api.read_state(await self._ask(self._api.state(remote), resources))
        except RemoteProtocolError as error:
            raise BadResponse(f"{self._model.name}: {error}", status=200) from None

    def results(self, remote: str, resources: Resources) -> DeferredResults:
        """Return the results of an ended batch, in no order: an async context manager and iterator.

        Each is the line's custom_id with its `Reply`, or with the `EndpointError` that it
        ended in: `EndpointUnavailable` for one that expired or was cancelled before its turn.
        They are read as they come; a download that is cut goes on where it was.
        """
        return DeferredResults(self, self._endpoint, self._model, self._api, remote, resources)

    async def find(self, name: str, resources: Resources) -> str | None:
        """Return the id of the last batch that was handed in under `name`, None where there is none."""
        steps = self._api.find(name)
        try:
            call = next(steps)
            while True:
                call = steps.send(await self._ask(call, resources))
        except StopIteration as end:
            return end.value if isinstance(end.value, str) else None
        except RemoteProtocolError as error:
            raise BadResponse(f"{self._model.name}: {error}", status=200) from None

    async def cancel(self, remote: str, resources: Resources) -> None:
        """End a batch; what was answered by then stays, and is paid for. Raises `EndpointError`."""
        await self._ask(self._api.cancel(remote), resources)

    async def get(self, path: str, resources: Resources, headers: dict[str, str] | None = None) -> Response:
        """Send a request for `path` behind the base address; return its response when it is a good one.

        Raises `EndpointError`.
        """
        return await self._sent(BatchCall("GET", path), None, resources, headers)

    def _check_size(self, file: BatchFile) -> None:
        if file.count > self.most_requests:
            most = f"{self.most_requests} requests, not {file.count}"
            raise UserError(f"{self._model.name}: a batch takes {most}: divide it")
        if file.size + file.count > self.most_bytes:
            most = f"{self.most_bytes} bytes, not {file.size}"
            raise UserError(f"{self._model.name}: a batch takes {most}: divide it")

    async def _ask(self, call: BatchCall, resources: Resources, file: BatchFile | None = None) -> bytes:
        """Make a call that may be repeated, until it is answered."""
        attempts = Attempts(self._endpoint.retry)
        while True:
            try:
                return await self._once(call, file, resources)
            except EndpointError as error:
                wait = attempts.wait_after(error)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _create(self, call: BatchCall, file: BatchFile, name: str, resources: Resources) -> bytes | str:
        """Make a call of those that hand in a batch; return the answer, or the id of a batch that is there.

        One that got no answer may have been taken: it is looked for by its name.
        """
        if not call.creates:
            return await self._ask(call, resources, file)
        attempts = Attempts(self._endpoint.retry)
        while True:
            try:
                return await self._once(call, file, resources)
            except EndpointError as error:
                unsure = is_transient(error) and error.status not in _REFUSED
                if unsure and not name:
                    raise EndpointUnavailable(
                        f"{error} (the batch may have been taken: look before you hand it in again)",
                        status=error.status,
                    ) from error
                wait = attempts.wait_after(error)
                if wait is None:
                    raise
            await asyncio.sleep(wait)
            if name:
                found = await self.find(name, resources)
                if found is not None:
                    return found

    async def _once(self, call: BatchCall, file: BatchFile | None, resources: Resources) -> bytes:
        response = await self._sent(call, file if call.lines else None, resources)
        try:
            return await read_body(response, None)
        finally:
            await response.aclose()

    async def _sent(
        self,
        call: BatchCall,
        file: BatchFile | None,
        resources: Resources,
        more: dict[str, str] | None = None,
    ) -> Response:
        model = self._model
        headers = {**await model.sent_headers(), "Accept": "*/*", **(more or {})}
        headers["Content-Type"] = call.content_type
        timeouts = self._endpoint.timeouts
        body: bytes | Upload = call.head
        if file is not None:
            body = Upload(call, file)
            headers["Content-Length"] = str(body.size)
            if timeouts.first is not None:
                timeouts = replace(timeouts, first=timeouts.first + body.size / _SLOWEST)
        transport = model.transport(resources)
        response = await transport.send(call.method, model.base_url + call.path, headers, body, timeouts)
        if response.status in (200, 201, 202, 206):
            return response
        try:
            error = model.dialect.parse_error(await read_body(response, _MAX_ERROR_BODY))
        finally:
            await response.aclose()
        raise classify(model.name, response.status, error, response.headers)
