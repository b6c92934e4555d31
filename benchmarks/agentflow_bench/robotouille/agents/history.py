"""What a model is shown of its earlier turns."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow_bench.robotouille.agents.replies import Answer
from agentflow_protocols.chat import Message

__all__ = ["STYLES", "History", "Style"]


@dataclass(frozen=True, slots=True)
class Style:
    """How much is kept of earlier turns: `pairs` of them (None: all), and of a pair what is set."""

    pairs: int | None
    observation: bool = False
    reasoning: bool = False


STYLES: dict[str, Style] = {
    "original": Style(None, True, True),
    "no-history": Style(0),
    "last-action": Style(1),
    "last-reasoning-action": Style(1, reasoning=True),
    "last-obs-reasoning-action": Style(1, True, True),
}
"""The paper's variants of ReAct's history."""


@dataclass(slots=True)
class _Turn:
    prompt: str
    reply: str
    answer: Answer
    refused: bool


class History:
    """The turns so far. A reply that can't be read stays with its prompt; one whose action is not valid
    takes the place of the last one that was refused, too."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self.turns: list[_Turn] = []

    def add(self, prompt: str, reply: str, answer: Answer, *, refused: bool = False) -> None:
        """Take a turn in; `refused`: its action was not valid."""
        turn = _Turn(prompt, reply, answer, refused)
        if refused and self.turns and self.turns[-1].refused:
            self.turns[-1] = turn
        else:
            self.turns.append(turn)

    def drop(self) -> bool:
        """Forget a history of one pair that is too long. Return whether that was possible."""
        if self.style.pairs != 1 or not self.turns:
            return False
        self.turns.clear()
        return True

    def clear(self) -> None:
        """Forget all turns."""
        self.turns.clear()

    def messages(self) -> list[Message]:
        """Return what is kept as messages."""
        kept = self.turns if self.style.pairs is None else self.turns[len(self.turns) - self.style.pairs :]
        said: list[Message] = []
        for turn in kept if self.style.pairs != 0 else []:
            said += [Message("user", self._user(turn)), Message("assistant", self._assistant(turn))]
        return said

    def _user(self, turn: _Turn) -> str:
        if self.style.pairs is None:
            return turn.prompt
        shown = turn.prompt if self.style.observation else "(the observation is left out)"
        return f"Previous observation:\n{shown}"

    def _assistant(self, turn: _Turn) -> str:
        if self.style.pairs is None or turn.answer.fault is not None:
            return turn.reply
        action = f"Previous action: {turn.answer.action}"
        return f"Previous reasoning: {turn.answer.reasoning}\n{action}" if self.style.reasoning else action

    def transcript(self) -> list[Message]:
        """Return all turns as messages, their observations left out, for a look back."""
        said: list[Message] = []
        for turn in self.turns:
            said += [Message("user", "(the observation is left out)"), Message("assistant", turn.reply)]
        return said
