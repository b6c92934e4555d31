"""Agents that play Robotouille: those of the paper (arXiv 2502.05227), and ours.

An agent is anything with `play(context, endpoint, episode)`, which returns why the episode is over.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Protocol

from agentflow.endpoints import Endpoint
from agentflow.errors import UserError
from agentflow.runtime import Context
from agentflow.session import CmlChat
from agentflow_bench.robotouille.agents.asynchronous import Asynchronous
from agentflow_bench.robotouille.agents.history import STYLES
from agentflow_bench.robotouille.agents.plag import Plag
from agentflow_bench.robotouille.agents.planned import Planned
from agentflow_bench.robotouille.agents.react import React
from agentflow_bench.robotouille.agents.rules import Rules
from agentflow_bench.robotouille.episode import Ending, Episode

__all__ = ["AGENTS", "Player", "agent_of"]

_MAIN = STYLES["last-reasoning-action"]


class Player(Protocol):
    """Plays an episode to its end; what must survive a crash are steps of the context's run."""

    @property
    def needs_model(self) -> bool:
        """Whether it asks a model."""

    async def play(self, context: Context[object], endpoint: Endpoint, episode: Episode) -> Ending:
        """Return why the episode is over."""


AGENTS: dict[str, tuple[str, Player]] = {
    "io": ("the whole plan in one call", Planned()),
    "io-cot": (
        "the whole plan in one call, with the kitchen predicted between the actions",
        Planned(states=True),
    ),
    "react": ("reasoning and an action a call; sees its last reasoning and action", React(_MAIN)),
    **{f"react-{name}": (f"react with the history `{name}`", React(style)) for name, style in STYLES.items()},
    **{
        f"react-{name}-mpc": (f"react-{name}, a complete plan in each reasoning", React(style, complete=True))
        for name, style in STYLES.items()
    },
    "reflexion": ("react with a second try after a look back", React(_MAIN, reflect=True)),
    "plag-bag": ("react that first draws the graph of the dish", React(_MAIN, "plag-bag")),
    "async": ("acts by tools; what cooks comes back as an interrupt", Asynchronous()),
    "async-cml": ("async for models that write their calls into their text", Asynchronous(CmlChat)),
    "plag": ("one plan like a graph, done by the plan executor while it is written", Plag()),
    "planner": ("rules and search over the real state: no model", Rules()),
}
"""What each agent does, and the agent, by the name that `--agent` takes."""


def agent_of(name: str) -> Player:
    """Return the agent of a name. Raises `UserError`, which names the nearest."""
    if name not in AGENTS:
        near = get_close_matches(name, AGENTS, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(AGENTS)}"
        raise UserError(f"no agent `{name}` ({hint})")
    return AGENTS[name][1]
