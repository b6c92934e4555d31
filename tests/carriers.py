"""One way of speaking over every carrier, so that a scenario is written once.

A `Turn` is what the model writes each time it is its turn: text, calls, a trap at the end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentflow.endpoints import Endpoint
from agentflow.local.engine import EngineModel, Sampling
from agentflow.session import Carrier, CmlChat, CmlText, InFlight, Native
from agentflow.testing import FakeEndpoint, ScriptedCall, ScriptedReply
from agentflow_protocols.chat import Json
from agentflow_protocols.cml import Markup, encode_call, encode_trap
from agentflow_protocols.trace import (
    Event,
    Interrupted,
    RunFinished,
    TextDelta,
    ToolCalled,
    ToolFinished,
    Trapped,
)

CARRIERS = ("native", "cml-chat", "cml-chat-prefill", "cml-text", "in-flight")
OWN = ("wait", "cancel", "progress", "read")
SECONDS = 0.001  # a character


@dataclass
class Turn:
    text: str = ""
    calls: Sequence[tuple[str, dict[str, Json]]] = ()
    wait: bool = False


@dataclass
class Spoken:
    """A carrier, and what its endpoint was asked."""

    carrier: Carrier
    requests: list = field(default_factory=list)


def spoken(kind: str, turns: Sequence[Turn], markup: Markup | None = None) -> Spoken:
    """Return a carrier of this kind whose model writes these turns, one each time it is asked."""
    from agentflow.endpoints import Capabilities

    form = markup or Markup()
    if kind == "native":
        endpoint = FakeEndpoint([_native(turn) for turn in turns], tokens_per_second=1 / SECONDS / 4)
        return Spoken(Native(endpoint, request_cost=0.0), endpoint.requests)
    texts = _texts(turns, form)
    if kind == "in-flight":
        engine = Speaker(texts)
        return Spoken(InFlight(Endpoint(EngineModel(engine)), form), engine.prompts)
    prefill = "continue" if kind == "cml-chat-prefill" else "none"
    replies = [ScriptedReply(text=text) for text in texts]
    endpoint = FakeEndpoint(
        replies, tokens_per_second=1 / SECONDS / 4, capabilities=Capabilities(prefill=prefill)
    )
    if kind == "cml-text":
        return Spoken(CmlText(endpoint, form, request_cost=1e-9), endpoint.requests)
    return Spoken(CmlChat(endpoint, form, request_cost=1e-9), endpoint.requests)


def _native(turn: Turn) -> ScriptedReply:
    calls = [ScriptedCall(name, arguments) for name, arguments in turn.calls]
    return ScriptedReply(text=turn.text, calls=[*calls, *([ScriptedCall("wait")] if turn.wait else [])])


def _texts(turns: Sequence[Turn], markup: Markup) -> list[str]:
    number, texts = 0, list[str]()
    for turn in turns:
        parts = [turn.text]
        for name, arguments in turn.calls:
            number += 1
            identity = None if name in OWN else f"c{number}"
            parts.append(encode_call(identity, name, json.dumps(arguments), markup))
        if turn.wait:
            parts.append(encode_trap((), markup))
        texts.append("".join(parts))
    return texts


class Speaker:
    """A token engine whose tokens are characters, and which says one text after each prompt."""

    name, window, sequences, batch = "speaker", 1_000_000, 1, 4096

    def __init__(self, texts: Sequence[str] | Callable[[str], str]) -> None:
        self.texts = texts if callable(texts) else list(texts)
        self.prompts: list[str] = []
        self.evaluated = 0
        self.held: list[int] = []
        self._left: list[int] = []
        self._last: int | None = None

    async def load(self) -> None:
        pass

    def tokenize(self, text: str, start: bool) -> list[int]:
        return [ord(c) for c in text]

    def piece(self, token: int) -> bytes:
        return chr(token).encode()

    async def evaluate(self, sequence: int, tokens: Sequence[int]) -> None:
        self.evaluated += len(tokens)
        self.held += tokens
        if list(tokens) != [self._last]:
            self.prompts.append("".join(map(chr, self.held)))
            left = "".join(map(chr, self._left))
            if callable(self.texts):
                left = self.texts(self.prompts[-1])
            elif not left.startswith("[CALL]"):  # cut between two calls, it goes on with the next
                left = self.texts.pop(0)
            self._left = [ord(c) for c in left]

    async def hold_to(self, sequence: int, grammar: str | None) -> None:
        pass

    async def sample(self, sequence: int, sampling: Sampling) -> int | None:
        await asyncio.sleep(SECONDS)
        self._last = self._left.pop(0) if self._left else None
        return self._last

    async def forget(self, sequence: int, keep: int) -> None:
        del self.held[keep:]

    async def aclose(self) -> None:
        pass


def transcript(events: Sequence[Event]) -> list[tuple]:
    """Return what happened, without what differs by carrier: ids, requests, and how text is cut."""
    lines: list[tuple] = []
    for event in events:
        match event:
            case TextDelta(text=text):
                if lines and lines[-1][0] == "text":
                    lines[-1] = ("text", lines[-1][1] + text)
                else:
                    lines.append(("text", text))
            case ToolCalled(name=name, arguments=arguments):
                lines.append(("called", name, json.loads(arguments)))
            case ToolFinished(name=name, status=status, output=output) if name not in OWN:
                lines.append(("finished", name, status, output))
            case Interrupted(source=source, text=text) if source != "system" and source[0] != "c":
                lines.append(("interrupted", source, text))
            case Trapped():
                lines.append(("trapped",))
            case RunFinished(status=status):
                lines.append(("ended", status))
    return lines
