"""What was asked and what is answered in the forms of each provider, by a request's path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

__all__ = ["Body", "answer_of", "body_of", "prompt_of"]

Body: TypeAlias = Mapping[str, object]


def answer_of(prompt: str) -> str:
    """Return the only right answer to a prompt."""
    return f"answer to {prompt}"


def prompt_of(body: Body) -> str:
    """Return the text of the last turn of what was asked."""
    asked = body.get("messages") or body.get("contents") or body.get("input") or body.get("prompt") or ""
    last = asked[-1] if isinstance(asked, list) and asked else asked
    return _text(last)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(text for item in value if (text := _text(item)))
    if isinstance(value, Mapping):
        return _text(value.get("content") or value.get("parts") or value.get("text") or "")
    return ""


def body_of(path: str, model: object, text: str) -> bytes | None:
    """Return the body of a reply to a request at `path`; None where nothing is served."""
    asked, said = 20, len(text) // 4 + 1
    tokens = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": text}
        choice: Body = {"index": 0, "message": message, "finish_reason": "stop"}
        kind = "chat.completion"
    elif path.endswith("/completions"):
        choice, kind = {"index": 0, "text": text, "finish_reason": "stop"}, "text_completion"
    else:
        other = _other(path, model, text, asked, said)
        return None if other is None else json.dumps(other).encode()
    reply = {"id": "r", "object": kind, "created": 1, "model": model, "choices": [choice], "usage": tokens}
    return json.dumps(reply).encode()


def _other(path: str, model: object, text: str, asked: int, said: int) -> Body | None:
    if path.endswith("/messages"):
        return {
            "id": "r",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": asked, "output_tokens": said},
        }
    if path.endswith("/api/chat"):
        return {
            "model": model,
            "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": text},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": asked,
            "eval_count": said,
        }
    if path.endswith(":generateContent"):
        content = {"role": "model", "parts": [{"text": text}]}
        usage = {
            "promptTokenCount": asked,
            "candidatesTokenCount": said,
            "totalTokenCount": asked + said,
        }
        return {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}
    return None
