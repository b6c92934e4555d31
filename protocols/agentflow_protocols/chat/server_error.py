"""What a server's error body says, whatever its form. Sans-IO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic_core import from_json

from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["ErrorReply", "ServerError", "parse_error", "server_error"]


@dataclass(slots=True, frozen=True)
class ServerError:
    """What an error body says. Empty strings where it says nothing; `retry_after` in seconds."""

    type: str = ""
    code: str = ""
    message: str = ""
    retry_after: float | None = None


class ErrorReply(RemoteProtocolError):
    """The server answered with an error object; `error` is what it says."""

    def __init__(self, error: ServerError) -> None:
        super().__init__(error.message or error.code or error.type or "an error without a message")
        self.error = error


def parse_error(body: bytes) -> ServerError:
    """Return what an error body says, whatever its form."""
    try:
        data = from_json(body)
    except ValueError:
        text = body[:2000].decode("utf-8", "replace").strip()
        return ServerError() if text[:1] == "<" else ServerError(message=text)
    return server_error(data)


def server_error(data: object) -> ServerError:
    """Return what an error object says, whatever its form."""
    if isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, Mapping):
        inner = data.get("error")
        if isinstance(inner, Mapping):
            data = inner
        elif isinstance(inner, str):
            return ServerError(message=inner)
    if not isinstance(data, Mapping):
        return ServerError(message=data if isinstance(data, str) else "")
    message = data.get("message") or data.get("detail") or ""
    if not isinstance(message, str):
        message = json.dumps(message)
    return ServerError(
        str(data.get("type") or data.get("status") or ""), str(data.get("code") or ""), message
    )
