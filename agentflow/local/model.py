"""A model on this machine, behind the Endpoint seam: a server process, spoken to as any HTTP model."""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agentflow.endpoints.http_model import HttpModel, HttpReplyStream
from agentflow.endpoints.model import Head
from agentflow.endpoints.transport import Timeouts
from agentflow.errors import UserError, missing_extra
from agentflow.local.process import ServerProcess
from agentflow.local.store import path_of
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.messages import ChatRequest, Delta, Reply

__all__ = ["LocalModel", "LocalReplyStream", "open_model"]

_PART = 256  # characters of a prompt that are compared at once


class LocalModel:
    """The model `local:NAME`: one that was fetched, or the path of a GGUF file.

    Each Runtime that uses it has one server process, which loads the model when it is
    first asked and ends with the Runtime. `slots` requests are answered at once, each
    with a window of `context` tokens; more wait in order. `threads` compute: by default
    so many that the program keeps a core. Raises `UserError` when the
    extra `local` is not installed, or the model is not on this machine.
    """

    def __init__(
        self,
        name: str,
        *,
        context: int = 4096,
        slots: int = 2,
        threads: int | None = None,
        timeouts: Timeouts | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        for what, value in (("context", context), ("slots", slots), ("threads", threads)):
            if value is not None and value < 1:
                raise UserError(f"local:{name}: {what} must be at least 1, not {value}")
        self.name = f"local:{name}"
        self.path = _file_of(name)
        if importlib.util.find_spec("xllamacpp") is None:
            raise missing_extra("xllamacpp", "local")
        self.context = context
        self.slots = slots
        self.threads = threads or 0
        self.timeouts = timeouts or Timeouts()
        self.capabilities = capabilities or Capabilities(
            parallel_tool_calls=False,
            images=False,
            files=False,
            strict_tools=False,
            grammar=True,
            context_window=context,
        )

    def open(self, request: ChatRequest, resources: Resources) -> LocalReplyStream:
        """Return the stream of the reply to `request`. The first of `resources` loads the model."""
        return LocalReplyStream(self, request, resources)

    def server(self, resources: Resources) -> ServerProcess:
        """Return the server of this model that `resources` own, started or not."""
        shape = (self.path, self.context, self.slots, self.threads)
        return resources.get(("local", *shape), lambda: ServerProcess(self.name, *shape))


class LocalReplyStream:
    """One reply of a local model. It waits for a slot, and for the load, when it is first read."""

    __slots__ = ("_model", "_reply", "_request", "_resources", "_server", "_slot")

    def __init__(self, model: LocalModel, request: ChatRequest, resources: Resources) -> None:
        self._model = model
        self._request = request
        self._resources = resources
        self._server: ServerProcess | None = None
        self._slot = 0
        self._reply: HttpReplyStream | None = None

    def __aiter__(self) -> LocalReplyStream:
        """Return itself."""
        return self

    async def __anext__(self) -> Delta:
        """Return the next delta.

        Raises `UserError` for a model that can't be loaded, and for tools that its chat
        template has no place for; else as an HTTP model does.
        """
        if self._reply is None:
            self._reply = await self._begin()
        try:
            return await self._reply.__anext__()
        except StopAsyncIteration:
            self._free_slot()
            raise

    @property
    def reply(self) -> Reply:
        """The whole reply, once the iteration has ended."""
        assert self._reply is not None, "the reply has not begun"
        return self._reply.reply

    @property
    def head(self) -> Head | None:
        """Status and headers of the response, once they are there."""
        return self._reply.head if self._reply is not None else None

    @property
    def ready(self) -> deque[Delta]:
        """Deltas that have come, and may be taken without waiting."""
        return self._reply.ready if self._reply is not None else deque()

    async def aclose(self) -> None:
        """Leave the reply; the server stops writing it."""
        try:
            if self._reply is not None:
                await self._reply.aclose()
        finally:
            self._free_slot()

    async def _begin(self) -> HttpReplyStream:
        from agentflow.endpoints.over_aiohttp import AiohttpTransport

        model = self._model
        server = model.server(self._resources)
        self._slot = await server.slots.acquire(_parts(self._request))
        self._server = server
        served = await server.served()
        if self._request.tools and not served.tools:
            raise UserError(
                f"{model.name}: its chat template has no place for tools, so that it would never see them: "
                "use it without tools, or a model that was made for them"
            )
        http = HttpModel(
            model.name,
            model.path.stem,
            served.base_url,
            lambda: served.key,
            capabilities=model.capabilities,
            timeouts=model.timeouts,
            # The server closes a connection with the reply's end, and does not say so before.
            http_client=self._resources.get(("http", "local"), lambda: AiohttpTransport(keep=False)),
        )
        settings = self._request.settings
        pinned = replace(settings, extra={**(settings.extra or {}), "id_slot": self._slot})
        return http.open(replace(self._request, settings=pinned), self._resources)

    def _free_slot(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.slots.release(self._slot)


def _parts(request: ChatRequest) -> Sequence[object]:
    """Return what a request asks in parts, so that one may be compared with another from the front."""
    if request.prompt is None:
        return request.messages
    return [request.prompt[at : at + _PART] for at in range(0, len(request.prompt), _PART)]


def open_model(
    name: str, *, timeouts: Timeouts | None = None, capabilities: Capabilities | None = None
) -> LocalModel:
    """Return the model `local:NAME`. Raises `UserError` when it can't be had on this machine."""
    return LocalModel(name, timeouts=timeouts, capabilities=capabilities)


def _file_of(name: str) -> Path:
    if not name.endswith(".gguf"):
        return path_of(name)
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise UserError(f"local:{name}: there is no file {path}")
    return path
