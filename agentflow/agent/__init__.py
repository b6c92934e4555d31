"""The loop of an agent: session, tools and output type."""

from agentflow.agent.agent import Agent, Input
from agentflow.agent.output import JsonSchema

__all__ = ["Agent", "Input", "JsonSchema"]
