"""When to hand results over, and how: the decision and the messages.

On a chat API each delivery costs a request. So after a reply the session waits
until something has come, and for what more is due within the cost of a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.runtime.inbox import Interrupt
from agentflow.session.blocks import interrupt_block, placeholder
from agentflow.session.builtin_calls import Wait
from agentflow.session.call import Board, Call
from agentflow_protocols.chat import Message

if TYPE_CHECKING:
    from agentflow.runtime.clock import Clock
    from agentflow.runtime.inbox import Inbox

__all__ = ["Delivery", "compose", "wait_for_delivery"]


@dataclass(slots=True)
class Delivery:
    """What goes in at one boundary: outcomes, then interrupts; the rest gets placeholders."""

    results: list[Call]
    interrupts: list[Interrupt]


async def wait_for_delivery(
    board: Board,
    inbox: Inbox,
    clock: Clock,
    fresh: Sequence[Call],
    waits: Sequence[Wait],
    cost: float,
    grace_s: float | None = None,
) -> None:
    """Return when the model should go on.

    `fresh` are the calls of the reply that just ended, `cost` the seconds that a
    request is worth; `grace_s` those that calls with `reply="interrupt"` are given, None
    for the same. Raises what a call's task raised.
    """
    now = clock.time()
    grace = now + (cost if grace_s is None else grace_s)
    came: float | None = None
    seen = -1
    while True:
        board.changed.clear()
        if board.error is not None:
            raise board.error
        now = clock.time()
        ended = sum(call.done for call in board.owed)
        if ended != seen:
            came, seen = (now if ended else None), ended
        until = _until(board, inbox, fresh, waits, now, grace, cost, came)
        if until is None:
            break
        try:
            async with asyncio.timeout_at(None if until == _FOREVER else until):
                await board.changed.wait()
        except TimeoutError:
            pass
    await asyncio.sleep(0)  # what ends in the same moment goes in together


_FOREVER = float("inf")
_TICK = 1e-6  # seconds after which an estimate that was due has proved wrong


def _until(
    board: Board,
    inbox: Inbox,
    fresh: Sequence[Call],
    waits: Sequence[Wait],
    now: float,
    grace: float,
    cost: float,
    came: float | None,
) -> float | None:
    """Return until when to wait at most for a change, None to go on now."""
    if inbox.urgent:
        return None
    running = [call for call in board.running if call.name != "wait"]
    if any(call.tool is not None and call.tool.options.reply == "wait" for call in running):
        return _FOREVER
    if inbox.waking:
        return None
    if waits:
        if not all(wait.over(board, now) for wait in waits):
            return min(
                (w.deadline for w in waits if w.deadline is not None and w.deadline > now), default=_FOREVER
            )
        return _more(now, cost, came) if _soon(running, now, cost, came) else None
    if not running:
        return None
    if any(not call.done and _interrupts(call) for call in fresh):
        return grace if now < grace else None
    if came is None:
        return _FOREVER
    return _more(now, cost, came) if _soon(running, now, cost, came) else None


def _interrupts(call: Call) -> bool:
    return call.tool is not None and call.tool.options.reply in ("interrupt", "stream")


def _soon(running: Sequence[Call], now: float, cost: float, came: float | None) -> bool:
    """Return whether more is due within the cost of a request from the last that came."""
    if came is None:
        return False
    for call in running:
        due = call.due(now)
        if (due is None and now < came + cost) or (due is not None and now + due <= came + cost):
            return True
    return False


def _more(now: float, cost: float, came: float | None) -> float:
    """Return when to look again for what is due."""
    return _FOREVER if came is None else max(came + cost, now + _TICK)


def compose(group: Sequence[Call], board: Board, delivery: Delivery, plain: bool) -> list[Message]:
    """Return the messages of one boundary, and mark what they tell.

    First a tool message for each call of `group`, the calls of the last assistant
    message, in its order; then all else as one user message of blocks. With `plain`,
    interrupts from a user alone are given as the user's own words.
    """
    messages: list[Message] = []
    delivered = {id(call) for call in delivery.results}
    for call in group:
        if id(call) in delivered:
            call.told = "done"
            messages.append(Message("tool", call.text, call_id=call.id))
        else:
            call.told = "running"
            messages.append(Message("tool", placeholder(call.id), call_id=call.id))
    blocks = [interrupt_block(call.id, call.text) for call in delivery.results if call.told != "done"]
    for call in delivery.results:
        call.told = "done"
    if plain and not blocks and all(item.source == "user" for item in delivery.interrupts):
        text = "\n\n".join(item.text for item in delivery.interrupts)
    else:
        blocks += [interrupt_block(item.source, item.text) for item in delivery.interrupts]
        text = "\n".join(blocks)
    if text:
        messages.append(Message("user", text))
    return messages
