"""Robot: an episode's robot, that does actions, lets time pass, and sees what ends meanwhile."""

from __future__ import annotations

from collections.abc import Collection

from agentflow_bench.robotouille.action import Action
from agentflow_bench.robotouille.agents.scene import Scene
from agentflow_bench.robotouille.agents.slow import SLOW, Slow
from agentflow_bench.robotouille.episode import Episode

__all__ = ["Robot"]


class Robot:
    """The first player of an episode's kitchen. Others, where there are some, do nothing in their turns."""

    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self.kitchen = episode.kitchen
        self.name = self.kitchen.players[0]
        self.slow: list[Slow] = []
        self._mishaps = len(episode.mishaps)

    @property
    def scene(self) -> Scene:
        """What the robot finds now."""
        return Scene.of(self.kitchen, self.name)

    @property
    def waiting(self) -> bool:
        """Whether something goes on by itself."""
        return any(slow.open for slow in self.slow)

    def begun(self, action: str, thing: str) -> Slow | None:
        """Return what goes on by itself since an action, with a thing; None when nothing does."""
        return next((slow for slow in self.slow if (slow.action, slow.thing) == (action, thing)), None)

    def valid(self, names: Collection[str]) -> list[Action]:
        """Return what the robot can do now, of the actions of these names."""
        found = []
        for action in self.kitchen.valid_actions():
            if action.name in names and dict(action.arguments)["p1"] == self.name:
                found.append(action)
        return found

    def do(self, action: Action) -> Slow | None:
        """Do an action, and return what it has started. Raises `InvalidAction`."""
        slow = Slow.of(action) if action.name in SLOW else None
        self.episode.do(action)
        if slow is not None:
            self.slow.append(slow)
        self._turns()
        return slow

    def wait(self) -> None:
        """Do nothing for a step."""
        self.episode.do(self.kitchen.action("wait"))
        self._turns()

    def pass_time(self) -> None:
        """Do nothing until something that goes on by itself has ended, if anything does."""
        going = [slow for slow in self.slow if slow.open]
        while going and not self.episode.over and all(slow.open for slow in going):
            self.wait()

    def news(self) -> str:
        """Return what else is to be told, once: a mishap, and the end."""
        told = [
            f"By a mishap {what} is not cut any more." for _, what in self.episode.mishaps[self._mishaps :]
        ]
        self._mishaps = len(self.episode.mishaps)
        if self.episode.over:
            told.append("The goal is reached." if self.episode.done else "No step is left.")
        return "".join(f" {one}" for one in told)

    def _turns(self) -> None:
        """Let the others have their turns, and see what has ended by now."""
        while not self.episode.over and self.kitchen.players[self.kitchen.player] != self.name:
            self.episode.do(self.kitchen.action("wait"))
        for slow in self.slow:
            if slow.open and not slow.look(self.kitchen) and self.episode.over:
                slow.end("The goal is reached." if self.episode.done else "No step is left.")
        self.slow = [slow for slow in self.slow if slow.open]
