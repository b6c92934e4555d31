"""Openings: kitchens known by what is first seen of them, and the chef's plan for each, in two forms."""

from __future__ import annotations

from collections.abc import Sequence

from agentflow.builtin.scripted import ScriptedReply
from agentflow.errors import UserError
from agentflow_bench.robotouille.agents.prompts import prompt
from agentflow_bench.robotouille.agents.scene import without_actions
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.oracle_calls import Said, next_calls, planned_calls
from agentflow_bench.robotouille.oracle_plan import planned_lines
from agentflow_protocols.chat import ChatRequest

__all__ = ["CALLS", "Openings"]

CALLS = 8
"""Calls of one message."""


class Openings:
    """The beginnings of some kitchens. Each is looked at when it is first asked about.

    Of a plan in calls at most `most` are made in one message.
    """

    def __init__(self, instances: Sequence[Instance], most: int = CALLS) -> None:
        self._most = most
        self._unseen = list(instances)
        self._seen: dict[str, Instance] = {}
        self._calls: dict[str, list[Said]] = {}
        self._lines: dict[str, str] = {}

    def reply(self, request: ChatRequest) -> ScriptedReply | None:
        """Return the reply to an agent that is told of a kitchen once, None to those told at each step."""
        told = [message.text for message in request.messages]
        if request.tools or "[CALL]" in told[0]:
            return next_calls(self.calls(told[1]), request, self._most)
        if prompt("plag") in told[0]:
            written = told[2].count("\n") + 1 if len(told) > 2 else 0  # what a crash has cut off goes on
            rest = self.lines(told[1]).split("\n")[written:]
            return ScriptedReply("\n".join(rest) or "I do not know this kitchen.")
        return None

    def instance(self, told: str) -> Instance | None:
        """Return the kitchen of a prompt that begins with its first observation, None when it is unknown."""
        first = _opening(told)
        while first not in self._seen and self._unseen:
            instance = self._unseen.pop(0)
            self._seen.setdefault(_opening(without_actions(Kitchen(instance).observe())), instance)
        return self._seen.get(first)

    def calls(self, told: str) -> list[Said]:
        """Return the plan as calls, none where there is no kitchen or no plan."""
        first = _opening(told)
        if first not in self._calls:
            instance = self.instance(told)
            try:
                self._calls[first] = [] if instance is None else planned_calls(instance)
            except UserError:
                self._calls[first] = []
        return self._calls[first]

    def lines(self, told: str) -> str:
        """Return the plan as lines, "" where there is no kitchen or no plan."""
        first = _opening(told)
        if first not in self._lines:
            instance = self.instance(told)
            try:
                self._lines[first] = "" if instance is None else planned_lines(instance)
            except UserError:
                self._lines[first] = ""
        return self._lines[first]


def _opening(told: str) -> str:
    """Return an observation up to its goal."""
    head, goal, rest = told.partition("\n\nGoal: ")
    return head + goal + rest.partition("\n")[0]
