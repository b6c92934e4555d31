"""Agents that wake one another by interrupts: a leader, and workers who never wait for one another."""

from agentflow.team.team import Team

__all__ = ["Team"]
