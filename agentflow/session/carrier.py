"""How a session reaches a model: a stream of deltas for a list of messages.

`Native` speaks to chat APIs with tool calls; `markup_carrier.py` has those that speak
text in markup. `Recorded` says again what the journal knows of a reply, so that the
session has no branches for a replay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeAlias, cast

from agentflow.endpoints import Endpoint, OnEvent
from agentflow.runtime.ledger import Ledger, decode
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat import (
    CallReady,
    ChatRequest,
    Delta,
    Json,
    Message,
    ReasoningPiece,
    Reply,
    TextPiece,
    ToolCall,
    Usage,
)
from agentflow_protocols.cml import Markup, ProtocolViolation, TrapReached, encode_call

__all__ = [
    "ANONYMOUS",
    "CUT_OFF",
    "Carrier",
    "CarrierDelta",
    "CarrierStream",
    "Native",
    "Recorded",
]

CarrierDelta: TypeAlias = Delta | TrapReached | ProtocolViolation

ANONYMOUS = "anonymous"  # in `ToolCall.extra`: the model gave the call no id, and is told nothing of it

CUT_OFF = ("forged_interrupt", "unclosed")  # violations that the text of a reply does not show any more


class CarrierStream(Protocol):
    """One reply as it comes: an async context manager and an async iterator of deltas.

    `reply` is there after the end; `cost` is USD or None; times are in seconds.
    Leaving early closes the request on the wire.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[CarrierDelta]: ...

    @property
    def critical(self) -> bool:
        """Whether a block is being written: then the stream is not left for an interrupt."""

    @property
    def reply(self) -> Reply:
        """The whole reply; of a stream that was left early, what had come of it."""

    @property
    def cost(self) -> float | None:
        """USD, None when the price is unknown."""

    @property
    def first_token_s(self) -> float:
        """Seconds from the request to the first delta."""

    @property
    def seconds(self) -> float:
        """Seconds from the request to the end."""


class Carrier(Protocol):
    """One way to reach a model.

    `markup` is None for a chat API with tool calls. `cost` is the seconds that putting
    something in costs, None for the learned time to the first token; at 0 everything goes
    in as soon as it comes.
    """

    name: str
    cost: float | None

    @property
    def markup(self) -> Markup | None:
        """The markup that the model writes."""

    @property
    def parallel(self) -> bool:
        """Whether the model may write several calls in one reply."""

    @property
    def late_results(self) -> bool:
        """Whether a second result of a call may follow its placeholder as a tool message."""

    def stream(self, request: ChatRequest, resources: Resources, on_event: OnEvent) -> CarrierStream:
        """Return the reply to `request` as a stream that is not yet begun."""


class Native:
    """Chat APIs with tool calls: interrupts go in as messages, at the next boundary.

    `request_cost` is the seconds that a further request costs; None learns them.
    """

    markup: Markup | None = None

    def __init__(self, endpoint: Endpoint, *, request_cost: float | None = None) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.cost = request_cost

    @property
    def parallel(self) -> bool:
        """Whether the model may write several calls in one reply."""
        return self.endpoint.capabilities.parallel_tool_calls

    @property
    def late_results(self) -> bool:
        """Whether the endpoint takes a second result of a call."""
        return self.endpoint.capabilities.late_tool_results

    def stream(self, request: ChatRequest, resources: Resources, on_event: OnEvent) -> CarrierStream:
        """Return the endpoint's stream."""
        return self.endpoint.stream(request, resources=resources, on_event=on_event)


@dataclass(slots=True)
class Recorded:
    """A reply that the journal knows, wholly or up to a crash, as a stream.

    What was cut off by a crash becomes an assistant message of exactly the calls
    that were recorded, and is not generated again. With `markup` its text is those calls.
    `lost` are violations whose part of the text was cut off.
    """

    reply: Reply
    cost: float | None
    whole: bool
    faults: dict[int, str] = field(default_factory=dict)
    lost: list[ProtocolViolation] = field(default_factory=list)
    first_token_s: float = 0.0
    seconds: float = 0.0
    critical: bool = False

    @classmethod
    def find(
        cls, ledger: Ledger, key: str, input_hash: str, new_input: bytes, markup: Markup | None = None
    ) -> Recorded | None:
        """Return what is recorded of the model step `key`, None when nothing is.

        Raises UserError when it was recorded with other messages or tools.
        """
        if not ledger.recorded:
            return None
        known = ledger.recall(key, input_hash, new_input)
        if known is not None:
            data = cast("dict[str, object]", decode(known.output))
            message = Message.from_json(cast("dict[str, object]", data["message"]))
            usage = Usage(**cast("dict[str, int]", data["usage"]))
            reply = Reply(message, usage, str(data["finish"]), str(data["model"]))
            broken = cast("list[dict[str, object]]", data.get("lost", []))
            lost = [ProtocolViolation(**violation) for violation in broken]  # type: ignore[arg-type]
            return cls(reply, cast("float | None", data["cost"]), True, _faults(ledger, key), lost)
        calls: list[ToolCall] = []
        while (fact := ledger.recall(f"{key}/call/{len(calls)}")) is not None:
            call = cast("dict[str, object]", decode(fact.output))
            extra = cast("dict[str, Json] | None", call["extra"])
            calls.append(ToolCall(str(call["id"]), str(call["name"]), str(call["arguments"]), extra))
        if not calls:
            return None
        message = Message("assistant", calls=calls)
        if markup is not None:
            message = Message("assistant", "\n".join(_written(call, markup) for call in calls))
        return cls(Reply(message, Usage(requests=1), "tool_calls"), None, False, _faults(ledger, key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def __aiter__(self) -> AsyncIterator[CarrierDelta]:
        message = self.reply.message
        if message.reasoning:
            yield ReasoningPiece(message.reasoning)
        if message.text:
            yield TextPiece(message.text)
        for index, call in enumerate(message.calls):
            yield CallReady(index, call, self.faults.get(index))


def _written(call: ToolCall, markup: Markup) -> str:
    """Return the block of a recorded call. One without a name was malformed, and is so again."""
    anonymous = bool(call.extra and call.extra.get(ANONYMOUS))
    if not call.name:
        return f"{markup.call} {call.id} {markup.head} {markup.end}"
    return encode_call(None if anonymous else call.id, call.name, call.arguments, markup)


def _faults(ledger: Ledger, key: str) -> dict[int, str]:
    faults: dict[int, str] = {}
    index = 0
    while (fact := ledger.recall(f"{key}/call/{index}")) is not None:
        fault = cast("dict[str, object]", decode(fact.output)).get("fault")
        if fault:
            faults[index] = str(fault)
        index += 1
    return faults
