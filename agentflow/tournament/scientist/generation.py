"""Generation: four ways to find new hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentflow.tournament.agents import Board
from agentflow.tournament.scientist.hypothesis import Argument, Assumptions, Hypothesis, Ideas
from agentflow.tournament.scientist.lab import OVERVIEW, Lab, set_off

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Generation"]

_ASSUMPTIONS, _ASSUMED = 30, 1_000  # how many are told, at most, and how many characters of each


class Generation:
    """Makers of hypotheses from the goal, each call up to `count` of them."""

    def __init__(self, lab: Lab, count: int, turns: int) -> None:
        self._lab = lab
        self._count = count
        self._turns = turns

    async def literature(self, context: Context[object], board: Board[Hypothesis]) -> Sequence[Hypothesis]:
        """Search what is known, and build on it."""
        return await self._write(
            context,
            board,
            "literature",
            "Search for what is known, where you can; find what it leaves open or what does not fit, and"
            " build on that.",
            search=True,
        )

    async def debate(self, context: Context[object], board: Board[Hypothesis]) -> Sequence[Hypothesis]:
        """Let experts of several fields debate, turn by turn, until they have agreed."""
        transcript: list[str] = []
        for turn in range(self._turns):
            said = await self._lab.ask(
                context,
                "generation",
                self._told(
                    board,
                    "Experts of different fields debate which hypothesis is worth most; each doubts the"
                    " others and improves on them.",
                    *([f"The debate so far:\n{_joined(transcript)}"] if transcript else []),
                    "Give the next turn.",
                ),
                Argument,
                key=f"turn-{turn + 1}",
            )
            transcript.append(said.argument)
            if said.settled and turn:
                break
        return await self._write(
            context,
            board,
            "debate",
            f"A debate among experts:\n{_joined(transcript)}\n\nWrite down what came of it.",
        )

    async def assumptions(self, context: Context[object], board: Board[Hypothesis]) -> Sequence[Hypothesis]:
        """Find assumptions that would lead to the goal, and what these rest on, and build on what holds."""
        first = await self._assumed(
            context, board, "Which assumptions, if they held, would lead to the goal?", 1
        )
        deeper = await self._assumed(
            context,
            board,
            f"Assumptions:\n{_listed(first)}\n\nWhich assumptions do these rest on, that could be tested"
            " sooner?",
            2,
        )
        return await self._write(
            context,
            board,
            "assumptions",
            f"Assumptions:\n{_listed(first)}\n\nThey rest on:\n{_listed(deeper)}\n\nBuild hypotheses out of"
            " those that are plausible.",
        )

    async def expansion(self, context: Context[object], board: Board[Hypothesis]) -> Sequence[Hypothesis]:
        """Go where nothing has been tried."""
        overview = board.advice.get(OVERVIEW, "")
        return await self._write(
            context,
            board,
            "expansion",
            f"What the research has come to:\n  {set_off(overview)}" if overview else "",
            f"The best so far:\n{self._lab.shown(board.ranking[:5])}" if board.ranking else "",
            "Go in a direction that none of this covers.",
        )

    async def _assumed(
        self, context: Context[object], board: Board[Hypothesis], task: str, level: int
    ) -> list[str]:
        told = self._told(board, task)
        made = await self._lab.ask(context, "generation", told, Assumptions, key=f"assumptions-{level}")
        return made.assumptions

    async def _write(
        self,
        context: Context[object],
        board: Board[Hypothesis],
        method: str,
        *parts: str,
        search: bool = False,
    ) -> Sequence[Hypothesis]:
        own = (
            f"Others work on this at the same time; you are number {board.number}: find an angle of your own."
        )
        wanted = f"Give {self._count} hypotheses, or fewer."
        told = self._told(board, *parts, self._lab.there(board), own, wanted)
        searched = board if search else None
        made = await self._lab.ask(context, "generation", told, Ideas, key="write", search=searched)
        return [idea.made(method) for idea in made.said()[: self._count]]

    def _told(self, board: Board[Hypothesis], *parts: str) -> str:
        # Critique in each second call only: makers that always read it all make the same.
        return self._lab.told(board, *parts, critique=board.chance().random() < 0.5)


def _joined(turns: Sequence[str]) -> str:
    return "\n\n".join(f"- {set_off(turn)}" for turn in turns)


def _listed(texts: Sequence[str]) -> str:
    return "\n".join(f"- {set_off(text, _ASSUMED)}" for text in texts[:_ASSUMPTIONS])
