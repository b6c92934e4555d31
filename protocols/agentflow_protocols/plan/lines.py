"""A plan read while it is still being written: a step a line, each with what it waits for."""

from __future__ import annotations

from dataclasses import dataclass

from agentflow_protocols.plan.check import MOST_SECONDS
from agentflow_protocols.plan.steps import StepLine, no_duration, read_step
from agentflow_protocols.plan.text import (
    END,
    START,
    PlanFault,
    PlanStep,
    PlanText,
    PlanTextError,
    Refs,
    clip,
    order_of,
    without_word,
)

__all__ = ["PlanLine", "PlanLines"]

_MOST_LINE = 100_000  # characters


@dataclass(slots=True, frozen=True)
class PlanLine:
    """A step that is whole, and the steps that it waits for, all of which came before it."""

    step: PlanStep
    after: tuple[str, ...]
    line: int


class PlanLines:
    """Takes the text of a plan piece by piece and gives steps as soon as they can be.

    A line is `NAME. TEXT (DURATION) <- NAME, NAME`. A step is given once its line is whole and what
    it waits for was given; a line that names a later step is kept until that came. Other lines are
    passed over.
    """

    def __init__(self) -> None:
        self._rest: list[str] = []
        self._size = 0
        self._number = 0
        self._lines: dict[str, StepLine] = {}
        self._given: dict[str, PlanLine] = {}
        self._missing: dict[str, int] = {}
        self._kept: dict[str, list[str]] = {}

    def feed(self, text: str) -> list[PlanLine]:
        """Take a piece in and return the steps that are complete now. Raises `PlanTextError`."""
        found: list[PlanLine] = []
        *whole, rest = text.replace("\r", "\n" if text == "\r" else "").split("\n")
        for line in whole:
            self._rest.append(line)
            found += self._line("".join(self._rest))
            self._rest, self._size = [], 0
        if rest:
            self._rest.append(rest)
            self._size += len(rest)
            if self._size > _MOST_LINE:
                raise PlanTextError(
                    PlanFault(
                        f"more than {_MOST_LINE:,} characters; expected a step a line", self._number + 1
                    )
                )
        return found

    def end(self) -> list[PlanLine]:
        """Take the end of the text in and return what is complete by it. Raises `PlanTextError`."""
        found = self._line("".join(self._rest)) if self._rest else []
        self._rest = []
        kept = [line for name, line in self._lines.items() if name not in self._given]
        if kept:
            raise PlanTextError(*self._why(kept))
        if not self._given:
            raise PlanTextError(
                PlanFault("there are no steps; expected lines such as `1. Boil the water (10 minutes)`")
            )
        return found

    def plan(self) -> PlanText:
        """Return the plan that was given so far."""
        edges = [(earlier, line.step.name) for line in self._given.values() for earlier in line.after]
        order = sorted(self._given.values(), key=lambda line: line.line)
        return PlanText(tuple(line.step for line in order), tuple(edges))

    def _line(self, text: str) -> list[PlanLine]:
        self._number += 1
        line = read_step(text, self._number)
        if line is None:
            return []
        if line.seconds is None:
            raise PlanTextError(no_duration(line))
        if line.seconds[1] > MOST_SECONDS:
            raise PlanTextError(
                PlanFault(f"step {line.name}: `{clip(line.duration)}` is more than 10,000 years", line.line)
            )
        known = self._lines.get(line.name.casefold())
        if known is not None:
            if (known.text, known.seconds, known.after or []) == (line.text, line.seconds, line.after or []):
                return []
            raise PlanTextError(
                PlanFault(f"step {line.name} is there twice, first in line {known.line}", line.line)
            )
        self._lines[line.name.casefold()] = line
        return self._take(line)

    def _take(self, line: StepLine) -> list[PlanLine]:
        """Give the step when all before it is given, and those that were kept for it."""
        waits: dict[str, None] = {}
        own = line.name.casefold()
        for token in line.after or ():
            name = token.casefold()
            if name not in self._lines and without_word(name) in self._lines:
                name = without_word(name)
            if name == own:
                raise PlanTextError(PlanFault(f"step {line.name} can't wait for itself", line.line))
            if name == END.casefold():
                raise PlanTextError(PlanFault(f"`{END}` comes after every step", line.line))
            if name != START.casefold():
                waits[name] = None
        line.after = list(waits)
        missing = [name for name in waits if name not in self._given]
        if missing:
            self._missing[own] = len(missing)
            for name in missing:
                self._kept.setdefault(name, []).append(own)
            return []
        found: list[PlanLine] = []
        ready = [own]
        for name in ready:  # grows as it is read
            whole = self._lines[name]
            assert whole.seconds is not None
            step = PlanStep(whole.name, whole.text, whole.duration, whole.seconds)
            after = tuple(self._given[one].step.name for one in whole.after or ())
            self._given[name] = PlanLine(step, after, whole.line)
            found.append(self._given[name])
            for later in self._kept.pop(name, ()):
                self._missing[later] -= 1
                if not self._missing[later]:
                    ready.append(later)
        return found

    def _why(self, kept: list[StepLine]) -> list[PlanFault]:
        refs = Refs([line.name for line in self._lines.values()])
        unknown = [
            refs.unknown(name, line.line)
            for line in kept
            for name in line.after or ()
            if name not in self._lines
        ]
        if unknown:
            return unknown
        _, cycle = order_of({name: line.after or [] for name, line in self._lines.items()})
        return [PlanFault(f"the order goes in a cycle: {' -> '.join(cycle[:12])}", kept[0].line)]
