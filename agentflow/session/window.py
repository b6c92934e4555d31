"""What to do when a conversation outgrows its model's window: leave out the oldest.

Kept are the first user message, the newest messages, whole groups of calls and
their results, and every group with a call that is still running.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from agentflow_protocols.chat import Message

__all__ = ["NOTE", "compact"]

NOTE = "[The oldest part of this conversation was left out to make room: {n} messages. {digest}]"

_DIGEST = 1200  # characters of what was left out that the note may tell


def compact(messages: Sequence[Message], running: Collection[str]) -> tuple[list[Message], int]:
    """Return `messages` without about half of what can be left out, and how many these were.

    `running` are ids of calls without an outcome. 0 means that nothing can be left out.
    """
    groups = _groups(messages)
    head = 1 if groups and groups[0][0].role == "user" else 0
    movable = [
        index
        for index in range(head, len(groups) - 1)
        if not any(call.id in running for message in groups[index] for call in message.calls)
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


def _groups(messages: Sequence[Message]) -> list[list[Message]]:
    """Cut a conversation into what must stay together: a message, or calls with their results."""
    groups: list[list[Message]] = []
    for message in messages:
        if message.role == "tool" and groups:
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
