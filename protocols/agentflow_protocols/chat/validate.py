"""What every chat provider demands of a list of messages, as a check.

A broken list is a defect of whoever made it, so the error is `LocalProtocolError`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from agentflow_protocols.chat.messages import Message
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["check_messages"]


def check_messages(messages: Sequence[Message], start: int = 0, late: Container[str | None] = ()) -> None:
    """Raise LocalProtocolError unless `messages` from `start` on may be sent.

    Each call of an assistant message has exactly one tool message, directly after it
    and in any order; no tool message stands elsewhere; system messages come first;
    nothing but an assistant message that calls is empty. `start` must not lie inside
    a group of tool messages. `late` are ids whose second result may stand by itself, for
    endpoints that take one.
    """
    owed: set[str] = set()
    body = start > 0
    for index in range(start, len(messages)):
        message = messages[index]
        role = message.role
        if role == "tool":
            if message.call_id not in owed and message.call_id not in late:
                raise LocalProtocolError(f"message {index}: a result for a call that was not just made")
            owed.discard(message.call_id)
            continue
        if owed:
            raise LocalProtocolError(f"message {index}: {len(owed)} calls before it have no result")
        if role == "system":
            if body:
                raise LocalProtocolError(f"message {index}: a system message after the conversation began")
            continue
        body = True
        if role == "assistant":
            owed = {call.id for call in message.calls}
            if len(owed) != len(message.calls):
                raise LocalProtocolError(f"message {index}: two calls of one id")
            if not message.calls and not message.content and not message.refusal:
                raise LocalProtocolError(f"message {index}: an empty assistant message")
        elif not message.content:
            raise LocalProtocolError(f"message {index}: an empty user message")
    if owed:
        raise LocalProtocolError(f"the list ends with {len(owed)} calls that have no result")
