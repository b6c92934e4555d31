"""A tool that is one HTTP request, described in a workflow."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlencode

from agentflow.errors import EndpointUnavailable, ToolFailed, UserError
from agentflow.workflow.templates import keys_used, render
from agentflow_protocols.chat import Json
from agentflow_protocols.workflow import HttpTool

if TYPE_CHECKING:
    from agentflow.endpoints.transport import Response
    from agentflow.runtime.context import Context

__all__ = ["HttpCall", "http_parameters"]

_RETRIED = (408, 409, 425, 429)


def http_parameters(section: HttpTool) -> dict[str, Json]:
    """Return the JSON Schema of the tool's arguments: the given one, or a text for each used name."""
    if section.parameters is not None:
        return cast("dict[str, Json]", {"type": "object", **section.parameters})
    used = keys_used([section.url, section.query, section.headers, cast("Json", section.body)], "arguments")
    properties: dict[str, Json] = {name: {"type": "string"} for name in used}
    return {"type": "object", "properties": properties, "required": used, "additionalProperties": False}


class HttpCall:
    """Sends the request of one tool. Calling it with a context and arguments returns the body.

    A body in JSON is returned as its value, another as text. Raises `UserError` when
    it is made and a variable of `headers_env` is not set.
    """

    def __init__(self, name: str, section: HttpTool) -> None:
        self._name = name
        self._section = section
        self._secret: dict[str, str] = {}
        for header, variable in section.headers_env.items():
            value = os.environ.get(variable)
            if not value:
                raise UserError(f"tool `{name}` needs the environment variable {variable} for {header}")
            self._secret[header] = value

    async def __call__(self, context: Context[object], arguments: dict[str, Json]) -> Json:
        """Send the request and return what came. Raises `ToolFailed` for a refusal."""
        from agentflow.endpoints.transport import Timeouts, transport_of

        url, headers, body = self._request(arguments)
        if self._section.method not in ("GET", "DELETE"):
            headers.setdefault("Idempotency-Key", context.idempotency_key)
        transport = transport_of(context.resources)
        response = await transport.send(self._section.method, url, headers, body, Timeouts())
        try:
            data = await self._read(response)
        finally:
            await response.aclose()
        for secret in self._secret.values():  # a server may echo what it was sent
            data = data.replace(secret.encode(), b"***")
        status = response.status
        if status in _RETRIED or status >= 500:
            raise EndpointUnavailable(f"HTTP {status}", status=status)
        if not 200 <= status < 300:
            raise ToolFailed(f"{self._name}: HTTP {status}: {_clip(data)}")
        return _value(data, response.headers.get("content-type", ""))

    def _request(self, arguments: Mapping[str, Json]) -> tuple[str, dict[str, str], bytes]:
        section, names = self._section, {"arguments": arguments}
        where = f"tool {self._name}"
        escaped = {"arguments": {key: quote(_text(value), safe="") for key, value in arguments.items()}}
        url = _text(render(section.url, escaped, f"{where}.url"))
        query = render(cast("Json", section.query), names, f"{where}.query")
        pairs = [(k, _text(v)) for k, v in cast("dict[str, Json]", query).items() if v is not None]
        if pairs:
            url += ("&" if "?" in url else "?") + urlencode(pairs)
        rendered = render(dict(section.headers), names, f"{where}.headers")
        headers = {k: _header(_text(v)) for k, v in cast("dict[str, Json]", rendered).items()} | self._secret
        if section.body is None:
            return url, headers, b""
        body = render(cast("Json", section.body), names, f"{where}.body")
        if isinstance(body, str):
            return url, {"Content-Type": "text/plain; charset=utf-8", **headers}, body.encode()
        return url, {"Content-Type": "application/json", **headers}, json.dumps(body).encode()

    async def _read(self, response: Response) -> bytes:
        data = bytearray()
        while chunk := await response.read():
            data += chunk
            if len(data) > self._section.max_bytes:
                raise ToolFailed(f"{self._name}: the answer has more than {self._section.max_bytes:,} bytes")
        return bytes(data)


def _value(data: bytes, kind: str) -> Json:
    text = data.decode("utf-8", "replace")
    if "json" in kind:
        try:
            value: Json = json.loads(text)
        except ValueError:
            return text
        return value
    return text


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _header(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def _clip(data: bytes) -> str:
    return " ".join(data[:300].decode("utf-8", "replace").split())
