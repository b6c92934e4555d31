"""One conversation of an agent with a model whose calls run beside it.

A turn is a model step (`llm/N`): the reply streams, each call starts as soon as
its arguments close. After it the session waits until something is worth telling,
and hands it over (`deliver/N`). Both are facts of the journal: after a crash the
same messages are made again and nothing finished is asked or called twice.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from agentflow.errors import (
    ContextOverflow,
    EndpointUnavailable,
    LimitExceeded,
    RemoteProtocolError,
    RunError,
    ToolRetry,
)
from agentflow.runtime.ledger import decode, encode
from agentflow.session.blocks import BUILTINS, TRANSFER, names
from agentflow.session.builtin_calls import Wait, answer
from agentflow.session.call import Board, Call
from agentflow.session.carrier import ANONYMOUS
from agentflow.session.delivery import Delivery, Offer, compose, overwrite, wait_for_delivery
from agentflow.session.estimates import frozen_estimates
from agentflow.session.persona import Persona
from agentflow.session.references import Reference, find_references
from agentflow.session.step import LOST_REPLIES, MAX_ARGUMENTS, ModelStep, Written
from agentflow.session.window import called_ids, compact
from agentflow_protocols.chat import CallReady, Message, Reply, ToolCall
from agentflow_protocols.chat.validate import check_messages
from agentflow_protocols.trace import Compacted, HandedOff, Interrupted, Trapped

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Session"]

Deps = TypeVar("Deps")

EMPTY_TRAPS = 3  # waits for nothing, one after the other, that end a run
CHAIN = 100  # calls that may wait for one another in a row
VIOLATIONS = 5  # replies in a row that break the protocol, after which a run ends
_OUR_ID = re.compile(r"c(\d{8})")
_HARMLESS = ("stray_end", "stray_head")  # nothing was lost: not worth a request of its own


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
        self._violations = 0
        self._checked = 0
        self._step = ModelStep(context, self._board, self._call)
        self._artifacts = False
        self._broken = False  # whether the last reply lost something by breaking the markup
        self._notes: list[str] = []  # what was wrong with the reply, for the next boundary
        self._goes_on = False  # whether the last reply in markup was cut for something not urgent
        self._unread: list[str] = []  # calls whose outcome went in behind the last reply
        self._said = ""  # the answer so far, when it goes on after a cut
        self._used: frozenset[str] = frozenset()  # ids of calls that were made before this session
        self._told: tuple[str, ...] = ()  # agents that know how long their tools take

    async def aclose(self) -> None:
        """Cancel the calls that still run and wait for them."""
        await self._board.aclose()

    async def converse(self) -> Reply:
        """Go on until the model has answered, or has handed over (`handed_to`), and return that reply."""
        self.handed_to = None
        markup = self.persona.carrier.markup
        self._used = frozenset(called_ids(self.messages, markup)) if markup else frozenset()
        self._tell_estimates()
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
                return self._answered(written)

    def _answered(self, written: Written) -> Reply:
        """Return the final reply; in markup, with the text of its answer alone."""
        if self.persona.carrier.markup is None:
            return written.reply
        return replace(written.reply, message=replace(written.reply.message, content=self._said.strip()))

    def _tell_estimates(self) -> None:
        """Let the model know how long its tools take: the same all through a run."""
        persona = self.persona
        if persona.name not in self._told and persona.beside:
            self._told += (persona.name,)
            persona.estimates = frozen_estimates(self._context, persona.name, persona.tools)

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
            late = self._board.calls if self.persona.carrier.late_results else ()
            check_messages(self.messages, self._checked, late)
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
        running = [call.id for call in self._board.running] + self._unread
        kept, dropped = compact(self.messages, running, self.persona.carrier.markup)
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
            self._shorten(*compact(self.messages, data["running"], self.persona.carrier.markup))
            number += 1

    def _shorten(self, kept: list[Message], dropped: int) -> None:
        self.messages[:] = kept
        self._checked = 0
        self._step.restart()
        self._context.emit(Compacted(dropped, len(kept)))

    def _call(self, ready: CallReady, key: str, group: list[Call]) -> None:
        """Start the call that the model has just written, and add it to those of its reply.

        With tool calls it gets an id of our own, in markup it keeps the model's.
        """
        ledger, board = self._context.ledger, self._board
        if len(ready.call.arguments) > MAX_ARGUMENTS:
            much = f"arguments of more than {MAX_ARGUMENTS} characters: write less, or call in parts"
            ready = CallReady(ready.index, replace(ready.call, arguments="{}"), much)
        replayed = ledger.recorded and ledger.recall(key) is not None
        written = self._identified(ready.call, replayed)
        if written is None:
            return
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
            self._step.leaving = True
        if tool is None and ready.fault is None and self._own(written.name):
            call = board.own(written, lambda call: self._answer(call, group))
        else:
            fault = ready.fault or (None if tool else self._unknown(written.name))
            needs, missing = self._needs(written.arguments, group)
            call = board.start(written, tool, fault or missing, replayed, needs)
        if written.extra is not None and written.extra.get(ANONYMOUS):
            call.told = "done"  # nobody waits for its result
            if not call.own and (wrong := call.fault or _refused(call)):
                self._notes.append(f"a call without an id was not made: {wrong}")
        group.append(call)

    def _identified(self, written: ToolCall, replayed: bool) -> ToolCall | None:
        """Return the call under the id that it has in this conversation; None when it can't have one."""
        board = self._board
        if self.persona.carrier.markup is None:
            if replayed and _OUR_ID.fullmatch(written.id):
                board.new_id()
                return written
            return ToolCall(board.new_id(), written.name, written.arguments, written.extra)
        if not written.id:
            return ToolCall(board.new_id(), written.name, written.arguments, {ANONYMOUS: True})
        if written.id in board.calls or written.id in self._used:
            self._notes.append(
                f"the id {written.id} was used before, so this call of {written.name or 'a tool'} was not"
                " made: write it again with a new id"
            )
            return None
        return written

    def _needs(self, arguments: str, group: Sequence[Call]) -> tuple[Mapping[Reference, Call], str | None]:
        """Return the calls that arguments name, and what is wrong with a name."""
        if "$" not in arguments or not self.persona.references:
            return {}, None
        needs: dict[Reference, Call] = {}
        board = self._board
        for reference in find_references(arguments, lambda name: board.named(name, group) is not None):
            needed = board.named(reference.call, group)
            if needed is None:
                return {}, f"`{reference.text}`: there is no call {reference.call} before this one"
            needs[reference] = needed
        if any(needed.depth >= CHAIN for needed in needs.values()):
            return {}, f"a chain of more than {CHAIN} calls: wait for results, then go on with them"
        return needs, None

    def _own(self, name: str) -> bool:
        return name in BUILTINS or name in self.persona.handoffs

    def _unknown(self, name: str) -> str:
        known = [spec.name for spec in self.persona.specs(self._artifacts)]
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known) or 'none'}"
        return f"there is no tool `{name}`: {hint}"

    async def _answer(self, call: Call, group: Sequence[Call]) -> str | None:
        """Answer one of the session's own calls; None leaves `wait` to the delivery."""
        if call.name in self.persona.handoffs:
            return f"the conversation goes on with {call.name.removeprefix(TRANSFER)}"
        return await answer(self._context, self._board, call, group)

    # The boundary.

    async def _over(self, written: Written) -> bool:
        """Do what follows a reply; return whether it was the answer."""
        board, inbox = self._board, self._context.inbox
        key = f"deliver/{self._turn}"
        known = self._context.ledger.recall(key) if self._context.ledger.recorded else None
        final = self._judge(written)
        if known is None and final:
            await self._finish_unheard()
            owed = any(not call.silent for call in board.owed)
            if not owed and not inbox.waking:
                return True
            if owed and not inbox.waking and await self._finish_early() and not inbox.waking:
                return True
        if known is not None:
            delivery = await self._same_delivery(cast("dict[str, list[object]]", decode(known.output)))
        else:
            delivery = await self._next_delivery(written)
        self._notes = []
        self._context.ledger.claim(key)
        self._hand_over(key, delivery, written, known is None)
        return False

    def _judge(self, written: Written) -> bool:
        """Return whether a reply may be the answer, and note what was wrong with it."""
        if self.persona.carrier.markup is None:
            return not written.calls and not written.cut
        went_on = bool(written.calls) or written.trap is not None
        self._said = written.answer if went_on or not self._goes_on else self._said + written.answer
        urgent = self._context.inbox.urgent or any(call.done and call.urgent for call in self._board.owed)
        self._goes_on = written.cut and not urgent
        self._notes += [violation.message for violation in written.violations]
        self._broken = len(self._notes) > len(written.violations) or any(
            violation.kind not in _HARMLESS for violation in written.violations
        )
        self._violations = self._violations + 1 if self._broken else 0
        if self._violations >= VIOLATIONS:
            raise RemoteProtocolError(
                f"agent {self.persona.name}: the model broke the markup in {VIOLATIONS} replies in a row:"
                f" {self._notes[-1][:300]}"
            )
        unanswered = bool(written.calls) and not written.answer.strip() and bool(self._board.owed)
        return not (written.cut or written.trap or self._broken or unanswered)

    async def _finish_unheard(self) -> None:
        """Wait for calls whose outcome the model need not be told, when nothing else is to be waited for."""
        board = self._board
        while self.persona.on_finish == "wait" and board.running and not self._context.inbox.waking:
            if not all(call.silent or call.told == "done" for call in board.running):
                return
            board.changed.clear()
            if board.error is not None:
                raise board.error
            await board.change()

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
        context, board, inbox = self._context, self._board, self._context.inbox
        waits = self._waits(written)
        self._count_traps(waits)
        if any(not wait.over(board, context.clock.time()) for wait in waits):
            context.emit(Trapped(tuple(call.id for wait in waits for call in wait.wanted)))
        trap = waits[0] if waits and waits[0].call is None else None
        in_vain = trap is not None and trap.empty
        if not (written.cut or self._broken):
            cost = self._step.cost_of(self.persona.carrier)
            grace = cost if self.persona.grace is None else self.persona.grace
            await wait_for_delivery(board, inbox, context.clock, Offer(written.calls, waits, cost, grace))
        if trap is not None and (in_vain or (trap.empty and not inbox.waking)):
            self._notes.append(trap.in_vain)
        elif trap is not None and trap.unknown:
            self._notes.append(f"the trap names {names(trap.unknown[:5])}: there is no such call")
        for wait in waits:
            if wait.call is not None:
                board.tell_wait(wait.call, wait.text(board))
        results = sorted((call for call in board.owed if call.done), key=lambda call: call.ended)
        return Delivery(results, inbox.take(), self._notes)

    def _waits(self, written: Written) -> list[Wait]:
        """Return what the model said that it waits for."""
        board, now = self._board, self._context.clock.time()
        every, inbox = self.persona.trap == "all", self._context.inbox
        if written.trap is not None:
            return [Wait(board, inbox, written.trap.ids, every=every)]
        return [
            Wait.of_call(board, inbox, call, written.calls, now, every)
            for call in written.calls
            if call.name == "wait" and call.own and not call.done
        ]

    def _count_traps(self, waits: Sequence[Wait]) -> None:
        if not waits:
            return
        self._empty_traps = self._empty_traps + 1 if all(wait.empty for wait in waits) else 0
        if self._empty_traps >= EMPTY_TRAPS:
            for wait in waits:
                wait.widen()
            if all(wait.empty for wait in waits):
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
        notes = [str(note) for note in data.get("notes", ())]
        return Delivery(results, self._context.inbox.take_seqs(seqs), notes)

    def _hand_over(self, key: str, delivery: Delivery, written: Written, record: bool) -> None:
        """Put the boundary's messages into the conversation, and down."""
        context = self._context
        if record:
            fact = {
                "results": [call.id for call in delivery.results],
                "interrupts": [item.seq for item in delivery.interrupts],
                **({"notes": delivery.notes} if delivery.notes else {}),
            }
            context.ledger.put(key, encode(fact, "a delivery"))
        self._unread = [call.id for call in delivery.results]
        carrier, board = self.persona.carrier, self._board
        late = [
            call
            for call in delivery.results
            if call.told != "done" and (carrier.markup is not None or call not in written.calls)
        ]
        plain = not self.persona.tools and carrier.markup is None
        if carrier.markup is None and overwrite(self.messages, delivery):
            self._step.restart()
        self.messages += compose(
            written.calls, board, delivery, markup=carrier.markup, plain=plain, late=carrier.late_results
        )
        self._artifacts = self._artifacts or any("`read`" in call.text for call in delivery.results)
        self._step.awaited = any(item.source == "user" for item in delivery.interrupts)
        first, last = delivery.apart(late)
        put_in = [(call.id, call.text) for call in first]
        put_in += [(item.source, item.text) for item in delivery.interrupts]
        put_in += [(call.id, call.text) for call in last]
        for source, text in put_in:
            context.emit(Interrupted(source, text[:2000], cut=written.cut))
        for note in delivery.notes:
            context.emit(Interrupted("system", note))
        if self.handed_to is not None:
            context.emit(HandedOff(self.persona.name, self.handed_to))


def _refused(call: Call) -> str | None:
    """Return what is wrong with the arguments of a call that never reports."""
    if call.tool is not None and not call.needs:
        try:
            call.tool.validate(call.arguments)
        except ToolRetry as error:
            return str(error)
    return None


def _last_number(messages: Sequence[Message]) -> int:
    """Return the highest number of our own call ids in a conversation."""
    numbers = [
        int(match.group(1))
        for message in messages
        for call in message.calls
        if (match := _OUR_ID.fullmatch(call.id))
    ]
    return max(numbers, default=0)
