"""Episode: one kitchen played by one agent, with its limit and with what happened."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agentflow.environment import InvalidAction
from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.instance import Instance
from agentflow_bench.robotouille.kitchen import Kitchen, State

__all__ = ["UNLISTED_LIMIT", "Ending", "Episode", "House"]

Ending: TypeAlias = Literal[
    "goal", "no steps left", "gave up", "no valid reply", "no valid plan", "context window", "no way"
]
"""Why an episode is over. `no way`: the rule-based planner found none."""

UNLISTED_LIMIT = 200
"""Steps that may happen where the task lists no length."""

_CHANCE = 0.1  # of a mishap, each step


@dataclass(frozen=True, slots=True)
class House:
    """What is special in a kitchen: a text of further rules after each observation, and mishaps.

    A mishap undoes the first thing that is cut, once an episode, each step with chance 0.1.
    """

    prior: str = ""
    mishaps: bool = False


class Episode:
    """A kitchen that is acted in by texts, as a model sees it.

    `limit` is 1.5 times the listed length: as long as `steps` are fewer, another one can happen.
    """

    def __init__(self, instance: Instance, house: House | None = None) -> None:
        self.kitchen = Kitchen(instance)
        self.house = house or House()
        listed = instance.task.optimal_steps
        self.optimal = listed
        self.limit: float = UNLISTED_LIMIT if listed is None else 1.5 * listed
        self.moves: list[str] = []
        self.mishaps: list[tuple[int, str]] = []  # after how many moves, and what was cut
        self.repeated = 0
        self.invalid = 0  # texts that were no valid action
        self.malformed = 0  # replies without what they must have
        self.ending: Ending | None = None
        self._seen: set[tuple[State, Action]] = set()
        self._chance = random.Random(instance.name)

    @property
    def steps(self) -> int:
        """How many actions were done since the last reset."""
        return self.kitchen.steps

    @property
    def done(self) -> bool:
        """Whether the goal is reached."""
        return self.kitchen.done

    @property
    def over(self) -> bool:
        """Whether nothing more can happen: the goal is reached, or no step is left."""
        return self.done or self.steps >= self.limit

    @property
    def left(self) -> int:
        """How many whole steps are left below the limit; one more may happen when it is a half."""
        return math.floor(self.limit - self.steps)

    def observe(self) -> str:
        """Return what is seen, and the house's further rules."""
        seen = self.kitchen.observe()
        return f"{seen}\n\n{self.house.prior}" if self.house.prior else seen

    def find(self, text: str) -> Action:
        """Return the valid action of exactly this text. Raises `InvalidAction` for none, or several."""
        found = self.kitchen.by_text(text)
        if len(found) == 1:
            return found[0]
        self.invalid += 1
        raise InvalidAction(f"{text[:100]!r} is {'no' if not found else 'more than one'} valid action")

    def act(self, text: str) -> None:
        """Do the action of a text. Raises `InvalidAction`; then no step is counted."""
        self.do(self.find(text))

    def do(self, action: Action) -> None:
        """Do an action. Raises `InvalidAction`; then no step is counted."""
        move = (self.kitchen.snapshot(), action)
        self.kitchen.step(action)
        self.repeated += move in self._seen
        self._seen.add(move)
        self.moves.append(action.text)
        if self.house.mishaps and not self.mishaps and not self.done and self._chance.random() < _CHANCE:
            self._undo_a_cut()

    def _undo_a_cut(self) -> None:
        cut = self.kitchen.true("iscut")
        if cut:
            self.mishaps.append((len(self.moves), cut[0][0]))
            self.kitchen.set_fact("iscut", *cut[0], value=False)

    def tried(self, texts: Sequence[str]) -> bool:
        """Return whether texts are valid one after the other; the kitchen stays as it is."""
        before = self.kitchen.snapshot()
        try:
            for text in texts:
                self.kitchen.step(self.find(text))
        except InvalidAction:
            return False
        finally:
            self.kitchen.restore(before)
        return True

    def reset(self) -> None:
        """Begin anew; what happened stays counted."""
        self.kitchen.reset()
        self.moves.clear()
        self.mishaps.clear()
