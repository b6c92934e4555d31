"""The simulated model as a token engine: one sleep a token, and one a result that is put in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agentflow.local.engine import Sampling
from agentflow_bench.asynclm.mind import Log, Mind, in_text
from agentflow_bench.asynclm.task import Pace
from agentflow_bench.asynclm.text_model import Token, conversation, tokens

__all__ = ["SimulatedEngine"]

_BLOCK = re.compile(r"(\[INTR\].*?\[END\])", re.DOTALL)


@dataclass(slots=True)
class _Held:
    """What a sequence holds, and what the mind is about to write after it."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    plan: Iterator[Token] = field(default_factory=lambda: iter(()))
    planned_after: str | None = None


class SimulatedEngine:
    """Write what `mind` writes. A token of a prompt is a whole stretch of its text.

    Evaluating costs `inject_s` for each result; tokens that were sampled take their time
    when they are sampled.
    """

    def __init__(self, mind: Mind, pace: Pace) -> None:
        self.name = "simulated"
        self.window = 1_000_000
        self.sequences = 1
        self.batch = 1_000_000
        self.evaluated = 0
        self.log = Log()
        self._mind = mind
        self._pace = pace
        self._held = [_Held()]
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}

    async def load(self) -> None:
        """Do nothing: there is nothing to load."""

    def tokenize(self, text: str, start: bool) -> list[int]:
        """Return a token for each interrupt block, and one for each stretch between them."""
        head, found, tail = text.partition(self._mind.opening) if start else ("", "", text)
        return [self._number(part) for part in (head + found, *_BLOCK.split(tail)) if part]

    def piece(self, token: int) -> bytes:
        """Return what `token` writes."""
        return self._texts[token].encode()

    async def evaluate(self, sequence: int, tokens: Sequence[int]) -> None:
        """Add `tokens` to a sequence."""
        held = self._held[sequence]
        results = sum(self._texts[token].startswith("[INTR]") for token in tokens)
        if results:
            await asyncio.sleep(results * self._pace.inject_s)
        held.tokens += tokens
        held.text += "".join(self._texts[token] for token in tokens)
        self.evaluated += len(tokens)

    async def hold_to(self, sequence: int, grammar: str | None) -> None:
        """Hold to any grammar: the mind writes no other text than one that follows it."""

    async def sample(self, sequence: int, sampling: Sampling) -> int | None:
        """Return the mind's next token after what the sequence holds."""
        held = self._held[sequence]
        if held.planned_after != held.text:
            after = conversation(self._mind, held.text)
            self.log.shown = in_text(after).known
            held.plan = tokens(self._mind, after, self._pace.tps)
            held.planned_after = held.text
        self.log.start(asyncio.get_running_loop().time())
        token = next(held.plan, None)
        if token is None:
            return None
        if token.seconds:
            await asyncio.sleep(token.seconds)
        number = self._number(token.text)
        if not sampling.allows(number):
            raise ValueError(f"the mind would write what is banned: {token.text!r}")
        held.planned_after += token.text
        return number

    async def forget(self, sequence: int, keep: int) -> None:
        """Cut a sequence to its first `keep` tokens."""
        held = self._held[sequence]
        del held.tokens[keep:]
        held.text = "".join(self._texts[token] for token in held.tokens)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release."""

    def text(self, sequence: int) -> str:
        """Return all that a sequence holds, with what was sampled last."""
        return self._held[sequence].planned_after or ""

    def _number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._texts)
            self._texts.append(text)
        return number
