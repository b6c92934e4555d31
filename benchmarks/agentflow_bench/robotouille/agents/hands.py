"""Hands: the calls of a model that acts by tools, done in order, remembered and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from agentflow_bench.robotouille.agents.calls import LOOK, Form, called, form_of
from agentflow_bench.robotouille.agents.diary import Diary, Entry
from agentflow_bench.robotouille.agents.robot import Robot
from agentflow_bench.robotouille.agents.scene import without_actions
from agentflow_bench.robotouille.agents.slow import Slow
from agentflow_bench.robotouille.episode import Episode
from agentflow_protocols.chat import Json

__all__ = ["Came", "Enough", "Hands"]

_FAILURES = 5  # replies in a row without a deed, that use up an attempt
_ATTEMPTS = 3  # that end an episode when they are used up
_CUTS = 3
_SHOWN = 12  # valid calls that a refusal names


class Enough(Exception):
    """The model is asked nothing more: the episode is over, or too much was in vain."""


@dataclass(frozen=True, slots=True)
class Came:
    """What a call came to: a text, or something slow that will have one. A refusal changed nothing."""

    text: str = ""
    slow: Slow | None = None
    refused: bool = False


class Hands:
    """What is done for a model in one episode. `patient` is False when it has had its last chance."""

    def __init__(self, episode: Episode, diary: Diary) -> None:
        self.robot = Robot(episode)
        self.patient = True
        self._episode = episode
        self._diary = diary
        self._came: dict[str, Came] = {}
        self._asked = self._failures = self._used = 0
        self._heard = self._acted = False
        for entry in diary.read():
            self._do(entry)

    def call(self, by: str, name: str, given: Mapping[str, Json]) -> Came:
        """Do what a call says, and return what it came to: for a call that was done before, the same."""
        if by not in self._came:
            self._note({"by": by, "call": name, "given": dict(given)})
        return self._came[by]

    def pass_time(self) -> None:
        """Let time pass until something that goes on by itself has ended."""
        if self.robot.waiting and not self._episode.over:
            self._note({"wait": True})

    def ask(self, told: int) -> None:
        """Count a request of `told` messages. Raises `Enough` when the model is not to be asked any more.

        One that is sent again, since its reply was lost, counts once.
        """
        if self._episode.over or not self.patient:
            raise Enough
        if told != self._asked:
            self._note({"ask": told})
        if not self.patient:
            raise Enough

    def _note(self, entry: Entry) -> None:
        self._diary.write(entry)
        self._do(entry)

    def _do(self, entry: Entry) -> None:
        """Do an entry of the diary, now or once more: what comes of it depends on nothing else."""
        if "wait" in entry:
            self.robot.pass_time()
            self._acted = True
        elif "ask" in entry:
            self._judge(cast("int", entry["ask"]))
        else:
            given = cast("Mapping[str, Json]", entry["given"])
            self._heard = True
            self._came[str(entry["by"])] = self._called(form_of(str(entry["call"])), given)

    def _judge(self, told: int) -> None:
        """Judge the reply before this request by what was done for it."""
        if self._asked:
            self._episode.malformed += not (self._heard or self._acted)
            self._failures = 0 if self._acted else self._failures + 1
            if self._failures == _FAILURES:
                self._failures, self._used = 0, self._used + 1
            self.patient = self._used < _ATTEMPTS
        self._asked, self._heard, self._acted = told, False, False

    def _called(self, form: Form, given: Mapping[str, Json]) -> Came:
        robot = self.robot
        if form.name == LOOK:
            return Came(without_actions(self._episode.observe()))
        if self._episode.over:
            return Came(f"nothing can be done any more.{robot.news()}", refused=True)
        slow: Slow | None = None
        for turn in range(_CUTS if form.name == "cut" else 1):
            action = next((one for one in robot.valid(form.actions) if form.fits(one, given)), None)
            if action is None and not turn:
                return self._refused(form, given)
            if action is None or self._episode.over:
                break
            slow = robot.do(action)
            self._acted = True
            if form.name == "cut" and self._episode.kitchen.holds("iscut", str(given["item"])):
                break
        return Came(f"You are {robot.scene}.{robot.news()}", slow)

    def _refused(self, form: Form, given: Mapping[str, Json]) -> Came:
        """Say why nothing was done, as far as what can be done says it."""
        self._episode.invalid += 1
        valid = [_written(*called(action)) for action in self.robot.valid(form.actions)]
        more = f" and {len(valid) - _SHOWN} more" if len(valid) > _SHOWN else ""
        can = f"valid: {', '.join(valid[:_SHOWN])}{more}" if valid else f"no `{form.name}` is valid"
        return Came(
            f"`{_written(form.name, given)}` can't be done: you are {self.robot.scene}. Now {can}.",
            refused=True,
        )


def _written(name: str, given: Mapping[str, Json]) -> str:
    return f"{name}({', '.join(map(str, given.values()))})"
