"""One conversation of an agent with a model whose calls run beside it.

A turn is a model step (`llm/N`): the reply streams, each call starts as soon as
its arguments close. After it the session waits until something is worth telling,
and hands it over (`deliver/N`). Both are facts of the journal: after a crash the
same messages are made again and nothing finished is asked or called twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from agentflow.errors import (
    ContextOverflow,
    EndpointUnavailable,
    LimitExceeded,
    RunError,
    UserError,
)
from agentflow.runtime.ledger import decode, encode
from agentflow.session.blocks import BUILTINS, STANDING, TRANSFER
from agentflow.session.builtin_calls import Wait, answer
from agentflow.session.call import Board, Call
from agentflow.session.carrier import Carrier
from agentflow.session.delivery import Delivery, compose, wait_for_delivery
from agentflow.session.step import ModelStep, Written
from agentflow.session.window import compact
from agentflow.tools import Tool
from agentflow_protocols.chat import CallReady, Json, Message, Reply, Settings, ToolCall, ToolSpec
from agentflow_protocols.chat.validate import check_messages
from agentflow_protocols.trace import Compacted, HandedOff, Interrupted, Trapped

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["OnFinish", "OnOverflow", "Persona", "Session"]

Deps = TypeVar("Deps")
OnFinish = Literal["wait", "cancel", "detach"]
OnOverflow = Literal["compact", "error"]

FIRST_COST = 0.5  # seconds that a request is worth until one was seen
EMPTY_TRAPS = 3  # waits for nothing, one after the other, that end a run
LOST_REPLIES = 3  # replies without a call, cut by the network, that end a run
_OUR_ID = re.compile(r"c(\d{8})")


@dataclass(slots=True)
class Persona:
    """Who speaks for the model's side: an agent's part of a conversation."""

    name: str
    carrier: Carrier
    system: str
    tools: Mapping[str, Tool[..., object]] = field(default_factory=dict)
    handoffs: Mapping[str, ToolSpec] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    output: Mapping[str, Json] | None = None
    output_name: str = "output"
    on_finish: OnFinish = "wait"
    on_overflow: OnOverflow = "compact"
    grace: float | None = None

    def __post_init__(self) -> None:
        for name in self.tools:
            if name in BUILTINS or name.startswith(TRANSFER):
                raise UserError(f"agent {self.name}: a session has its own tool `{name}`; rename yours")

    def specs(self, artifacts: bool) -> list[ToolSpec]:
        """Return what the model may call."""
        specs = [tool.spec for tool in self.tools.values()]
        if any(tool.options.reply != "wait" for tool in self.tools.values()):
            specs += [BUILTINS["wait"], BUILTINS["cancel"], BUILTINS["progress"]]
        if artifacts:
            specs.append(BUILTINS["read"])
        return specs + list(self.handoffs.values())

    def system_message(self) -> list[Message]:
        """Return the system message, with the session's standing words when there are tools."""
        standing = any(tool.options.reply != "wait" for tool in self.tools.values())
        text = "\n\n".join(part for part in (self.system, STANDING if standing else "") if part)
        return [Message("system", text, cache=True)] if text else []


