"""Reflection: six ways to review a hypothesis, from a first look to what its matches have shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentflow.tournament.agents import Board, Reject
from agentflow.tournament.report import Played, Standing
from agentflow.tournament.scientist.hypothesis import (
    Assessment,
    Assumptions,
    Checked,
    Hypothesis,
    Observations,
    Reviewed,
    Simulated,
)
from agentflow.tournament.scientist.lab import Lab, set_off

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Reflection"]

_ASSUMPTIONS = 8  # that are checked, at most
_MATCHES = 8  # of a hypothesis that are read again, the last ones


class Reflection:
    """Reviewers of hypotheses."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def initial(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str | Reject:
        """Look at it once, without sources; what misses the goal is turned away."""
        told = self._told(board, one, "Is it worth a closer look?", reviews=False)
        found = await self._lab.ask(context, "reflection", told, Assessment)
        return found.why if found.viable else Reject(found.why)

    async def full(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str:
        """Review it with what can be found."""
        told = self._told(board, one, "Review it in full; search for what bears on it, where you can.")
        return (await self._lab.ask(context, "reflection", told, Reviewed, search=board)).as_text()

    async def deep(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str:
        """Take it apart into assumptions, and check each by itself, all at once."""
        told = self._told(
            board, one, "Which assumptions does it rest on? Name each by itself.", reviews=False
        )
        found = await self._lab.ask(context, "reflection", told, Assumptions, key="assumptions")
        listed = found.assumptions[:_ASSUMPTIONS]

        async def check(number: int, assumption: str) -> Checked:
            # It is judged without the hypothesis, so that nobody is carried away by that.
            task = (
                f"An assumption of a hypothesis: {set_off(assumption)}\n\nDoes it hold, as far as is known?"
            )
            prompt = self._lab.told(board, task, critique=False)
            return await self._lab.ask(
                context, "reflection", prompt, Checked, key=f"check-{number}", search=board
            )

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(check(number, text)) for number, text in enumerate(listed, 1)]
        lines = []
        for text, checked in zip(listed, (task.result() for task in tasks), strict=True):
            weight = "fundamental" if checked.fundamental else "not fundamental"
            lines.append(f"- {text} Holds: {checked.holds} ({weight}). {checked.why}")
        broken = any(task.result().holds == "no" and task.result().fundamental for task in tasks)
        verdict = (
            "A fundamental assumption does not hold." if broken else "No fundamental assumption is refuted."
        )
        return "\n".join([verdict, *lines])

    async def observation(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str:
        """Ask which findings it explains that nothing else does."""
        told = self._told(
            board,
            one,
            "Which findings, odd ones above all, would it explain better than what is thought now? Which does"
            " it not explain, though it should? Search for them, where you can.",
        )
        found = await self._lab.ask(context, "reflection", told, Observations, search=board)
        lines = [
            f"- {'Explains' if each.explained else 'Does not explain'}: {each.finding} {each.how}"
            for each in found.observations
        ]
        return "\n".join(lines) or "No finding bears on it."

    async def simulation(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str:
        """Step through its mechanism, or its test, in the mind."""
        told = self._told(
            board, one, "Step through its mechanism, or its test: what would happen, and where fails it?"
        )
        found = await self._lab.ask(context, "reflection", told, Simulated)
        steps = [f"{number}. {step}" for number, step in enumerate(found.steps, 1)]
        failures = [f"May fail: {failure}" for failure in found.failures]
        return "\n".join([found.summary, *steps, *failures])

    async def recurrent(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str:
        """Review it again, by what its matches have shown."""
        matches = [match for match in board.lately if one.id in (match.first, match.second)]
        shown = "\n\n".join(_match(one.id, match) for match in matches[-_MATCHES:])
        told = self._told(
            board,
            one,
            f"What judges said of it in matches:\n{shown}" if shown else "",
            "Review it anew: what wins it matches, what loses them, and what should be changed?",
        )
        return (await self._lab.ask(context, "reflection", told, Reviewed)).as_text()

    def _told(
        self, board: Board[Hypothesis], one: Standing[Hypothesis], *parts: str, reviews: bool = True
    ) -> str:
        return self._lab.told(board, self._lab.shown([one], reviews=reviews), *parts)


def _match(id: str, match: Played) -> str:
    side = "first" if match.first == id else "second"
    how = "a tie" if match.outcome == "tie" else "won" if match.outcome == side else "lost"
    return f"Shown {side}, {how}: {set_off(match.said)}"
