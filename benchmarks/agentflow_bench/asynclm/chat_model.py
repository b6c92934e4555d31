"""The simulated model behind a chat API with tool calls."""

from __future__ import annotations

import json
from collections.abc import Iterator

from agentflow.endpoints import Capabilities
from agentflow.runtime.resources import Resources
from agentflow_bench.asynclm.mind import Log, Mind, Seen, answer_text, in_messages
from agentflow_bench.asynclm.stream import SimulatedStream, Step
from agentflow_bench.asynclm.task import Pace
from agentflow_protocols.chat import CallReady, CallStarted, ChatRequest, TextPiece, ToolCall

__all__ = ["ChatModel"]


class ChatModel:
    """Write all calls that are ready, or `one` a message.

    With `early` each call is complete in the stream when its block is written, else all
    are at the end of the message, as where replies do not stream. With `waits` the
    model itself asks to wait for all the calls of its message.
    """

    def __init__(
        self, mind: Mind, pace: Pace, *, one: bool = False, early: bool = True, waits: bool = False
    ) -> None:
        self.name = "simulated"
        self.capabilities = Capabilities()
        self.log = Log()
        self._mind = mind
        self._pace = pace
        self._one = one
        self._early = early
        self._waits = waits

    def open(self, request: ChatRequest, resources: Resources) -> SimulatedStream:
        """Return the stream of the reply to `request`."""
        seen = in_messages(request.messages)
        return SimulatedStream(self.log, self._pace, request, seen, self._steps(seen))

    def _steps(self, seen: Seen) -> Iterator[Step]:
        mind, tps = self._mind, self._pace.tps
        ready = mind.ready(seen)
        ready = ready[:1] if self._one else ready
        if not ready and mind.done(seen):
            text = answer_text(mind.task)
            yield 0.0, TextPiece(text[:4])
            yield mind.task.response_tokens / tps, TextPiece(text[4:])
            return
        seconds = 0.0
        held: list[CallReady] = []
        for index, call in enumerate(ready):
            yield 0.0, CallStarted(index, call.tool)
            seconds += call.tokens / tps
            held.append(self._call(index, call.tool, mind.arguments(call, ready[:index], seen)))
            if self._early or index == len(ready) - 1:
                for delta in held:
                    yield seconds, delta
                    seconds = 0.0
                held.clear()
        if self._waits or not ready:
            named = {"calls": [f"c{i + 1}" for i in range(len(ready))]} if ready else {}
            yield 0.0, self._call(len(ready), "wait", json.dumps(named))

    def _call(self, index: int, name: str, arguments: str) -> CallReady:
        identity = f"call_{self.log.requests}_{index}"
        return CallReady(index, ToolCall(identity, name, arguments))
