"""The calls that a session answers itself: `wait`, `cancel`, `progress`, `read`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from agentflow.errors import RunError
from agentflow.session.blocks import names
from agentflow.session.call import Board, Call

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.runtime.inbox import Inbox

__all__ = ["Wait", "answer"]

_GO_ON = "answer, or call a tool"

Deps = TypeVar("Deps")


class Wait:
    """A trap: what the model waits for; `empty` when there is nothing, or nothing any more.

    `wanted` are calls that must all have ended, none for any result, or for `every` one;
    `unknown` are names that are no call's. `call` is the `wait` call that is answered when
    it is over, None in markup. While `inbox` has sources that may still interrupt, waiting
    for nothing is waiting for them.
    """

    __slots__ = ("_board", "_inbox", "_past", "call", "deadline", "every", "unknown", "wanted")

    def __init__(
        self,
        board: Board,
        inbox: Inbox,
        wanted: Sequence[str],
        *,
        group: Sequence[Call] = (),
        every: bool = False,
        deadline: float | None = None,
        call: Call | None = None,
    ) -> None:
        found = {name: board.named(name, group) for name in wanted}
        self._board = board
        self._inbox = inbox
        self.call = call
        self.wanted = [other for other in found.values() if other is not None]
        self.unknown = [name for name, other in found.items() if other is None]
        self.every = every
        self.deadline = deadline
        self._past = bool(self.wanted) and all(other.told == "done" for other in self.wanted)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to wait for."""
        return self._past or not (self._inbox.sources or self._others(self._board))

    @property
    def in_vain(self) -> str:
        """What the model is told when there is nothing to wait for."""
        if self._past:
            ended = names(call.id for call in self.wanted)
            return f"you were told that {ended} had ended, so there is nothing to wait for: {_GO_ON}"
        return f"nothing is running, so there is nothing to wait for: {_GO_ON}"

    @classmethod
    def of_call(
        cls, board: Board, inbox: Inbox, call: Call, group: Sequence[Call], now: float, every: bool
    ) -> Wait:
        """Return what a `wait` call waits for; `group` are the calls of its message."""
        arguments = _arguments(call)
        known = arguments.get("calls") or ()
        wanted = [str(name) for name in known] if isinstance(known, list) else []
        timeout = arguments.get("timeout")
        deadline = now + float(timeout) if isinstance(timeout, int | float) else None
        return cls(board, inbox, wanted, group=group, every=every, deadline=deadline, call=call)

    def widen(self) -> None:
        """Wait for any result in place of those that are long known."""
        self.wanted, self._past = [], False

    def over(self, board: Board, now: float) -> bool:
        """Return whether the model may go on, as far as this wait is concerned."""
        if self.empty or (self.deadline is not None and now >= self.deadline):
            return True
        if self.wanted:
            return all(call.done for call in self.wanted)
        others = self._others(board)
        if self.every:
            return bool(others) and all(call.done for call in others)
        return any(call.news for call in others)

    def _others(self, board: Board) -> list[Call]:
        """Return what is owed; of the session's own calls only in markup, where a trap is no call."""
        return [call for call in board.owed if self.call is None or not call.own]

    def text(self, board: Board) -> str:
        """Return what the model is told of the wait."""
        if self.empty and not self._inbox.waking:
            return json.dumps({"error": self.in_vain})
        ended = [call.id for call in board.owed if call.done and not call.own]
        running = [call.id for call in board.running if not call.own]
        unknown = {"unknown": self.unknown} if self.unknown else {}
        return json.dumps({"ended": ended, "running": running, **unknown})


async def answer(context: Context[Deps], board: Board, call: Call, group: Sequence[Call]) -> str | None:
    """Return the answer to a built-in call, None when `call` is `wait` or none of them.

    `group` are the calls of its message.
    """
    arguments = _arguments(call)
    if call.name == "cancel":
        other = board.named(str(arguments.get("call")), group)
        if other is None:
            return _unknown(board, arguments.get("call"))
        if other.done:
            return json.dumps({"call": other.id, "status": "had ended before"})
        await board.cancel(other)
        return json.dumps({"call": other.id, "status": "cancelled"})
    if call.name == "progress":
        other = board.named(str(arguments.get("call")), group)
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
