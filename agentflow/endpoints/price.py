"""What requests cost, and a guess of their tokens where a server does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentflow_protocols.chat.messages import ChatRequest, Message, Reply, Settings, Usage

__all__ = ["Price", "estimate_input", "estimate_output", "most_output"]


_MOST = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "num_predict")


@dataclass(slots=True, frozen=True)
class Price:
    """USD per million tokens. `cached` input costs as other input when it is None."""

    input: float
    output: float
    cached: float | None = None

    def cost(self, usage: Usage) -> float:
        """Return the USD that `usage` costs."""
        cached = usage.cached_tokens if self.cached is not None else 0
        fresh = max(0, usage.input_tokens - cached)
        return (
            fresh * self.input + cached * (self.cached or 0.0) + usage.output_tokens * self.output
        ) / 1_000_000


def estimate_input(request: ChatRequest) -> int:
    """Return about how many tokens `request` has: four characters each, a thousand an image."""
    characters = len(request.prompt or "")
    for message in request.messages:
        characters += 16 + _size(message)
    for spec in request.tools:
        characters += len(spec.name) + len(spec.description) + len(str(spec.parameters))
    if request.output is not None:
        characters += len(str(request.output))
    return -(-characters // 4)


def estimate_output(reply: Reply) -> int:
    """Return about how many tokens `reply` has."""
    return -(-(_size(reply.message) + len(reply.message.reasoning or "")) // 4)


def most_output(settings: Settings) -> int | None:
    """Return the tokens that a reply may have by `settings`, said in our name or in a provider's own."""
    if settings.max_tokens is not None:
        return settings.max_tokens
    extra = settings.extra or {}
    for where in (extra, extra.get("generationConfig"), extra.get("options")):
        for name in _MOST if isinstance(where, Mapping) else ():
            value = where.get(name)  # type: ignore[union-attr]
            if isinstance(value, int) and value > 0:
                return value
    return None


def _size(message: Message) -> int:
    size = len(message.text)
    if not isinstance(message.content, str):
        size += 4000 * sum(1 for part in message.content if not hasattr(part, "text"))
    for call in message.calls:
        size += len(call.name) + len(call.arguments)
    return size
