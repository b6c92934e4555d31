"""The simulated model that writes markup: a chat API without tool calls, or one that completes text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentflow.endpoints import Capabilities
from agentflow.runtime.resources import Resources
from agentflow_bench.asynclm.mind import Log, Mind, answer_text, in_text
from agentflow_bench.asynclm.stream import SimulatedStream
from agentflow_bench.asynclm.task import Pace
from agentflow_protocols.chat import ChatRequest, TextPiece
from agentflow_protocols.cml import encode_call, encode_trap

__all__ = ["GAP_S", "TextModel", "Token", "conversation", "tokens"]

GAP_S = 1e-8
"""Seconds between two blocks: a result that comes with a block's last token is there before the next."""

_PIECES = 4  # in which a block comes over the wire


@dataclass(slots=True, frozen=True)
class Token:
    """Some text, and the seconds after the text before it at which it is written."""

    text: str
    seconds: float


def conversation(mind: Mind, text: str) -> str:
    """Return what has been said since the question."""
    return text.partition(mind.opening)[2]


def tokens(mind: Mind, text: str, tps: float, most: int | None = None) -> Iterator[Token]:
    """Write what follows `text`: the calls that are ready, then a trap, or the answer.

    A block comes in as many pieces as it has tokens, or in at `most` so many.
    """
    seen = in_text(text)
    gap = "" if not text or text.endswith("\n") else "\n"
    ready = mind.ready(seen)
    if not ready and mind.done(seen):
        count = mind.task.response_tokens
        yield from _spread(gap + answer_text(mind.task), most or count, count / tps, 0.0)
        return
    for index, call in enumerate(ready):
        block = encode_call(call.id, call.tool, mind.arguments(call, ready[:index], seen))
        yield from _spread(gap + block, most or call.tokens, call.tokens / tps, GAP_S)
        gap = "\n"
    yield Token(gap + encode_trap(), GAP_S)


def _spread(text: str, count: int, seconds: float, gap_s: float) -> Iterator[Token]:
    """Cut `text` into `count` tokens: the first at once, the last after `seconds`."""
    count = max(2, min(count, len(text) // 2))
    head = max(2, len(text) // count)  # a line's end, and the bracket that opens the block
    yield Token(text[:head], gap_s)
    rest = text[head:]
    for i in range(count - 1):
        part = rest[i * len(rest) // (count - 1) : (i + 1) * len(rest) // (count - 1)]
        yield Token(part, seconds / (count - 1))


class TextModel:
    """Write markup at a pace."""

    def __init__(self, mind: Mind, pace: Pace, *, capabilities: Capabilities | None = None) -> None:
        self.name = "simulated"
        self.capabilities = capabilities or Capabilities()
        self.log = Log()
        self._mind = mind
        self._pace = pace

    def open(self, request: ChatRequest, resources: Resources) -> SimulatedStream:
        """Return the stream of the reply to `request`."""
        said = request.prompt if request.prompt is not None else "\n".join(m.text for m in request.messages)
        text = conversation(self._mind, said)
        written = tokens(self._mind, text, self._pace.tps, _PIECES)
        steps = ((token.seconds, TextPiece(token.text)) for token in written)
        return SimulatedStream(self.log, self._pace, request, in_text(text), steps)
