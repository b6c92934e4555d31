"""When to hand results over, and how: the decision and the messages.

On a chat API each delivery costs a request. So after a reply the session waits
until something has come, and for what more is due within the cost of a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentflow.runtime.inbox import Interrupt
from agentflow.session.blocks import placeholder
from agentflow.session.builtin_calls import Wait
from agentflow.session.call import Board, Call
from agentflow_protocols.chat import Message
from agentflow_protocols.cml import Markup, encode_interrupt

if TYPE_CHECKING:
    from agentflow.runtime.clock import Clock
    from agentflow.runtime.inbox import Inbox

__all__ = ["Delivery", "Offer", "compose", "overwrite", "wait_for_delivery", "worth_a_cut"]

_FOREVER = float("inf")
_MARKUP = Markup()
_REWRITTEN = 2000  # characters of the model's text behind a placeholder that may have to be read anew
_TICK = 1e-6  # seconds that two times may differ by and be the same


@dataclass(slots=True)
class Delivery:
    """What goes in at one boundary: outcomes, then interrupts, then what was wrong with the reply.

    What is not here gets placeholders.
    """

    results: list[Call]
    interrupts: list[Interrupt]
    notes: list[str] = field(default_factory=list)

    def apart(self, calls: Sequence[Call]) -> tuple[list[Call], list[Call]]:
        """Return those of `calls` that go in before the interrupts, and those after.

        A call that streams ends after the last of its values.
        """
        if not self.interrupts:
            return list(calls), []
        streamed = {item.source for item in self.interrupts}
        last = [call for call in calls if call.id in streamed]
        return [call for call in calls if call.id not in streamed], last


@dataclass(slots=True)
class Offer:
    """What the reply that just ended leaves to wait for.

    `fresh` are its calls, `waits` its traps, `cost` the seconds that a request is worth and
    `grace` those that calls with `reply="interrupt"` are given.
    """

    fresh: Sequence[Call]
    waits: Sequence[Wait]
    cost: float
    grace: float


def worth_a_cut(board: Board, now: float, cost: float) -> bool:
    """Return whether a reply in markup is left between two blocks, for results that have come.

    It is, when nothing more is due within twice the `cost` of going on.
    """
    return any(call.news for call in board.owed) and not _soon(board.running, now, 2 * cost, now)


async def wait_for_delivery(board: Board, inbox: Inbox, clock: Clock, offer: Offer) -> None:
    """Return when the model should go on. Raises what a call's task raised."""
    await asyncio.sleep(0)  # the call that was written last begins: now its estimate is known
    now = clock.time()
    grace = now + offer.grace
    came: float | None = None
    seen = -1
    while True:
        board.changed.clear()
        if board.error is not None:
            raise board.error
        now = clock.time()
        ended = sum(call.news for call in board.owed)
        if ended != seen:
            came, seen = (now if ended else None), ended
        until = _until(board, inbox, offer, now, grace, came)
        if until is None:
            break
        try:
            async with asyncio.timeout_at(None if until == _FOREVER else until):
                nothing = came is None or not all(wait.over(board, now) for wait in offer.waits)
                await board.change(idle=nothing)  # else it waits for more to hand over at once
        except TimeoutError:
            pass
    await asyncio.sleep(0)  # what ends in the same moment goes in together


def _until(
    board: Board, inbox: Inbox, offer: Offer, now: float, grace: float, came: float | None
) -> float | None:
    """Return until when to wait at most for a change, None to go on now."""
    if inbox.urgent:
        return None
    running = [call for call in board.running if call.name != "wait"]
    if any(call.tool is not None and call.tool.options.reply == "wait" for call in running):
        return _FOREVER
    if inbox.waking:
        return None
    cost, waits = offer.cost, offer.waits
    if waits:
        if not all(wait.over(board, now) for wait in waits):
            return min(
                (w.deadline for w in waits if w.deadline is not None and w.deadline > now), default=_FOREVER
            )
        return _more(now, cost, came) if _soon(running, now, cost, came) else None
    if not running:
        return None
    if any(not call.done and _interrupts(call) for call in offer.fresh):
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
        if due is None:
            if now < came + cost - _TICK:
                return True
        elif now + due <= came + cost + _TICK:
            return True
    return False


def _more(now: float, cost: float, came: float | None) -> float:
    """Return when to look again for what is due."""
    return _FOREVER if came is None else max(came + cost, now) + 2 * _TICK


def overwrite(messages: Sequence[Message], delivery: Delivery) -> bool:
    """Put late results where their placeholders stand, when only a little text has followed these.

    So a model finds a result beside its call. Something else must go in as well, since the
    conversation would else end with the model's own words. Returns whether any was put.
    """
    if not delivery.interrupts and not delivery.notes:
        return False
    end = len(messages)
    lost = 0
    while end and messages[end - 1].role == "assistant" and not messages[end - 1].calls:
        lost += len(messages[end - 1].text)
        end -= 1
    if lost > _REWRITTEN:
        return False
    late = {call.id: call for call in delivery.results if call.told == "running"}
    put = False
    while end and messages[end - 1].role == "tool":
        end -= 1
        call = late.get(messages[end].call_id or "")
        if call is not None:
            messages[end].content, call.told, put = call.text, "done", True
    return put


def compose(
    group: Sequence[Call],
    board: Board,
    delivery: Delivery,
    *,
    markup: Markup | None = None,
    plain: bool = False,
    late: bool = False,
) -> list[Message]:
    """Return the messages of one boundary, and mark what they tell.

    First, unless the model writes `markup`, a tool message for each call of `group`, the
    calls of the last assistant message, in its order; then all else as one message of
    blocks. With `late`, results of earlier calls are tool messages, too. With `plain`,
    interrupts from a user alone are given as the user's own words.
    """
    messages: list[Message] = []
    delivered = {id(call) for call in delivery.results}
    for call in group if markup is None else ():
        there = id(call) in delivered
        call.told = "done" if there else "running"
        messages.append(Message("tool", call.text if there else placeholder(call.id), call_id=call.id))
    owed = [call for call in delivery.results if call.told != "done"]
    for call in delivery.results:
        call.told = "done"
    if late and markup is None:
        messages += [Message("tool", call.text, call_id=call.id) for call in owed]
        owed = []
    if plain and not owed and not delivery.notes and all(i.source == "user" for i in delivery.interrupts):
        text = "\n\n".join(item.text for item in delivery.interrupts)
        return [*messages, Message("user", text)] if text else messages
    form = markup or _MARKUP
    first, last = delivery.apart(owed)
    blocks = [encode_interrupt(call.id, call.text, form) for call in first]
    blocks += [encode_interrupt(item.source, item.text, form) for item in delivery.interrupts]
    blocks += [encode_interrupt(call.id, call.text, form) for call in last]
    blocks += [encode_interrupt("system", note, form) for note in delivery.notes]
    if blocks:
        messages.append(Message("user", "\n".join(blocks), interrupt=True))
    return messages
