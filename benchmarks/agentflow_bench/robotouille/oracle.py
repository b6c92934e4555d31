"""The model that knows: it answers each agent in its own format by the chef's plan, and proves all else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from agentflow.builtin.scripted import ScriptedModel, ScriptedReply
from agentflow.endpoints import Endpoint, Price
from agentflow.errors import UserError
from agentflow_bench.robotouille.chef.plan import plan_actions
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.openings import CALLS, Openings
from agentflow_protocols.chat import ChatRequest

__all__ = ["DELAY", "Knowing", "oracle"]

_GOAL = re.compile(r"^Goal: .*$", re.MULTILINE)
_FIRST = re.compile(r"^(Station|Item|Player|Container|Meal) ", re.MULTILINE)
_NUMBER = re.compile(r"This is action (\d+)")
DELAY = 0.5
"""Seconds to an answer."""


def oracle(
    instances: Sequence[Instance],
    *,
    delay: float = DELAY,
    tokens_per_second: float | None = None,
    calls: int = CALLS,
) -> Endpoint:
    """Return an endpoint that knows the way to each kitchen's goal, and reads off the prompt where it is.

    Where it acts by tools it makes at most so many `calls` in one message.
    """
    knowing, openings = Knowing(instances), Openings(instances, calls)

    def reply(request: ChatRequest) -> ScriptedReply:
        return openings.reply(request) or ScriptedReply(knowing.answer(request))

    model = ScriptedModel(
        reply, name="oracle", source="oracle", delay=delay, tokens_per_second=tokens_per_second
    )
    return Endpoint(model, price=Price(0.0, 0.0))


class Knowing:
    """Plans are made when a kitchen is first asked about, also in its middle."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._by_goal: dict[str, list[Instance]] = {}
        for instance in instances:
            self._by_goal.setdefault(f"Goal: {instance.task.goal_text}", []).append(instance)
        self._unplanned: dict[str, dict[bytes, Instance]] = {}  # by goal and first observation
        self._known: dict[bytes, list[tuple[list[str], int]]] = {}  # by observation

    def answer(self, request: ChatRequest) -> str:
        """Return the reply to a prompt."""
        told = [message.text for message in request.messages]
        asked = told[1]
        if told[-1].startswith("No step is left"):
            return "Summary: the plan was not followed.\nReflection: follow the plan."
        seen = _seen(told[-1])
        plan, at = self._place(seen, _number(told[-3:-1]))
        if asked.startswith("Answer each"):
            if at >= len(plan):
                return "Reasoning: I do not know this kitchen.\nAction: Finish"
            return f"Reasoning: This is action {at + 1} of {len(plan)}.\nAction: {plan[at]}"
        if "State:" in asked:
            return "\n".join(
                f"State: before action {n}\nAction: {text}" for n, text in enumerate(plan[at:], 1)
            )
        return "\n".join(["Plan:", *plan[at:]])

    def _place(self, seen: str, number: int | None) -> tuple[list[str], int]:
        """Return a plan in which a kitchen looks like this, and how far it is: by the number told, if any."""
        digest = _digest(seen)
        if digest not in self._known:
            self._learn(seen, digest)
        places = self._known.get(digest, [])
        for plan, at in places:
            if at == number:
                return plan, at
        return places[-1] if places else ([], 0)

    def _learn(self, seen: str, digest: bytes) -> None:
        """Plan for the kitchen that looks so at first, or else for all of this goal."""
        found = _GOAL.search(seen)
        goal = found[0] if found else ""
        left = self._unplanned.get(goal)
        if left is None:
            left = self._unplanned[goal] = {
                _digest(Kitchen(each).observe()): each for each in self._by_goal.get(goal, [])
            }
        for first in [digest] if digest in left else list(left):
            kitchen = Kitchen(left.pop(first))
            try:
                actions = plan_actions(kitchen)
            except UserError:
                continue
            plan = [action.text for action in actions]
            for at, action in enumerate(actions):
                self._known.setdefault(_digest(kitchen.observe()), []).append((plan, at))
                kitchen.step(action)


def _digest(seen: str) -> bytes:
    return hashlib.blake2b(seen.encode(), digest_size=12).digest()


def _seen(prompt: str) -> str:
    """Return the observation in a prompt: from the first object to the goal."""
    first, goal = _FIRST.search(prompt), _GOAL.search(prompt)
    return prompt[first.start() : goal.end()] if first and goal else prompt


def _number(turn: Sequence[str]) -> int | None:
    found = _NUMBER.search("\n".join(turn))
    return int(found[1]) if found else None
