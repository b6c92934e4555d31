"""ReAct and what grew from it: one call a step; Reflexion, which may try a second time; PLaG-BaG."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.endpoints import Endpoint
from agentflow.endpoints.talk import Talk
from agentflow.environment import InvalidAction
from agentflow.errors import ContextOverflow
from agentflow.runtime import Context
from agentflow_bench.robotouille.agents.example import example
from agentflow_bench.robotouille.agents.history import History, Style
from agentflow_bench.robotouille.agents.prompts import prompt, user_text
from agentflow_bench.robotouille.agents.replies import FINISH, read_react, read_reflection
from agentflow_bench.robotouille.episode import Ending, Episode
from agentflow_protocols.chat import Message

__all__ = ["React"]

_FAILURES = 5  # in a row, that use up an attempt
_ATTEMPTS = 3  # that end an episode when they are used up


@dataclass(frozen=True, slots=True)
class React:
    """A model that reasons and acts, step by step.

    `kind` is `react` or `plag-bag`; `complete` wants a whole plan in each reasoning; `reflect` gives a
    second try after a look back.
    """

    style: Style
    kind: str = "react"
    complete: bool = False
    reflect: bool = False

    @property
    def needs_model(self) -> bool:
        """Whether it asks a model."""
        return True

    async def play(self, context: Context[object], endpoint: Endpoint, episode: Episode) -> Ending:
        """Play the episode to its end."""
        return await _Player(self, Talk(endpoint, context, name=self.kind, silent=True), episode).play()


class _Player:
    """One episode of a `React`."""

    def __init__(self, agent: React, talk: Talk, episode: Episode) -> None:
        self._agent = agent
        self._talk = talk
        self._episode = episode
        self._history = History(agent.style)
        self._reflection = ""
        self._fault = ""
        self._failures = self._used = 0
        self._opening = [
            Message("system", prompt("role")),
            Message("user", user_text(agent.kind, complete=agent.complete)),
            *example(agent.kind, complete=agent.complete),
        ]

    async def play(self) -> Ending:
        episode = self._episode
        while not episode.over:
            asked = self._prompt()
            reply = await self._ask(asked)
            if reply is None:
                return "context window"
            answer = read_react(reply)
            if answer.fault is not None:
                episode.malformed += 1
                self._history.add(asked, reply, answer)
                if self._failed(answer.fault):
                    return "no valid reply"
                continue
            if answer.action == FINISH:
                return "gave up"
            try:
                episode.act(answer.action)
            except InvalidAction:
                self._history.add(asked, reply, answer, refused=True)
                if self._failed(f"The action `{answer.action[:100]}` is not one of the valid actions."):
                    return "no valid reply"
                continue
            self._history.add(asked, reply, answer)
            self._fault, self._failures = "", 0
            if self._agent.reflect and not self._reflection and episode.left == 0 and not episode.done:
                try:
                    await self._look_back()
                except ContextOverflow:
                    return "context window"
        return "goal" if episode.done else "no steps left"

    def _prompt(self) -> str:
        parts = [f"Error Feedback: {self._fault}"] if self._fault else []
        parts.append(self._episode.observe())
        if self._reflection:
            parts.append(f"Reflection: {self._reflection}")
        return "\n\n".join(parts)

    async def _ask(self, asked: str) -> str | None:
        """Return the reply, None when it does not fit the model's window."""
        while True:
            messages = [*self._opening, *self._history.messages(), Message("user", asked)]
            try:
                return await self._talk.ask(messages)
            except ContextOverflow:
                if not self._history.drop():
                    return None

    def _failed(self, fault: str) -> bool:
        """Count a failure, and return whether it was one too many."""
        self._fault = fault
        self._failures += 1
        if self._failures == _FAILURES:
            self._failures = 0
            self._used += 1
        return self._used == _ATTEMPTS

    async def _look_back(self) -> None:
        """Reflect on all that happened, and begin anew."""
        said = [*self._opening[:2], *self._history.transcript(), Message("user", prompt("reflect"))]
        self._reflection = read_reflection(await self._talk.ask(said)) or "Be quicker."
        self._episode.reset()
        self._history.clear()
        self._fault, self._failures = "", 0
