"""What to do when a conversation outgrows its model's window: leave out the oldest.

Kept are the first user message, the newest messages, whole groups of calls and
their results, and every group with a call that still runs or whose result is new. In
markup a group is what the model wrote and the blocks that were put in behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agentflow_protocols.chat import Message
from agentflow_protocols.cml import CallStarted, Markup, Parser

__all__ = ["NOTE", "called_ids", "compact"]

NOTE = "[The oldest part of this conversation was left out to make room: {n} messages. {digest}]"

_DIGEST = 1200  # characters of what was left out that the note may tell


def compact(
    messages: Sequence[Message], running: Collection[str], markup: Markup | None = None
) -> tuple[list[Message], int]:
    """Return `messages` without about half of what can be left out, and how many these were.

    `running` are ids of calls whose outcome the model has not read yet. 0 means that nothing can be left out.
    """
    groups = _groups(messages, markup is not None)
    head = 1 if groups and groups[0][0].role == "user" else 0
    movable = [
        index
        for index in range(head, len(groups) - 1)
        if called_ids(groups[index], markup if running else None).isdisjoint(running)
    ]
    gone = set(movable[: (len(movable) + 1) // 2])
    if not gone:
        return list(messages), 0
    left = [message for index in sorted(gone) for message in groups[index]]
    note = Message("user", NOTE.format(n=len(left), digest=_digest(left)))
    kept: list[Message] = []
    for index, group in enumerate(groups):
        if index == min(gone):
            kept.append(note)
        if index not in gone:
            kept += group
    return kept, len(left)


def called_ids(messages: Sequence[Message], markup: Markup | None) -> set[str]:
    """Return the ids of the calls in `messages`, also of those that were written in `markup`."""
    ids = {call.id for message in messages for call in message.calls}
    for message in messages:
        if markup is not None and message.role == "assistant" and markup.call in message.text:
            parser = Parser(markup)
            events = [*parser.feed(message.text), *parser.end()]
            ids |= {event.id for event in events if isinstance(event, CallStarted) and event.id}
    return ids


def _groups(messages: Sequence[Message], markup: bool) -> list[list[Message]]:
    """Cut a conversation into what must stay together: a message, or calls with their results."""
    groups: list[list[Message]] = []
    for message in messages:
        put_in = markup and message.interrupt and groups and groups[-1][0].role == "assistant"
        if put_in or (message.role == "tool" and groups):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def _digest(messages: Sequence[Message]) -> str:
    """Return the beginnings of what was said and called, within bounds."""
    parts: list[str] = []
    size = 0
    for message in messages:
        called = ", ".join(f"{call.name}({call.arguments[:80]})" for call in message.calls)
        text = " ".join(message.text.split())[:120]
        part = f"{message.role}: {text or called}"
        size += len(part)
        if size > _DIGEST:
            parts.append("…")
            break
        parts.append(part)
    return " | ".join(parts)
