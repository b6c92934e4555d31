"""Evolution: six ways to make a new hypothesis out of those that are there. What it was made of stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentflow.tournament.agents import Board
from agentflow.tournament.report import Standing
from agentflow.tournament.scientist.hypothesis import Hypothesis, Ideas
from agentflow.tournament.scientist.lab import Lab

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["OPERATORS", "Evolution"]

_BEST = 10  # among how many of the best parents are drawn


@dataclass(frozen=True, slots=True)
class _Operator:
    parents: int
    task: str
    search: bool = False


OPERATORS = {
    "ground": _Operator(
        1,
        "Find its weak points. Search for what bears on them, where you can, and write a version whose gaps"
        " are filled.",
        search=True,
    ),
    "feasible": _Operator(
        1, "Write a version that is coherent throughout and could be tested with less, and sooner."
    ),
    "inspire": _Operator(
        1, "Let it inspire you: write another hypothesis, by analogy or from a neighbouring field."
    ),
    "combine": _Operator(2, "Put the best of these together into one hypothesis that is more than both."),
    "simplify": _Operator(1, "Write a simpler version that keeps what matters and is easier to test."),
    "outside": _Operator(
        1, "Leave its frame: doubt what it takes for granted, and write a hypothesis that starts elsewhere."
    ),
}


class Evolution:
    """Makers of hypotheses out of the best ones; a better one is drawn as parent the more likely."""

    def __init__(self, lab: Lab, operator: str) -> None:
        self._lab = lab
        self._name = operator
        self._operator = OPERATORS[operator]

    async def __call__(self, context: Context[object], board: Board[Hypothesis]) -> Sequence[Hypothesis]:
        """Draw parents, and make one new hypothesis."""
        parents = self._parents(board)
        told = self._lab.told(
            board,
            self._lab.shown(parents, reviews=True),
            self._operator.task,
            self._lab.there(board),
            "Give one hypothesis.",
        )
        search = board if self._operator.search else None
        made = await self._lab.ask(context, "evolution", told, Ideas, search=search)
        ids = tuple(each.id for each in parents)
        return [idea.made(self._name, ids) for idea in made.said()[:1]]

    def _parents(self, board: Board[Hypothesis]) -> Sequence[Standing[Hypothesis]]:
        chance = board.chance()
        left = list(board.ranking[:_BEST])
        drawn: list[Standing[Hypothesis]] = []
        while left and len(drawn) < self._operator.parents:
            drawn.append(left.pop(int(len(left) * chance.random() ** 2)))
        return drawn
