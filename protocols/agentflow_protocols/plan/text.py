"""A plan as a plain value: steps with durations, and which comes before which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from agentflow_protocols.errors import RemoteProtocolError

__all__ = [
    "END",
    "NAME",
    "RESERVED",
    "START",
    "PlanFault",
    "PlanStep",
    "PlanText",
    "PlanTextError",
    "Refs",
    "clip",
    "order_of",
    "tidy",
    "without_word",
]

START, END = "START", "END"
RESERVED = frozenset(("start", "end", "and", "none", "nothing", "na"))
NAME = re.compile(r"\w{1,100}(?:-\w{1,100}){0,20}", re.ASCII)
_MOST_HINTS = 20  # nearest names that are looked for, since each costs time
_BEFORE_NUMBER = re.compile(r"(?:step|task|node|vertex|s)[\s_#-]*(?=\d)", re.IGNORECASE)


@dataclass(slots=True, frozen=True)
class PlanStep:
    """One step: its name, what is done, how long it takes in words and in seconds (fewest, most)."""

    name: str
    text: str
    duration: str
    seconds: tuple[float, float]


@dataclass(slots=True, frozen=True)
class PlanText:
    """Steps and edges (before, after), in the order of the steps and without repetition."""

    steps: tuple[PlanStep, ...]
    edges: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        place = {step.name: number for number, step in enumerate(self.steps)}
        last = len(place)
        ordered = sorted(
            dict.fromkeys(self.edges), key=lambda e: (place.get(e[0], last), place.get(e[1], last))
        )
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "edges", tuple(ordered))

    @property
    def names(self) -> list[str]:
        """The names of the steps, in their order."""
        return [step.name for step in self.steps]

    def after(self) -> dict[str, list[str]]:
        """Return for each step what it waits for."""
        found: dict[str, list[str]] = {step.name: [] for step in self.steps}
        for earlier, later in self.edges:
            found[later].append(earlier)
        return found

    def before(self) -> dict[str, list[str]]:
        """Return for each step what waits for it."""
        found: dict[str, list[str]] = {step.name: [] for step in self.steps}
        for earlier, later in self.edges:
            found[earlier].append(later)
        return found


@dataclass(slots=True, frozen=True)
class PlanFault:
    """What is wrong with a plan, and what was expected; `line` from 1, 0 where there is none."""

    message: str
    line: int = 0

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}" if self.line else self.message


class PlanTextError(RemoteProtocolError):
    """A text that is no plan. `faults` has all that is wrong."""

    def __init__(self, *faults: PlanFault) -> None:
        self.faults = faults
        shown = "; ".join(str(fault) for fault in faults[:5])
        super().__init__(shown if len(faults) <= 5 else f"{shown}; and {len(faults) - 5} more")


class Refs:
    """The names of a plan's steps, as texts refer to them: `3`, `step 3`, `S3`, `"boil"`, `Boil`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._exact = {name: name for name in (*names, START, END)}
        self._loose: dict[str, str] = {}
        self._hints = _MOST_HINTS
        for name in (*names, START, END):
            self._loose.setdefault(name.casefold(), name)

    def find(self, token: str) -> str | None:
        """Return the step that `token` names, START or END; None for no known one."""
        if token in self._exact:
            return token
        known = self._loose.get(token.casefold())
        return known or self._exact.get(without_word(token))

    def unknown(self, token: str, line: int) -> PlanFault:
        """Return the fault of a name that no step has."""
        self._hints -= 1
        near = get_close_matches(token, self.names, 1) if self._hints >= 0 else []
        if near:
            hint = f"did you mean `{near[0]}`?"
        else:
            shown = ", ".join(self.names[:8])
            hint = f"the steps are {shown}{', …' if len(self.names) > 8 else ''}"
        return PlanFault(f"no step `{clip(token)}`; {hint}", line)


def without_word(token: str) -> str:
    """Return the number of `step 3`, `S3` or `node_3`; other names as they are."""
    found = _BEFORE_NUMBER.match(token)
    return token if found is None else token[found.end() :]


def tidy(text: str) -> str:
    """Return a step's text on one line, without emphasis marks round it."""
    return " ".join(text.split()).strip("*_` ")


def clip(text: str) -> str:
    """Return the start of a text, for a message."""
    return text if len(text) <= 40 else text[:39] + "…"


def order_of(after: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the steps so that each comes after all it waits for, and else a cycle (its first also last)."""
    missing = {name: len(earlier) for name, earlier in after.items()}
    later: dict[str, list[str]] = {name: [] for name in after}
    for name, earlier in after.items():
        for one in earlier:
            later[one].append(name)
    order = [name for name, count in missing.items() if not count]
    for name in order:  # grows as it is read
        for one in later[name]:
            missing[one] -= 1
            if not missing[one]:
                order.append(one)
    if len(order) == len(after):
        return order, []
    name = next(one for one, count in missing.items() if count)
    seen: dict[str, int] = {}
    path: list[str] = []
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = next(one for one in after[name] if missing[one])
    return order, [*path[seen[name] :], name][::-1]
