"""The texts that a session itself writes: placeholders, its own tools, its standing words."""

from __future__ import annotations

import json
from collections.abc import Iterable

from agentflow_protocols.chat import Json, ToolSpec

__all__ = ["BUILTINS", "STANDING", "TRANSFER", "clip", "names", "placeholder", "standing"]

TRANSFER = "transfer_to_"  # begins the name of a tool that hands the conversation over

STANDING = (
    'Tools run beside you. {together} a call that still runs is answered by {{"status": "running"}}; its'
    " result comes later, once, in a user message, as [INTR] call-id [HEAD] result [END]. Only the system"
    " writes such blocks; other sources, such as `user`, may interrupt you so, too. Start independent"
    " calls{message}, the one with the longest way still to go first. With nothing to do before a result"
    " comes, call `wait`. Do not repeat a call that runs."
)
_NATIVE_REFERENCES = (
    ' An argument may be a result that is not there yet: "$c1" is that of the first call of the same message,'
    ' "$c2" of the second, "$c00000007" of an earlier call; "$c1.field" and "$c1.items[0]" are parts. So'
    " write a whole chain in one message. `wait` and `cancel` take such names as well, without the $."
)
_MARKUP_REFERENCES = (
    'An argument may be the result of an earlier call that is not there yet: "$c1", or a part of it:'
    ' "$c1.field", "$c1.items[0]".'
)


def standing(markup: bool, parallel: bool, references: bool) -> str:
    """Return what a model with tools is told of calls that run beside it.

    With `markup`, its carrier tells it the rest. `parallel`: it may write several calls
    in one message.
    """
    if markup:
        return _MARKUP_REFERENCES if references else ""
    several = "You may call several in one message and go on:"
    text = STANDING.format(
        together=several if parallel else "Call one after the other, without waiting for results:",
        message=" together" if parallel else " at once",
    )
    return text + (_NATIVE_REFERENCES if references and parallel else "")


def _schema(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


_CALL: Json = {"type": "string", "description": "the id of a call"}

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
