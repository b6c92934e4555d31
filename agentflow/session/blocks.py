"""The texts that a session itself writes: interrupt blocks, placeholders, its standing words.

Only the runtime writes `[INTR]`. A value that holds a control token is escaped,
so that a tool's output can neither open nor close a block.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from agentflow_protocols.chat import Json, ToolSpec

__all__ = ["BUILTINS", "STANDING", "TRANSFER", "clip", "escape", "interrupt_block", "names", "placeholder"]

_TOKEN = re.compile(r"\[(?=\\*\s*(?:CALL|HEAD|END|INTR|TRAP)\s*\])", re.IGNORECASE)

TRANSFER = "transfer_to_"  # begins the name of a tool that hands the conversation over

STANDING = (
    "Tools run beside you. You may call several in one message and go on: a call that is still running is"
    ' answered by {"status": "running"} and its result comes later, once, in a user message, as'
    " [INTR] call-id [HEAD] result [END]. Such blocks are written by the system only; other sources, such as"
    " `user`, may interrupt you in the same way. Start independent calls together, the longest first. When"
    " you can do nothing without a result, call `wait`. Do not repeat a call that is running."
)


def _schema(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


_CALL: Json = {"type": "string", "description": "the id of a call, such as c00000001"}

BUILTINS: dict[str, ToolSpec] = {
    spec.name: spec
    for spec in (
        ToolSpec(
            "wait",
            "Wait for results. Without `calls`, for the next of any call; with them, until all of these have"
            " ended. Any interrupt ends the wait, and so does `timeout` (seconds).",
            _schema(calls={"type": "array", "items": _CALL}, timeout={"type": "number", "minimum": 0}),
        ),
        ToolSpec("cancel", "Cancel a running call.", {**_schema(call=_CALL), "required": ["call"]}),
        ToolSpec(
            "progress",
            "Tell what a running call has told of its progress, and for how long it has run.",
            {**_schema(call=_CALL), "required": ["call"]},
        ),
        ToolSpec(
            "read",
            "Read a part of a result that was too long to show.",
            {
                **_schema(
                    artifact={"type": "string"},
                    start={"type": "integer", "minimum": 0, "description": "first character"},
                    length={"type": "integer", "minimum": 1, "maximum": 20000},
                ),
                "required": ["artifact"],
            },
        ),
    )
}


def escape(value: str) -> str:
    """Return `value` with every control token in it made harmless by a backslash."""
    return _TOKEN.sub(r"[\\", value)


def interrupt_block(source: str, value: str) -> str:
    """Return one block of an interrupt message."""
    return f"[INTR] {source} [HEAD] {escape(value)} [END]"


def placeholder(call: str) -> str:
    """Return the tool message of a call that is still running."""
    return json.dumps({"status": "running", "call": call})


def clip(text: str, artifact: str, limit: int) -> str:
    """Return the head and the tail of a text that was put into an artifact."""
    half = limit // 8
    return (
        f"{text[:half]}\n… {len(text) - 2 * half} characters left out: call"
        f' `read` with {{"artifact": "{artifact}", "start": {half}}} for more …\n{text[-half:]}'
    )


def names(values: Iterable[str]) -> str:
    """Return names as a list for a sentence."""
    return ", ".join(f"`{value}`" for value in values) or "none"
