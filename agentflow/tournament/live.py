"""LiveTournament: a tournament that runs, in the hands of a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from agentflow.errors import RunError
from agentflow.tournament.play import Play
from agentflow.tournament.report import EXPERT, Standing
from agentflow.tournament.supervisor import Statistics
from agentflow_protocols.chat import Json

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.runtime.run import Run

__all__ = ["LiveTournament"]

Item = TypeVar("Item")
Out = TypeVar("Out")


class LiveTournament(Generic[Item]):
    """A tournament under way: `LiveTournament.of(run)`, or of the context of something that it runs.

    What is done here is put into the journal and stands after a crash. Raises `UserError` for an id that
    no item has, and `RunError` once it has ended.
    """

    def __init__(self, play: Play[Item]) -> None:
        self._play = play

    @classmethod
    def of(cls, where: Run[Out] | Context[object]) -> LiveTournament[Item]:
        """Return the tournament that a run runs, or the nearest above. RunError when there is none."""
        state = where.state
        while True:
            if isinstance(state.live, Play):
                return cls(cast("Play[Item]", state.live))
            if state.parent is None:
                raise RunError(f"run {where.state.id} runs no tournament")
            state = state.parent

    def add(self, item: Item) -> str:
        """Put an item in; it plays once all gates, if any, let it pass. Return its id, also of one there."""
        self._play.opened()
        return self._play.add(item, "person")

    def read(self, value: Json) -> Item:
        """Return an item from its JSON form, as what is typed or sent to it."""
        return self._play.book.read(value)

    def review(self, id: str, text: str) -> None:
        """Let judges see a review of an item."""
        self._play.opened().note(id, text)

    def prefer(self, better: str, worse: str) -> None:
        """Say that one item is better than another: as a verdict, and a sharper one than a judge's."""
        self._play.opened().prefer(better, worse)
        self._play.wake()

    def advise(self, text: str, topic: str = EXPERT) -> None:
        """Tell agents something, such as a direction to go; the last of a topic holds, "" takes it back."""
        self._play.opened().advise(topic, text)

    def withdraw(self, id: str, why: str) -> None:
        """Take an item out, as unsafe: it is neither paired nor ranked, and its matches stay known."""
        self._play.opened().withdraw(id, why)
        self._play.wake()

    def set_goal(self, goal: str) -> None:
        """Change the goal of matches picked from now on; verdicts so far count, with less certainty."""
        self._play.opened().set_goal(goal)
        self._play.wake()

    def stop(self) -> None:
        """End it now; its report says `stopped`."""
        self._play.opened()
        self._play.stop()

    def restrict(self, sources: Sequence[str]) -> None:
        """Let agents rest on these sources only, told by name; none lets them use all again."""
        self._play.opened().advise("sources", "\n".join(sources))

    @property
    def statistics(self) -> Statistics:
        """How it goes, as its supervisor is told."""
        return self._play.agenda.statistics({})

    @property
    def ranking(self) -> list[Standing[Item]]:
        """Where the items stand now, best first."""
        return self._play.book.ranking()
