"""The calls that a session answers itself: `wait`, `cancel`, `progress`, `read`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from agentflow.errors import RunError
from agentflow.session.blocks import names
from agentflow.session.call import Board, Call

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Wait", "answer"]

Deps = TypeVar("Deps")


class Wait:
    """What a `wait` call waits for; `empty` when there is nothing."""

    __slots__ = ("call", "deadline", "empty", "wanted")

    def __init__(self, board: Board, call: Call, now: float) -> None:
        arguments = _arguments(call)
        known = arguments.get("calls") or ()
        wanted = (
            [board.calls[str(i)] for i in known if str(i) in board.calls] if isinstance(known, list) else []
        )
        timeout = arguments.get("timeout")
        self.call = call
        self.wanted = [c for c in wanted if c is not call]
        self.deadline = now + float(timeout) if isinstance(timeout, int | float) else None
        self.empty = not any(not other.own for other in board.owed)

    def over(self, board: Board, now: float) -> bool:
        """Return whether the model may go on, as far as this wait is concerned."""
        if self.empty or (self.deadline is not None and now >= self.deadline):
            return True
        if self.wanted:
            return all(call.done for call in self.wanted)
        return any(call.done for call in board.owed if not call.own)

    def text(self, board: Board) -> str:
        """Return what the model is told of the wait."""
        if self.empty:
            return json.dumps(
                {"error": "nothing is running, so there is nothing to wait for: answer, or call a tool"}
            )
        ended = [call.id for call in board.owed if call.done and not call.own]
        running = [call.id for call in board.running if not call.own]
        return json.dumps({"ended": ended, "running": running})


async def answer(context: Context[Deps], board: Board, call: Call) -> str | None:
    """Return the answer to a built-in call, None when `call` is `wait` or none of them."""
    arguments = _arguments(call)
    if call.name == "cancel":
        other = board.calls.get(str(arguments.get("call")))
        if other is None:
            return _unknown(board, arguments.get("call"))
        if other.done:
            return json.dumps({"call": other.id, "status": "had ended before"})
        await board.cancel(other)
        return json.dumps({"call": other.id, "status": "cancelled"})
    if call.name == "progress":
        other = board.calls.get(str(arguments.get("call")))
        if other is None:
            return _unknown(board, arguments.get("call"))
        seconds = context.clock.time() - (other.started if other.started is not None else other.began)
        status = other.outcome or "running"
        return json.dumps(
            {"call": other.id, "status": status, "seconds": round(seconds, 3), "progress": other.progress}
        )
    if call.name == "read":
        return await _read(context, arguments)
    return None


async def _read(context: Context[Deps], arguments: Mapping[str, object]) -> str:
    try:
        data = await context.read_artifact(str(arguments.get("artifact")))
    except RunError as error:
        return json.dumps({"error": str(error)})
    text = data.decode("utf-8", "replace")
    start, length = arguments.get("start", 0), arguments.get("length", 4000)
    start = max(0, start) if isinstance(start, int) else 0
    length = min(max(1, length), 20_000) if isinstance(length, int) else 4000
    return json.dumps({"text": text[start : start + length], "of": len(text)}, ensure_ascii=False)


def _arguments(call: Call) -> Mapping[str, object]:
    try:
        value = json.loads(call.arguments or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _unknown(board: Board, asked: object) -> str:
    running = names(call.id for call in board.running)
    return json.dumps({"error": f"no call {asked!r}; running: {running}"})
