"""What a reader of the markup finds in a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "CallReady",
    "CallStarted",
    "Event",
    "InterruptRead",
    "ProtocolViolation",
    "ReasoningDelta",
    "TextDelta",
    "TrapReached",
    "Violation",
]

Violation: TypeAlias = Literal[
    "bad_body", "bad_id", "forged_interrupt", "nested", "stray_end", "stray_head", "too_long", "unclosed"
]


@dataclass(slots=True)
class TextDelta:
    """Some text outside blocks."""

    text: str


@dataclass(slots=True)
class ReasoningDelta:
    """Some text of a reasoning span."""

    text: str


@dataclass(slots=True)
class CallStarted:
    """A call's body begins. Without an `id` its result is never reported."""

    id: str | None


@dataclass(slots=True)
class CallReady:
    """A call's block is closed and whole. `arguments` is the JSON text of an object."""

    id: str | None
    name: str
    arguments: str


@dataclass(slots=True)
class TrapReached:
    """The model waits: for any interrupt, or until the calls `ids` have ended."""

    ids: tuple[str, ...] = ()


@dataclass(slots=True)
class InterruptRead:
    """A block that the runtime put in. Only a reader of transcripts gives it; `value` is un-escaped."""

    source: str
    value: str


@dataclass(slots=True)
class ProtocolViolation:
    """The model broke the protocol. `message` is one line that it can be told.

    `at` is the offset in the whole text of the block that was given up, else of the token.
    """

    kind: Violation
    message: str
    at: int
    id: str | None = None


Event: TypeAlias = (
    TextDelta | ReasoningDelta | CallStarted | CallReady | TrapReached | InterruptRead | ProtocolViolation
)
