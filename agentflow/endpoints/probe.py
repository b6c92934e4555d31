"""Find out by asking what an endpoint can do: its row of the capability table.

Up to five short requests. An answer that shows an ability counts; a refusal, or an answer that
shows nothing, counts as lacking it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from agentflow.endpoints.endpoint import Endpoint
from agentflow.endpoints.http_model import HttpModel
from agentflow.endpoints.retry import Retry
from agentflow.errors import EndpointError, QuotaExhausted, RateLimited, UserError
from agentflow_protocols.chat.capabilities import Capabilities, Prefill
from agentflow_protocols.chat.messages import ChatRequest, Message, Reply, Settings, ToolCall, ToolSpec

__all__ = ["probe"]

_SHORT = Settings(max_tokens=64)  # some models take no temperature
_FORMS: tuple[Prefill, ...] = ("continue", "prefix", "trailing")
_PING = ToolSpec(
    "ping",
    "Reach one host.",
    {"type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]},
)


async def probe(endpoint: Endpoint) -> Capabilities:
    """Return the endpoint's capabilities, with what was found of them.

    That is `prefill`, `parallel_tool_calls` and `late_tool_results`. What is no HTTP
    endpoint is known without asking. Raises `EndpointError` when the endpoint can't be
    asked at all: unreachable, no quota, rate-limited.
    """
    target = endpoint.target
    if not isinstance(target, HttpModel):
        return target.capabilities
    found = replace(target.capabilities, prefill="none")
    for form in _FORMS:
        reply = await _ask(target, replace(found, prefill=form), _half_a_word())
        if reply is not None and reply.message.text.lstrip().lower().startswith("berry"):
            found = replace(found, prefill=form)
            break
    reply = await _ask(target, found, _two_calls())
    found = replace(found, parallel_tool_calls=reply is not None and len(reply.message.calls) > 1)
    reply = await _ask(target, found, _late_result())
    return replace(found, late_tool_results=reply is not None and "4711" in reply.message.text)


async def _ask(target: HttpModel, capabilities: Capabilities, request: ChatRequest) -> Reply | None:
    """Return the reply, None when the endpoint does not take such a request."""
    model = copy.copy(target)
    model.capabilities = capabilities
    asked = Endpoint(model, retry=Retry.attempts(1))
    try:
        async with asked, asked.stream(request) as stream:
            async for _ in stream:
                pass
        return stream.reply
    except (RateLimited, QuotaExhausted):
        raise
    except UserError:
        return None
    except EndpointError as error:
        if error.status is None or error.status in (401, 403, 404) or error.status >= 500:
            raise
        return None


def _half_a_word() -> ChatRequest:
    """Ask for a word of which the model's message has the first half: who goes on writes the other."""
    return _request(Message("user", "Say only this word: strawberry"), Message("assistant", "straw"))


def _two_calls() -> ChatRequest:
    asked = Message("user", "Ping the hosts `a` and `b`. Make both calls at once, in one message.")
    return ChatRequest([asked], tools=[_PING], settings=_SHORT, tool_choice="required")


def _late_result() -> ChatRequest:
    """Tell a second result of a call after the placeholder: who takes it can say what it was."""
    call = ToolCall("c00000001", "ping", '{"host": "a"}')
    return _request(
        Message("user", "Ping host a, and tell me the number that it answers."),
        Message("assistant", calls=[call]),
        Message("tool", '{"status": "running"}', call_id=call.id),
        Message("assistant", "I wait for it."),
        Message("tool", "4711", call_id=call.id),
        tools=[_PING],
    )


def _request(*messages: Message, tools: Sequence[ToolSpec] = ()) -> ChatRequest:
    return ChatRequest(messages, tools=tools, settings=_SHORT)
