"""One model step: a request, its reply as it streams, and what is put down of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from agentflow.errors import EndpointError
from agentflow.runtime.ledger import digest, encode
from agentflow.session.call import Call
from agentflow.session.carrier import CarrierStream, Recorded
from agentflow_protocols.chat import (
    CallReady,
    ChatRequest,
    Message,
    ReasoningPiece,
    Reply,
    TextPiece,
)
from agentflow_protocols.trace import ModelCalled, ModelFinished, ReasoningDelta, Retrying, TextDelta

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.session.session import Persona

__all__ = ["ModelStep", "Written"]

Deps = TypeVar("Deps")


@dataclass(slots=True)
class Written:
    """A reply and the calls that were started from it; `cut` when an interrupt ended it early."""

    reply: Reply
    calls: list[Call]
    cut: bool = False


class ModelStep:
    """Does the model steps of a session, one after the other.

    The hash of a step's input is chained over its messages, and only new messages
    are put down, so that neither grows with the square of the conversation.
    """

    def __init__(self, context: Context[Deps], start_call: Callable[[CallReady, str], Call]) -> None:
        self.begun = False
        """Whether anything came of the reply that is under way or was lost."""
        self._context = context
        self._start_call = start_call
        self._chain = ""
        self._chained = 0
        self._hashed: tuple[int, bytes, str] = (0, b"", "")

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
        recorded = Recorded.find(ledger, key, hashed, data)
        context.emit(ModelCalled(persona.name, persona.carrier.name, turn, len(messages)))
        if recorded is not None:
            written = await self._read(recorded, key, cut_by_inbox=False)
            written.cut = recorded.reply.finish == "cut"
        else:
            request.idempotency_key = f"{context.run_id}/{key}"
            if ledger.durable:
                await ledger.barrier()

            def on_retry(attempt: int, wait_s: float, error: EndpointError) -> None:
                context.emit(Retrying(persona.carrier.name, attempt, wait_s, str(error)[:300]))

            stream = persona.carrier.stream(request, context.resources, on_retry)
            written = await self._read(stream, key, cut_by_inbox=True)
        self._finish(turn, persona, written, recorded, stream if recorded is None else recorded, data, hashed)
        return written

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

    async def _read(self, stream: CarrierStream, key: str, cut_by_inbox: bool) -> Written:
        """Read a reply to its end, or until something urgent cuts it."""
        context, calls = self._context, list[Call]()
        emit = context.state.emit
        self.begun = False
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as cut, stream:
                if cut_by_inbox:
                    context.inbox.cut = lambda: cut.reschedule(loop.time())
                    if context.inbox.urgent:
                        context.inbox.cut()
                async for delta in stream:
                    self.begun = True
                    kind = type(delta)
                    if kind is TextPiece:
                        emit(TextDelta(delta.text))  # type: ignore[union-attr]
                    elif kind is CallReady:
                        calls.append(self._start_call(delta, f"{key}/call/{len(calls)}"))  # type: ignore[arg-type]
                    elif kind is ReasoningPiece:
                        emit(ReasoningDelta(delta.text))  # type: ignore[union-attr]
        except TimeoutError:
            if not cut.expired():
                raise
            return self._written(stream.reply, calls, True)
        except EndpointError:
            if not calls:
                raise
            return self._written(stream.reply, calls, False)
        finally:
            context.inbox.cut = None
        return self._written(stream.reply, calls, False)

    def _written(self, reply: Reply, calls: list[Call], cut: bool) -> Written:
        """Give the reply's message the session's own call ids."""
        message = reply.message
        if calls:
            for written, call in zip(message.calls, calls, strict=False):
                written.id = call.id
            message.calls = message.calls[: len(calls)]
        return Written(reply, calls, cut)

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
        if recorded is None:
            name = persona.carrier.name
            learned = context.runtime.latencies.get(name)
            first = stream.first_token_s
            context.runtime.latencies[name] = first if learned is None else learned + 0.3 * (first - learned)
        if recorded is None or not recorded.whole:
            finish = "cut" if written.cut else reply.finish
            fact = {
                "message": reply.message.to_json(),
                "usage": reply.usage,
                "finish": finish,
                "model": reply.model,
                "cost": cost,
            }
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
            )
        )
