"""Tasks: a kitchen, what lies where in it, and what shall be cooked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from agentflow.errors import UserError
from agentflow_bench.robotouille.domain import near

__all__ = ["SUITES", "GoalLiteral", "Placed", "Scene", "Suite", "Task", "all_tasks"]

Suite: TypeAlias = Literal["synchronous", "asynchronous", "multi_agent"]
SUITES: tuple[Suite, ...] = ("synchronous", "asynchronous", "multi_agent")

_TABLES = Path(__file__).with_name("tasks.txt")
_STATIONS = {"T": "table", "S": "stove", "B": "board", "F": "fryer", "K": "sink"}
_PLAYERS = {"v": (0, 1), "^": (0, -1), ">": (1, 0), "<": (-1, 0)}
_CONTAINERS = ("pot", "bowl")
_GOAL = re.compile(r"([\w-]+)\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Placed:
    """An object in a cell. `level` orders a stack from below; `direction` is where a player looks."""

    kind: str
    x: int
    y: int
    level: int = 0
    direction: tuple[int, int] | None = None
    predicates: tuple[str, ...] = ()
    id: str = ""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is in a kitchen of `width` by `height` cells, by type."""

    width: int
    height: int
    stations: tuple[Placed, ...]
    items: tuple[Placed, ...]
    players: tuple[Placed, ...]
    containers: tuple[Placed, ...] = ()
    meals: tuple[Placed, ...] = ()

    def ordered(self) -> Scene:
        """Return the scene with each type in order of x, then y."""

        def by_cell(objects: Iterable[Placed]) -> tuple[Placed, ...]:
            return tuple(sorted(objects, key=lambda each: (each.x, each.y)))

        return replace(
            self,
            stations=by_cell(self.stations),
            items=by_cell(self.items),
            players=by_cell(self.players),
            containers=by_cell(self.containers),
            meals=by_cell(self.meals),
        )

    def objects(self) -> Iterable[tuple[str, Placed]]:
        """Yield type and object, in the order of types."""
        for name, objects in (
            ("station", self.stations),
            ("item", self.items),
            ("player", self.players),
            ("container", self.containers),
            ("meal", self.meals),
        ):
            for each in objects:
                yield name, each


@dataclass(frozen=True, slots=True)
class GoalLiteral:
    """A predicate that must hold for objects: `kinds` says of what kind, `ids` which are the same one."""

    predicate: str
    kinds: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a suite, such as `synchronous/0_cheese_sandwich`.

    `optimal_steps` is the length that the benchmark lists for the kitchen as it is drawn; None where it
    lists none. It is used with every seed, and is not always the shortest.
    """

    suite: str
    title: str
    scene: Scene
    goal_text: str
    goal: tuple[GoalLiteral, ...]
    optimal_steps: int | None = None

    @property
    def name(self) -> str:
        """The title's number, such as `3.1`."""
        return self.title.partition("_")[0]

    @property
    def id(self) -> str:
        """The task's name among all suites."""
        return f"{self.suite}/{self.title}"

    @staticmethod
    def builtin(suite: str, name: str) -> Task:
        """Return a task by its number or its title. Raises `UserError` for one that there is not."""
        tasks = all_tasks(suite)
        for task in tasks:
            if name in (task.name, task.title):
                return task
        raise UserError(f"no task `{name}` in {suite}{near(name, (task.name for task in tasks))}")

    @staticmethod
    def load(path: Path) -> Task:
        """Return the task in a file of the original. Raises `UserError` with file, place and fault."""
        from agentflow_bench.robotouille.original import read_task

        return read_task(path)


def all_tasks(suite: str) -> list[Task]:
    """Return the tasks of a suite in its order. Raises `UserError` for an unknown suite."""
    if suite not in SUITES:
        raise UserError(f"no suite `{suite}`{near(suite, SUITES)}")
    return [task for task in _builtin() if task.suite == suite]


@cache
def _builtin() -> tuple[Task, ...]:
    blocks = _TABLES.read_text(encoding="utf-8").split("\n\n")
    return tuple(_read(block) for block in blocks if not block.startswith("#"))


def _read(block: str) -> Task:
    """Read `suite/title [optimal]`, goal text, goal, rows of the map, and what lies at `x,y`."""
    head, text, goal, *rest = block.strip().splitlines()
    title, _, optimal = head.partition(" ")
    rows = [line for line in rest if "," not in line]
    stations: list[Placed] = []
    players: list[Placed] = []
    for y, row in enumerate(rows):
        for x, letter in enumerate(row.split()):
            if letter in _STATIONS:
                stations.append(Placed(_STATIONS[letter], x, y))
            elif letter in _PLAYERS:
                players.append(Placed("robot", x, y, direction=_PLAYERS[letter]))
    items: list[Placed] = []
    containers: list[Placed] = []
    for line in rest[len(rows) :]:
        cell, *things = line.split()
        x, y = (int(number) for number in cell.split(","))
        for level, thing in enumerate(things):
            kind, *predicates = thing.split("+")
            if kind == "-":
                continue
            if kind in _CONTAINERS:
                containers.append(Placed(kind, x, y))
            else:
                items.append(Placed(kind, x, y, level, predicates=tuple(predicates)))
    width = len(rows[0].split())
    scene = Scene(width, len(rows), tuple(stations), tuple(items), tuple(players), tuple(containers))
    suite, _, name = title.partition("/")
    return Task(suite, name, scene.ordered(), text, _goal(goal), int(optimal) if optimal else None)


def _goal(text: str) -> tuple[GoalLiteral, ...]:
    out: list[GoalLiteral] = []
    for predicate, arguments in _GOAL.findall(text):
        pairs = [argument.partition(":") for argument in arguments.split(",")]
        out.append(
            GoalLiteral(predicate, tuple(kind for kind, _, _ in pairs), tuple(id for _, _, id in pairs))
        )
    return tuple(out)
