"""Ranking: two ways to judge a match, at one look or by a debate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentflow.tournament.agents import Board
from agentflow.tournament.judging import Match, verdict_of
from agentflow.tournament.scientist.hypothesis import Hypothesis
from agentflow.tournament.scientist.lab import Lab, set_off

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Ranking"]

_VERDICT = "The last line of your answer is one word: first, second or tie."


class Ranking:
    """Judges of matches."""

    def __init__(self, lab: Lab, turns: int) -> None:
        self._lab = lab
        self._turns = turns

    async def single(self, context: Context[object], match: Match[Hypothesis]) -> str:
        """Compare the two at one look."""
        told = self._told(match, f"Which is better, by the criteria? Reason briefly. {_VERDICT}")
        return await self._lab.ask(context, "ranking", told, str, key=f"look-{match.again + 1}")

    async def debate(self, context: Context[object], match: Match[Hypothesis]) -> str:
        """Let experts debate the two, turn by turn, until they agree or it is the last turn."""
        transcript: list[str] = []
        said = ""
        for turn in range(self._turns):
            last = turn + 1 == self._turns
            task = (
                "This is the last turn: weigh what was said." if last else "Give the next turn of the debate."
            )
            ends = (
                _VERDICT if last else f"Only if the experts have agreed: {_VERDICT[0].lower()}{_VERDICT[1:]}"
            )
            said = await self._lab.ask(
                context,
                "ranking",
                self._told(
                    match,
                    "Experts who doubt each other debate which of the two is better; they look for what"
                    " speaks against each.",
                    "\n\n".join(["The debate so far:", *(f"- {set_off(turn)}" for turn in transcript)])
                    if transcript
                    else "",
                    f"{task} {ends}",
                ),
                str,
                key=f"turn-{match.again + 1}-{turn + 1}",
            )
            if verdict_of(said) is not None:
                break
            transcript.append(said)
        return said

    def _told(self, match: Match[Hypothesis], *parts: str) -> str:
        board: Board[Hypothesis] = Board(match.goal, (), match.advice)
        sides = []
        for name, item, notes in (
            ("First", match.first, match.first_notes),
            ("Second", match.second, match.second_notes),
        ):
            most = self._lab.share(2 * len(notes))
            lines = [f"{name}: {set_off(item.as_text())}"]
            sides.append("\n".join([*lines, *(f"Review: {set_off(note, most)}" for note in notes)]))
        again = "Your last answer had no verdict." if match.again else ""
        return self._lab.told(board, *sides, *parts, again)
