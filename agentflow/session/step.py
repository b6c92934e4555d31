"""One model step: a request, its reply as it streams, and what is put down of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, TypeVar

from agentflow import endpoints
from agentflow.endpoints import Decision, OnEvent
from agentflow.errors import EndpointError, EndpointUnavailable
from agentflow.runtime.ledger import digest, encode
from agentflow.session.call import Board, Call
from agentflow.session.carrier import CUT_OFF, Carrier, CarrierStream, Recorded
from agentflow.session.cut import Cut
from agentflow.session.delivery import worth_a_cut
from agentflow.session.markup_stream import MarkupStream
from agentflow_protocols.chat import (
    CallReady,
    ChatRequest,
    Message,
    ReasoningPiece,
    Reply,
    TextPiece,
    Usage,
)
from agentflow_protocols.cml import ProtocolViolation, TrapReached
from agentflow_protocols.trace import (
    Admitted,
    FellBack,
    ModelCalled,
    ModelFinished,
    ReasoningDelta,
    Retrying,
    TextDelta,
    Throttled,
)

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.runtime.inbox import Interrupt
    from agentflow.session.persona import Persona

__all__ = ["LOST_REPLIES", "MAX_ARGUMENTS", "ModelStep", "Written"]

Deps = TypeVar("Deps")

_FIRST_COST = 0.5  # seconds that a request is worth until one was seen
LOST_REPLIES = 3  # replies cut by the network, one after the other, that end a run
MAX_ARGUMENTS = 1_048_576  # characters of one call; a block in markup has its own bound
_NOTHING = Reply(Message("assistant"), Usage(), "cut")


@dataclass(slots=True)
class Written:
    """A reply and the calls that were started from it; `cut` when an interrupt ended it early.

    In markup, `trap` is what ended it, `answer` the text after its last block, and
    `violations` are what broke the protocol.
    """

    reply: Reply
    calls: list[Call]
    cut: bool = False
    trap: TrapReached | None = None
    answer: str = ""
    violations: list[ProtocolViolation] = field(default_factory=list)


class ModelStep:
    """Does the model steps of a session, one after the other.

    The hash of a step's input is chained over its messages, and only new messages
    are put down, so that neither grows with the square of the conversation.
    """

    def __init__(
        self, context: Context[Deps], board: Board, start_call: Callable[[CallReady, str, list[Call]], None]
    ) -> None:
        """Start calls by `start_call`, which adds each to the calls of its reply."""
        self.begun = False
        """Whether anything came of the reply that is under way or was lost."""
        self.leaving = False
        """Set while a reply is read, to leave it after this block: somebody else goes on."""
        self.awaited = False
        """Set before a reply to something that a person put in: its request goes before others."""
        self._context = context
        self._board = board
        self._start_call = start_call
        self._chain = ""
        self._chained = 0
        self._hashed: tuple[int, bytes, str] = (0, b"", "")
        self._dropped = 0  # replies in a row that the network cut and that are gone on with

    def restart(self) -> None:
        """Chain from the first message again: the conversation was shortened."""
        self._chain, self._chained, self._hashed = "", 0, (0, b"", "")

    def request(self, persona: Persona, messages: Sequence[Message], artifacts: bool) -> ChatRequest:
        """Return the request for the next reply."""
        return ChatRequest(
            [*persona.system_message(), *messages],
            tools=persona.specs(artifacts),
            settings=persona.settings,
            output=persona.output,
            output_name=persona.output_name,
        )

    async def run(
        self, turn: int, persona: Persona, request: ChatRequest, messages: Sequence[Message]
    ) -> Written:
        """Return the reply, from the journal or from the model, with its calls started."""
        context, key = self._context, f"llm/{turn}"
        ledger = context.ledger
        data, hashed = b"", ""
        if ledger.durable:
            if self._hashed[0] != turn:  # else a lost reply is asked for again
                self._hashed = (turn, *self._input(request, messages))
            _, data, hashed = self._hashed
        markup = persona.carrier.markup
        recorded = Recorded.find(ledger, key, hashed, data, markup)
        context.emit(ModelCalled(persona.name, persona.carrier.name, turn, len(messages)))
        stream: CarrierStream
        if recorded is not None:
            stream = recorded if markup is None else MarkupStream(recorded, markup)
            written = await self._read(stream, key, persona, replayed=True)
            written.violations += recorded.lost
            written.cut = recorded.reply.finish == "cut" and not recorded.lost
        else:
            request.idempotency_key = f"{context.run_id}/{key}"
            request.group = context.state.root.id
            request.priority = 1 if self.awaited else 0
            if ledger.durable:
                await ledger.barrier()

            stream = persona.carrier.stream(request, context.resources, self._told(persona.carrier.name))
            written = await self._read(stream, key, persona, replayed=False)
        self._finish(turn, persona, written, recorded, stream, data, hashed)
        return written

    def _told(self, model: str) -> OnEvent:
        """Return what makes events of the endpoint's decisions on a request."""
        emit = self._context.emit
        throttled = False

        def told(decision: Decision) -> None:
            nonlocal throttled
            match decision:
                case endpoints.Admitted(waited_s):
                    if throttled:
                        emit(Admitted(model, waited_s))
                    throttled = False
                case endpoints.Retrying(attempt, wait_s, error):
                    emit(Retrying(model, attempt, wait_s, str(error)[:300]))
                case endpoints.Waiting(name, binds):
                    throttled = True
                    emit(Throttled(name, binds))
                case endpoints.FellBack(source, target, error):
                    emit(FellBack(source, target, "" if error is None else str(error)[:300]))

        return told

    def _input(self, request: ChatRequest, messages: Sequence[Message]) -> tuple[bytes, str]:
        """Return the step's new input as JSON, and the hash of all of it."""
        offset = len(request.messages) - len(messages)
        new = {str(i): messages[i].to_json() for i in range(self._chained, len(messages))}
        shown = {
            "system": digest(*(message.text for message in request.messages[:offset])),
            "messages": new,
            "tools": {spec.name: digest(encode(spec.parameters, spec.name)) for spec in request.tools},
        }
        data = encode(shown, "a request")
        self._chain, self._chained = digest(self._chain, data), len(messages)
        return data, self._chain

    async def _read(self, stream: CarrierStream, key: str, persona: Persona, replayed: bool) -> Written:
        """Read a reply to its end, to a trap, or until something cuts it outside a block."""
        written = Written(_NOTHING, [])
        emit, start = self._context.state.emit, self._start_call
        watched = persona.carrier.markup is not None and not replayed
        self.begun = self.leaving = left = False
        cut = Cut()
        try:
            with cut:
                async with stream:
                    if not replayed:
                        self._watch(stream, cut, persona)
                    async for delta in stream:
                        self.begun = True
                        kind = type(delta)
                        if kind is TextPiece:
                            emit(TextDelta(delta.text))  # type: ignore[union-attr]
                        elif kind is CallReady:
                            start(delta, f"{key}/call/{len(written.calls)}", written.calls)  # type: ignore[arg-type]
                        elif kind is ReasoningPiece:
                            emit(ReasoningDelta(delta.text))  # type: ignore[union-attr]
                        elif kind is TrapReached:
                            written.trap = delta  # type: ignore[assignment]
                        elif kind is ProtocolViolation:
                            written.violations.append(delta)  # type: ignore[arg-type]
                        if watched and await self._leaves(stream, cut, persona, kind is CallReady):
                            left = True
                            break
            self._dropped = 0
        except EndpointError as error:
            if not written.calls:
                left = self._goes_on(stream, error)
                if not left:
                    raise
        finally:
            self._context.inbox.on_put = self._board.on_end = None
        return self._written(stream, written, cut.fired or left)

    def _goes_on(self, stream: CarrierStream, error: EndpointError) -> bool:
        """Return whether the model can go on from the text of a reply that the network cut: in markup."""
        text = isinstance(stream, MarkupStream) and stream.reply.message.text
        if not text or not isinstance(error, EndpointUnavailable):
            return False
        self._dropped += 1
        return self._dropped < LOST_REPLIES

    def _watch(self, stream: CarrierStream, cut: Cut, persona: Persona) -> None:
        """Let what comes meanwhile cut the reply: at once outside a block, else at its end."""
        inbox, board = self._context.inbox, self._board
        eager = persona.carrier.markup is not None and persona.carrier.cost == 0

        def want() -> None:
            if stream.critical:
                cut.wanted = True
            else:
                cut.now()

        def put(interrupt: Interrupt) -> None:
            if interrupt.priority == "now" or (eager and interrupt.priority == "next"):
                want()

        def ended(call: Call) -> None:
            if call.told != "done" and (call.urgent or (eager and call.news)):
                want()

        inbox.on_put, board.on_end = put, ended
        if inbox.urgent or (eager and (inbox.waking or any(call.news for call in board.owed))):
            want()

    def cost_of(self, carrier: Carrier) -> float:
        """Return the seconds that putting something in is worth: given, or learned."""
        if carrier.cost is not None:
            return carrier.cost
        return self._context.runtime.latencies.get(carrier.name, _FIRST_COST)

    async def _leaves(self, stream: CarrierStream, cut: Cut, persona: Persona, block: bool) -> bool:
        """Return whether a reply in markup is to be left after what was just read of it."""
        if block:
            await asyncio.sleep(0)  # what comes at the very end of a block has come
        if stream.critical:
            return False
        if cut.wanted or self.leaving:
            return True
        cost = self.cost_of(persona.carrier)
        return block and worth_a_cut(self._board, self._context.clock.time(), cost)

    def _written(self, stream: CarrierStream, written: Written, cut: bool) -> Written:
        """Complete what was read; the reply's message gets the session's own call ids."""
        written.reply, written.cut = stream.reply, cut
        message = written.reply.message
        if isinstance(stream, MarkupStream):
            written.answer = stream.answer
            return written
        written.answer = message.text
        if written.calls:
            for call, own in zip(message.calls, written.calls, strict=False):
                call.id = own.id
                if len(call.arguments) > MAX_ARGUMENTS:
                    call.arguments = "{}"  # it was refused, and need not be sent again and again
            message.calls = message.calls[: len(written.calls)]
        return written

    def _finish(
        self,
        turn: int,
        persona: Persona,
        written: Written,
        recorded: Recorded | None,
        stream: CarrierStream,
        data: bytes,
        hashed: str,
    ) -> None:
        """Count, put down and tell the reply."""
        context, reply = self._context, written.reply
        cost = stream.cost
        context.budget.charge(reply.usage, cost)
        saved = 0
        if recorded is None:
            name, lengths = persona.carrier.name, context.runtime.lengths
            _learn(context.runtime.latencies, name, stream.first_token_s)
            if written.cut:
                saved = max(0, round(lengths.get(name, 0.0)) - reply.usage.output_tokens)
            else:
                _learn(lengths, name, reply.usage.output_tokens)
        if recorded is None or not recorded.whole:
            finish = "cut" if written.cut else reply.finish
            fact = {
                "message": reply.message.to_json(),
                "usage": reply.usage,
                "finish": finish,
                "model": reply.model,
                "cost": cost,
            }
            if lost := [asdict(violation) for violation in written.violations if violation.kind in CUT_OFF]:
                fact["lost"] = lost
            if context.ledger.durable:
                output = encode(fact, "a reply")
                began = time.time() - stream.seconds
                context.ledger.put(f"llm/{turn}", output, input=data, input_hash=hashed, started=began)
        context.emit(
            ModelFinished(
                persona.name,
                reply.model or persona.carrier.name,
                turn,
                "cut" if written.cut else reply.finish,
                reply.usage,
                cost,
                stream.first_token_s,
                stream.seconds,
                replayed=recorded is not None,
                saved_tokens=saved,
            )
        )


def _learn(means: dict[str, float], name: str, value: float) -> None:
    known = means.get(name)
    means[name] = value if known is None else known + 0.3 * (value - known)
