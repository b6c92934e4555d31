"""A reply in markup, read out of a stream of text: calls, traps and faults as they close."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agentflow_protocols import cml
from agentflow_protocols.chat import (
    CallReady,
    Delta,
    Message,
    ReasoningPiece,
    Reply,
    TextPiece,
    ToolCall,
)

if TYPE_CHECKING:
    from agentflow.session.carrier import CarrierDelta, CarrierStream

__all__ = ["MarkupStream"]


class MarkupStream:
    """The deltas of a reply that is text in markup. What follows a trap is not read.

    A malformed call that has an id becomes a call with its fault, so that the model is
    told by that id. `reply` holds the text as it was written; a block that the end
    cut off is left out of it. `answer` is the text after the last block.
    """

    def __init__(self, inner: CarrierStream, markup: cml.Markup) -> None:
        self._inner = inner
        self._parser = cml.Parser(markup)
        self._last = markup.end[-1]
        self._trap = cml.encode_trap((), markup)
        self._iterator: AsyncIterator[CarrierDelta] | None = None
        self._ready: deque[CarrierDelta] = deque()
        self._raw: list[str] = []
        self._size = 0
        self._whole = 0  # characters up to the last point outside a block
        self._calls = 0
        self._finish: str | None = None
        self._ended = False
        self._answer: list[str] = []

    async def __aenter__(self) -> Self:
        self._iterator = aiter(await self._inner.__aenter__())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    def __aiter__(self) -> MarkupStream:
        return self

    async def __anext__(self) -> CarrierDelta:
        assert self._iterator is not None, "the stream is read inside its `async with`"
        while not self._ready:
            if self._ended or self._finish is not None:
                raise StopAsyncIteration
            try:
                delta = await self._iterator.__anext__()
            except StopAsyncIteration:
                self._ended = True
                if self._inner.reply.stopped == self._trap:  # a server tells the stop text, and leaves it out
                    self._feed(self._trap)
                self._take(self._parser.end())
                continue
            if isinstance(delta, TextPiece):
                self._feed(delta.text)
            elif isinstance(delta, ReasoningPiece):
                self._ready.append(delta)
        return self._ready.popleft()

    @property
    def critical(self) -> bool:
        """Whether a block is being written: then nothing may be put in."""
        return self._parser.critical and self._finish is None

    @property
    def answer(self) -> str:
        """The text after the last block."""
        return "".join(self._answer)

    @property
    def reply(self) -> Reply:
        """The reply, its message's text as the model wrote it."""
        inner = self._inner.reply
        text = "".join(self._raw)[: self._whole]
        said = inner.message
        message = Message("assistant", text, reasoning=said.reasoning, refusal=said.refusal)
        return replace(inner, message=message, finish=self._finish or inner.finish)

    @property
    def cost(self) -> float | None:
        """USD, None when the price is unknown."""
        return self._inner.cost

    @property
    def first_token_s(self) -> float:
        """Seconds from the request to the first delta."""
        return self._inner.first_token_s

    @property
    def seconds(self) -> float:
        """Seconds from the request to the end."""
        return self._inner.seconds

    def _feed(self, text: str) -> None:
        """Read a piece block by block, so that the place of a trap is known."""
        at = 0
        while at < len(text) and self._finish is None:
            found = text.find(self._last, at)
            end = found + 1 if found >= 0 else len(text)
            piece = text[at:end]
            self._raw.append(piece)
            self._size += len(piece)
            self._take(self._parser.feed(piece))
            if self._finish is None and not self._parser.critical:
                self._whole = self._size
            at = end

    def _take(self, events: Sequence[cml.Event]) -> None:
        for event in events:
            if self._finish is not None:
                return
            if isinstance(event, cml.TextDelta):
                self._answer.append(event.text)
                self._ready.append(TextPiece(event.text))
            elif isinstance(event, cml.ReasoningDelta):
                self._ready.append(ReasoningPiece(event.text))
            elif isinstance(event, cml.CallReady):
                self._call(ToolCall(event.id or "", event.name, event.arguments), None)
            elif isinstance(event, cml.TrapReached):
                self._answer.clear()
                self._finish, self._whole = "trap", self._size
                self._ready.append(event)
            elif isinstance(event, cml.ProtocolViolation):
                self._violated(event)

    def _violated(self, event: cml.ProtocolViolation) -> None:
        if event.kind == "forged_interrupt":
            self._finish, self._whole = "cut", event.at
        if event.kind == "bad_body" and event.id is not None:
            self._call(ToolCall(event.id, "", ""), event.message)
        else:
            self._ready.append(event)

    def _call(self, call: ToolCall, fault: str | None) -> None:
        self._answer.clear()
        ready: Delta = CallReady(self._calls, call, fault)
        self._calls += 1
        self._ready.append(ready)
