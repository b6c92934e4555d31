"""What an Endpoint speaks to: an HTTP dialect, a scripted, built-in, local or fake model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.messages import ChatRequest, Delta, Reply

__all__ = ["Head", "Model", "ReplyStream"]


@dataclass(slots=True, frozen=True)
class Head:
    """Status and headers (lower-case names) of the response that a reply comes in."""

    status: int
    headers: Mapping[str, str]


class ReplyStream(Protocol):
    """A reply as it comes: an async iterator of `Delta`. It begins when it is first asked.

    A stream may also have `head: Head | None`, the response's, for schedulers that learn
    from it, `ready: deque[Delta]`, from which deltas are taken without waiting, and
    `spent: Usage`, the tokens so far, for a reply that is left.
    """

    def __aiter__(self) -> ReplyStream:
        """Return itself."""

    async def __anext__(self) -> Delta:
        """Return the next delta. Raises `EndpointError` when the model does not do its work."""

    @property
    def reply(self) -> Reply:
        """The whole reply; there once the iteration has ended."""

    async def aclose(self) -> None:
        """Leave the reply, at any time; what writes it stops."""


@runtime_checkable
class Model(Protocol):
    """Something that writes replies."""

    @property
    def name(self) -> str:
        """Its name in events, such as `openai:gpt-5-mini`."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def open(self, request: ChatRequest, resources: Resources) -> ReplyStream:
        """Return the stream of its reply to `request`; nothing is sent before the stream is read."""
