"""Replaying: do recorded walks through kitchens come out here as they were recorded?

A trace file is JSON Lines, compressed by gzip: a walk a line, with its steps. Every step is compared: whose
turn it is, how many actions are valid and which (by a hash), what becomes true and false, how many effects
run, whether the goal is reached; where they are recorded, all facts and a hash of the text as well.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from agentflow.environment import InvalidAction
from agentflow.errors import UserError
from agentflow_bench.robotouille.choices import Choice
from agentflow_bench.robotouille.domain import Domain
from agentflow_bench.robotouille.instance import Fact, make_instance
from agentflow_bench.robotouille.kitchen import Kitchen
from agentflow_bench.robotouille.task import Task

__all__ = ["Difference", "Replay", "observation_hash", "replay", "replay_command", "valid_hash"]

_SHOWN = 10
_Facts: TypeAlias = list[list[str]]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True)


class _Step(_Model):
    player: str
    action: tuple[str, dict[str, str]]
    n_valid: int
    valid_hash: str
    true_added: _Facts
    true_removed: _Facts
    n_effects: int
    done: bool
    true: _Facts | None = None
    obs_hash: str | None = None

    # JSON has lists only.
    model_config = ConfigDict(strict=False)


class _Trace(_Model):
    trace: str
    task: str
    seed: int | None
    n_steps: int
    steps: list[_Step]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a walk came out differently: step counts from 0, `field` is its name in the file."""

    trace: str
    step: int
    field: str
    expected: JsonValue
    found: JsonValue

    def __str__(self) -> str:
        return f"{self.trace}, step {self.step}, {self.field}: expected {self.expected}, found {self.found}"


@dataclass(slots=True)
class Replay:
    """What came of a file. A walk is followed to the first step that differs."""

    traces: int = 0
    steps: int = 0
    differences: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.traces} traces, {self.steps} steps, {len(self.differences)} differences"


def replay_command(path: Path, data: Path | None = None) -> int:
    """Replay a file, print what differs and the sum, and return the exit status: 0 when all agrees."""
    found = replay(path, data)
    for difference in found.differences[:_SHOWN]:
        sys.stdout.write(f"{difference}\n")
    if len(found.differences) > _SHOWN:
        sys.stdout.write(f"… and {len(found.differences) - _SHOWN} more\n")
    sys.stdout.write(f"{found}\n")
    return 1 if found.differences else 0


def replay(path: Path, data: Path | None = None, *, every: int = 1) -> Replay:
    """Replay the walks of a file, or each `every`-th of them.

    The tasks are the built-in ones; with `data`, a folder that has `domain.json` and `tasks`, the walks go
    through what that folder says. Raises `UserError` with file, line and fault for what is no trace file.
    """
    out, kitchens = Replay(), _Kitchens(data)
    for number, line in _lines(path):
        if (number - 1) % every:
            continue
        try:
            trace = _Trace.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in fault["loc"])
            what = fault["msg"][:1].lower() + fault["msg"][1:]
            raise UserError(f"{path}:{number}: {f'{place}: ' if place else ''}{what}") from None
        try:
            kitchen = kitchens.of(trace.task, trace.seed)
        except UserError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        out.traces += 1
        _follow(trace, kitchen, kitchens.hashes, out)
    if not out.traces:
        raise UserError(f"{path}: there is no trace in it")
    return out


def _follow(trace: _Trace, kitchen: Kitchen, hashes: dict[Choice, str], out: Replay) -> None:
    kitchen.reset()
    if trace.n_steps != len(trace.steps):
        out.differences.append(Difference(trace.trace, 0, "n_steps", trace.n_steps, len(trace.steps)))
    for number, step in enumerate(trace.steps):
        out.steps += 1
        before = len(out.differences)
        for name, expected, found in _compared(step, kitchen, hashes):
            if expected != found:
                out.differences.append(Difference(trace.trace, number, name, expected, found))
        if len(out.differences) > before:
            return


def _compared(
    step: _Step, kitchen: Kitchen, hashes: dict[Choice, str]
) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Do a step; yield each recorded field, what it was and what it is here."""
    choice = kitchen.choice()
    yield "player", step.player, kitchen.players[kitchen.player]
    yield "n_valid", step.n_valid, len(choice.actions)
    if choice not in hashes:
        hashes[choice] = valid_hash(choice)
    yield "valid_hash", step.valid_hash, hashes[choice]
    before = kitchen.snapshot()
    name, objects = step.action
    try:
        kitchen.step(kitchen.action(name, **objects))
    except (InvalidAction, UserError) as error:
        yield "action", "a valid one", str(error)
        return
    added, removed = kitchen.changes(before)
    yield "true_added", _json(step.true_added), _json(added)
    yield "true_removed", _json(step.true_removed), _json(removed)
    yield "n_effects", step.n_effects, kitchen.n_effects
    yield "done", step.done, kitchen.done
    if step.true is not None:
        yield from _all_facts(step.true, kitchen.facts())
    if step.obs_hash is not None:
        yield "obs_hash", step.obs_hash, observation_hash(kitchen.observe())


def _all_facts(expected: _Facts, facts: Sequence[Fact]) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Yield only what differs: whole lists of facts are long."""
    found = [list(fact) for fact in facts]
    if expected != found:
        yield (
            "true",
            _json(f for f in expected if f not in found),
            _json(f for f in found if f not in expected),
        )


def _json(facts: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> JsonValue:
    return [[*fact] for fact in facts]


class _Kitchens:
    """The kitchens that traces ask for; walks in the same one follow one another, so one is kept."""

    def __init__(self, data: Path | None) -> None:
        self._data = data
        self._domain = Domain.builtin() if data is None else Domain.load(data / "domain.json")
        self._key: tuple[str, int | None] | None = None
        self._kitchen: Kitchen | None = None
        self.hashes: dict[Choice, str] = {}

    def of(self, name: str, seed: int | None) -> Kitchen:
        """Return the kitchen of a task's name and a seed."""
        if self._kitchen is None or (name, seed) != self._key:
            suite, _, title = name.partition("/")
            if self._data is None:
                task = Task.builtin(suite, title)
            else:
                task = Task.load(self._data / "tasks" / suite / f"{title}.json")
            self._key, self._kitchen = (name, seed), Kitchen(make_instance(task, seed, self._domain))
            self.hashes.clear()
        return self._kitchen


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path}: this is no gzip file") from None
    except EOFError:
        raise UserError(f"{path}: the file ends too early, after line {number}") from None
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'it cannot be read').lower()}") from None


def valid_hash(choice: Choice) -> str:
    """Return the hash of valid actions: of their canonical forms, sorted, a line each."""
    return _hash("\n".join(sorted(action.canonical for action in choice.actions)))


def observation_hash(text: str) -> str:
    """Return the hash of a kitchen's text with its lines of actions sorted."""
    before, marker, rest = text.partition("Valid Actions:\n")
    actions, goal, end = rest.partition("\n\nGoal: ")
    return _hash(before + marker + "\n".join(sorted(actions.split("\n"))) + goal + end)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
