"""IO and IO-CoT: one call, one plan, done from beginning to end."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow.endpoints import Endpoint
from agentflow.endpoints.talk import Talk
from agentflow.environment import InvalidAction
from agentflow.errors import ContextOverflow
from agentflow.runtime import Context
from agentflow_bench.robotouille.agents.example import example
from agentflow_bench.robotouille.agents.prompts import prompt, user_text
from agentflow_bench.robotouille.agents.replies import read_actions, read_plan
from agentflow_bench.robotouille.episode import Ending, Episode
from agentflow_protocols.chat import Message

__all__ = ["Planned"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A model that writes all actions at once; with `states` it predicts the kitchen between them."""

    states: bool = False

    @property
    def needs_model(self) -> bool:
        """Whether it asks a model."""
        return True

    async def play(self, context: Context[object], endpoint: Endpoint, episode: Episode) -> Ending:
        """Play the episode to its end. One line that is no valid action, and none of them is done."""
        kind = "io-cot" if self.states else "io"
        said = [Message("system", prompt("role")), Message("user", user_text(kind)), *example(kind)]
        talk = Talk(endpoint, context, name=kind, silent=True)
        try:
            reply = await talk.ask([*said, Message("user", episode.observe())])
        except ContextOverflow:
            return "context window"
        texts = read_actions(reply) if self.states else read_plan(reply)
        if texts is None:
            episode.malformed += 1
            return "no valid plan"
        if not episode.tried(texts):
            return "no valid plan"
        for text in texts:
            if episode.over:
                break
            try:
                episode.act(text)
            except InvalidAction:  # a mishap, which no plan foresees
                return "no valid plan"
        return "goal" if episode.done else "no steps left" if episode.over else "gave up"
