"""Meta-review: what all reviews say, what the research has come to, and whether it may go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentflow.tournament.agents import Board, Halt, Reject
from agentflow.tournament.report import Standing
from agentflow.tournament.scientist.hypothesis import (
    Critique,
    Hypothesis,
    Overview,
    ResearchPlan,
    Safety,
)
from agentflow.tournament.scientist.lab import Lab, set_off

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["MetaReview", "SafetyReview"]

_BEST = 10  # hypotheses that an overview is told of
_WHOLE = 100_000  # characters of what is reviewed for safety: all of it, within reason
_DEBATES = 12  # matches that a critique is told of, the last ones


class MetaReview:
    """Plans, critique and overview."""

    def __init__(self, lab: Lab, plan: ResearchPlan | None) -> None:
        self._lab = lab
        self._plan = plan

    async def plan(self, context: Context[object], board: Board[Hypothesis]) -> str:
        """Turn the goal into a plan; one that was given holds for the first goal."""
        if self._plan is not None and board.goal == self._lab.said.goal:
            return self._plan.model_dump_json()
        told = f"Goal: {board.goal}\n\nWhat is wanted, and by which criteria will hypotheses be compared?"
        made = await self._lab.ask(context, "planning", told, ResearchPlan)
        return made.model_dump_json()

    async def critique(self, context: Context[object], board: Board[Hypothesis]) -> str:
        """Say what reviews and debates say again and again."""
        reviews = [line for lines in self._lab.reviews(board.ranking[: 2 * _BEST]) for line in lines]
        said = [f"- {set_off(match.said)}" for match in board.lately[-_DEBATES:] if match.said]
        told = self._lab.told(
            board,
            "Reviews:\n" + "\n".join(reviews),
            "What judges said:\n" + "\n".join(said),
            "What do they say again and again? Advise those who make and review hypotheses.",
            critique=False,
        )
        return (await self._lab.ask(context, "meta", told, Critique)).as_text()

    async def overview(self, context: Context[object], board: Board[Hypothesis]) -> str:
        """Say what the research has come to, for those who look for new directions."""
        return (await self.final(context, board)).as_text()

    async def final(self, context: Context[object], board: Board[Hypothesis]) -> Overview:
        """Return what the research has come to."""
        told = self._lab.told(
            board,
            f"The best hypotheses, best first:\n\n{self._lab.shown(board.ranking[:_BEST], reviews=True)}",
            "What has the research come to? Which directions are open, and why; which experiments come next;"
            " experts of which fields should judge it?",
        )
        return await self._lab.ask(context, "meta", told, Overview)

    async def formatted(self, context: Context[object], overview: str, form: str, key: str) -> str:
        """Return an overview in another form, such as that of a grant's aims."""
        told = f"{overview}\n\nWrite this in the form: {form}. Use nothing that is not said here."
        return await self._lab.ask(context, "meta", told, str, key=key)


class SafetyReview:
    """Reviews of goals, of hypotheses, and of where it all goes."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    async def goal(self, context: Context[object], board: Board[Hypothesis]) -> str | Halt:
        """Let only a goal pass that may be pursued."""
        found = await self._asked(context, f"A research goal: {board.goal}\n\nMay it be pursued?")
        return found.why if found.safe else Halt(found.why)

    async def hypothesis(
        self, context: Context[object], one: Standing[Hypothesis], board: Board[Hypothesis]
    ) -> str | Reject:
        """Let only a hypothesis in that may be pursued."""
        shown = set_off(one.item.as_text(), _WHOLE)
        told = f"A research goal: {board.goal}\n\nA hypothesis:\n  {shown}\n\nMay it be pursued?"
        found = await self._asked(context, told)
        return found.why if found.safe else Reject(f"unsafe: {found.why}")

    async def monitor(self, context: Context[object], board: Board[Hypothesis]) -> str | Halt:
        """End the research if it goes where it must not."""
        shown = self._lab.shown(board.ranking[:_BEST])
        told = f"A research goal: {board.goal}\n\nIts best hypotheses now:\n{shown}\n\nMay this go on?"
        found = await self._asked(context, told)
        return found.why if found.safe else Halt(found.why)

    async def text(self, context: Context[object], text: str) -> str | None:
        """Return why a text must not be given out, None if it may."""
        found = await self._asked(
            context, f"A research report:\n  {set_off(text, _WHOLE)}\n\nMay it be given out?"
        )
        return None if found.safe else found.why

    async def _asked(self, context: Context[object], told: str) -> Safety:
        return await self._lab.ask(context, "safety", told, Safety)