class Session:
    """A conversation. `messages` holds it without the system message."""

    def __init__(self, context: Context[Deps], persona: Persona, messages: list[Message]) -> None:
        self.messages = messages
        self.persona = persona
        self.handed_to: str | None = None
        self._context = context
        self._board = Board(context, _last_number(messages))
        self._turn = 0
        self._empty_traps = 0
        self._checked = 0
        self._step = ModelStep(context, self._call)
        self._artifacts = False

    async def aclose(self) -> None:
        """Cancel the calls that still run and wait for them."""
        await self._board.aclose()

    async def converse(self) -> Reply:
        """Go on until the model has answered, or has handed over (`handed_to`), and return that reply."""
        self.handed_to = None
        while True:
            self._turn += 1
            await self._context.state.gate.passed()
            self._context.budget.check()
            with self._context.state.gate.busy():
                written = await self._reply()
            message = written.reply.message
            if message.calls or message.content or message.refusal:
                self.messages.append(message)
            if await self._over(written) or self._handed_over():
                return written.reply

    def _handed_over(self) -> bool:
        return self.handed_to is not None

    def say(self, text: str) -> None:
        """Add a user message: what is wrong with the answer."""
        self.messages.append(Message("user", text))

    # The model step.

    async def _reply(self) -> Written:
        """Return the model's reply to the conversation, which may have to be shortened first."""
        lost = 0
        compacted = 0
        self._repeat_compactions()
        while True:
            request = self._step.request(self.persona, self.messages, self._artifacts)
            check_messages(self.messages, self._checked)
            self._checked = len(self.messages)
            try:
                return await self._step.run(self._turn, self.persona, request, self.messages)
            except ContextOverflow:
                if not self._compact(compacted):
                    raise
                compacted += 1
            except EndpointUnavailable:
                lost += 1
                if not self._step.begun or lost >= LOST_REPLIES:
                    raise

    def _compact(self, number: int) -> bool:
        """Leave out the oldest messages; False when that is not wished or not possible."""
        if self.persona.on_overflow == "error":
            return False
        running = [call.id for call in self._board.running]
        kept, dropped = compact(self.messages, running)
        if not dropped:
            return False
        key = f"compact/{self._turn}/{number}"
        self._context.ledger.claim(key)
        self._context.ledger.put(key, encode({"running": running}, "a compaction"))
        self._shorten(kept, dropped)
        return True

    def _repeat_compactions(self) -> None:
        """Shorten again what was shortened before a crash, at this same turn."""
        ledger = self._context.ledger
        number = 0
        while ledger.recorded and (fact := ledger.recall(f"compact/{self._turn}/{number}")) is not None:
            data = cast("dict[str, list[str]]", decode(fact.output))
            self._shorten(*compact(self.messages, data["running"]))
            number += 1

    def _shorten(self, kept: list[Message], dropped: int) -> None:
        self.messages[:] = kept
        self._checked = 0
        self._step.restart()
        self._context.emit(Compacted(dropped, len(kept)))

    def _call(self, ready: CallReady, key: str) -> Call:
        """Start the call that the model has just written, under an id of our own."""
        ledger, board = self._context.ledger, self._board
        written = ready.call
        replayed = ledger.recorded and ledger.recall(key) is not None
        if not replayed or not _OUR_ID.fullmatch(written.id):
            written = ToolCall(board.new_id(), written.name, written.arguments, written.extra)
        else:
            board.new_id()
        if not replayed and ledger.durable:
            ledger.claim(key)
            fact = {
                "id": written.id,
                "name": written.name,
                "arguments": written.arguments,
                "extra": written.extra,
                "fault": ready.fault,
            }
            ledger.put(key, encode(fact, "a call"))
        tool = self.persona.tools.get(written.name)
        if written.name in self.persona.handoffs:
            self.handed_to = written.name.removeprefix(TRANSFER)
        if tool is None and ready.fault is None and self._own(written.name):
            return board.own(written, lambda call: self._answer(call))
        fault = ready.fault or (None if tool else self._unknown(written.name))
        return board.start(written, tool, fault, replayed)

    def _own(self, name: str) -> bool:
        return name in BUILTINS or name in self.persona.handoffs

    def _unknown(self, name: str) -> str:
        import difflib

        known = [spec.name for spec in self.persona.specs(self._artifacts)]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known) or 'none'}"
        return f"there is no tool `{name}`: {hint}"

    async def _answer(self, call: Call) -> str | None:
        """Answer one of the session's own calls; None leaves `wait` to the delivery."""
        if call.name in self.persona.handoffs:
            return f"the conversation goes on with {call.name.removeprefix(TRANSFER)}"
        return await answer(self._context, self._board, call)

    # The boundary.

    async def _over(self, written: Written) -> bool:
        """Do what follows a reply; return whether it was the answer."""
        board, inbox = self._board, self._context.inbox
        key = f"deliver/{self._turn}"
        known = self._context.ledger.recall(key) if self._context.ledger.recorded else None
        if known is None and not written.calls and not written.cut:
            if not board.owed and not inbox.waking:
                return True
            if board.owed and not inbox.waking and await self._finish_early():
                return True
        if known is not None:
            delivery = await self._same_delivery(cast("dict[str, list[object]]", decode(known.output)))
        else:
            delivery = await self._next_delivery(written)
        self._context.ledger.claim(key)
        self._hand_over(key, delivery, written, known is None)
        return False

    async def _finish_early(self) -> bool:
        """The model has answered while calls run: end them, let them go, or wait for them."""
        policy = self.persona.on_finish
        if policy == "wait":
            return False
        if policy == "cancel":
            for call in self._board.running:
                await self._board.cancel(call)
        else:
            self._board.detach(self._context.runtime.keep)
        return True

    async def _next_delivery(self, written: Written) -> Delivery:
        """Wait for what is worth a request, and take it."""
        context, board = self._context, self._board
        now = context.clock.time()
        waits = [Wait(board, call, now) for call in written.calls if call.name == "wait" and not call.done]
        self._count_traps(waits)
        if waits and not all(wait.empty for wait in waits):
            context.emit(Trapped(tuple(call.id for wait in waits for call in wait.wanted)))
        cost = context.runtime.latencies.get(self.persona.carrier.name, FIRST_COST)
        grace = self.persona.grace
        await wait_for_delivery(board, context.inbox, context.clock, written.calls, waits, cost, grace)
        for wait in waits:
            board.tell_wait(wait.call, wait.text(board))
        return Delivery([call for call in board.owed if call.done], context.inbox.take())

    def _count_traps(self, waits: Sequence[Wait]) -> None:
        if not waits:
            return
        self._empty_traps = self._empty_traps + 1 if all(wait.empty for wait in waits) else 0
        if self._empty_traps >= EMPTY_TRAPS:
            raise LimitExceeded(
                f"agent {self.persona.name} waited {EMPTY_TRAPS} times while nothing ran", limit="traps"
            )

    async def _same_delivery(self, data: Mapping[str, list[object]]) -> Delivery:
        """Deliver what was delivered here before a crash."""
        board = self._board
        results: list[Call] = []
        for name in data["results"]:
            call = board.calls.get(str(name))
            if call is None:
                raise RunError(
                    f"run {self._context.run_id}: the journal delivers a call it does not know, {name}"
                )
            results.append(call)
        while not all(call.done for call in results):
            board.changed.clear()
            if board.error is not None:
                raise board.error
            if not all(call.done for call in results):
                await board.changed.wait()
        seqs = [cast("int", seq) for seq in data["interrupts"]]
        return Delivery(results, self._context.inbox.take_seqs(seqs))

    def _hand_over(self, key: str, delivery: Delivery, written: Written, record: bool) -> None:
        """Put the boundary's messages into the conversation, and down."""
        context = self._context
        if record:
            fact = {
                "results": [call.id for call in delivery.results],
                "interrupts": [item.seq for item in delivery.interrupts],
            }
            context.ledger.put(key, encode(fact, "a delivery"))
        late = [call for call in delivery.results if call not in written.calls]
        plain = not self.persona.tools
        self.messages += compose(written.calls, self._board, delivery, plain)
        self._artifacts = self._artifacts or any("`read`" in call.text for call in delivery.results)
        for call in late:
            context.emit(Interrupted(call.id, call.text[:2000]))
        for item in delivery.interrupts:
            context.emit(Interrupted(item.source, item.text[:2000], cut=written.cut))
        if self.handed_to is not None:
            context.emit(HandedOff(self.persona.name, self.handed_to))


def _last_number(messages: Sequence[Message]) -> int:
    """Return the highest number of our own call ids in a conversation."""
    numbers = [
        int(match.group(1))
        for message in messages
        for call in message.calls
        if (match := _OUR_ID.fullmatch(call.id))
    ]
    return max(numbers, default=0)
