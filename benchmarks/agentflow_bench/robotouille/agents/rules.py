"""The rule-based planner as an agent: no model, no key; it shows what is possible."""

from __future__ import annotations

import asyncio

from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.runtime import Context
from agentflow_bench.robotouille.chef.chef import Chef
from agentflow_bench.robotouille.episode import Ending, Episode

__all__ = ["Rules"]


class Rules:
    """Plays by `Chef`, which searches the real state, and anew after a mishap."""

    @property
    def needs_model(self) -> bool:
        """Whether it asks a model."""
        return False

    async def play(self, context: Context[object], endpoint: Endpoint | None, episode: Episode) -> Ending:
        """Play the episode to its end."""
        chef = Chef()
        while not episode.over:
            try:
                action = await asyncio.to_thread(chef.next_action, episode.kitchen)
            except UserError:
                return "no way"
            episode.do(action)
        return "goal" if episode.done else "no steps left"
