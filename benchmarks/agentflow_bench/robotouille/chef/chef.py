"""Chef: the rule-based planner as an agent, which needs no model and no key."""

from __future__ import annotations

from agentflow.errors import UserError
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.chef.plan import Planned, planned
from agentflow_bench.robotouille.kitchen import Kitchen

__all__ = ["Chef"]


class Chef:
    """Follows a plan, and plans anew whenever the kitchen is not as it should be then."""

    def __init__(self) -> None:
        self._plan: list[Planned] = []
        self.plans = 0  # how often it has planned

    def next_action(self, kitchen: Kitchen) -> Action:
        """Return what to do now. Raises `UserError` when the goal is reached, or out of reach."""
        if kitchen.done:
            raise UserError(f"the goal of {kitchen.instance.name} is reached; nothing is left to do")
        if not self._plan or self._plan[0].before != kitchen.snapshot():
            self._plan = planned(kitchen)
            self.plans += 1
        return self._plan.pop(0).action
