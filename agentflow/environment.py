"""Environment: the seam to a world that is acted in, one action at a time.

A kitchen, a game, a simulator: whoever adds one writes these seven names in one class, and agents,
benches and fast loops can act in it. All of it is synchronous and takes no time of its own: what
has to wait (a robot, a server) belongs into a tool.

```python
from agentflow.environment import Environment, InvalidAction

class Countdown:
    \"""Press the button until nothing is left.\"""

    def __init__(self, start: int = 2) -> None:
        self._start = self._left = start

    def reset(self, seed: int | None = None) -> str:
        self._left = self._start if seed is None else seed
        return self.observe()

    def observe(self) -> str:
        return f"{self._left} left"

    def valid_actions(self) -> list[str]:
        return [] if self.done else ["press"]

    def act(self, action: str) -> str:
        if action not in self.valid_actions():
            raise InvalidAction(f"{action!r} is no action here; valid: {self.valid_actions()}")
        self._left -= 1
        return self.observe()

    @property
    def done(self) -> bool:
        return self._left == 0

    def snapshot(self) -> int:
        return self._left

    def restore(self, snapshot: int) -> None:
        self._left = snapshot

world: Environment[str, str, int] = Countdown()
kept = world.snapshot()
assert [world.reset(), world.act("press"), world.act("press")] == ["2 left", "1 left", "0 left"]
assert world.done and world.valid_actions() == []
world.restore(kept)
assert world.observe() == "2 left"
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from agentflow.errors import ToolRetry

__all__ = ["Environment", "InvalidAction"]

Observation = TypeVar("Observation", covariant=True)
Action = TypeVar("Action")
Snapshot = TypeVar("Snapshot")


class InvalidAction(ToolRetry):
    """An action that can't be done now. The world is as it was; who acts may try another one."""


class Environment(Protocol[Observation, Action, Snapshot]):
    """A world that is acted in. One object is one episode at a time."""

    def reset(self, seed: int | None = None) -> Observation:
        """Begin anew and return the first observation. The same seed gives the same world.

        Raises `UserError` for a seed that gives no world.
        """

    def observe(self) -> Observation:
        """Return what whoever acts now can see."""

    def valid_actions(self) -> Sequence[Action]:
        """Return what can be done now, in an order that depends on the world alone."""

    def act(self, action: Action) -> Observation:
        """Do an action and return what is seen then. Raises `InvalidAction`, which changes nothing."""

    @property
    def done(self) -> bool:
        """Whether the episode is over."""

    def snapshot(self) -> Snapshot:
        """Return the whole state as a value that later actions do not change."""

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to the state of a snapshot."""
