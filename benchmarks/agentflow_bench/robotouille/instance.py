"""Instances: a task with its objects named, its first facts, and its goal over those objects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from agentflow.errors import UserError
from agentflow_bench.robotouille.domain import Domain, near
from agentflow_bench.robotouille.generate import generate
from agentflow_bench.robotouille.task import Placed, Scene, Task

__all__ = ["Fact", "Goal", "Instance", "Term", "make_instance"]

Fact: TypeAlias = tuple[str, ...]
Term: TypeAlias = tuple[str, str] | str


@dataclass(frozen=True, slots=True)
class Goal:
    """What shall hold: literals over objects and over variables of a group.

    A variable is `(kind, id)`, and `groups` has, for each kind, its ids and the objects that they may
    stand for; the ids of one group stand for different ones.
    """

    literals: tuple[tuple[str, tuple[Term, ...]], ...]
    groups: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]

    @property
    def choices(self) -> int:
        """In how many ways the variables can be told apart."""
        return math.prod(math.perm(len(objects), len(ids)) for ids, objects in self.groups.values())


@dataclass(frozen=True, slots=True)
class Instance:
    """A kitchen to begin with.

    `objects` are names and types in order; `facts` are what is true at first; `seed_used` is the seed
    that gave a kitchen. `step_limit` is how many steps can happen, None where the task lists no length.
    """

    task: Task
    domain: Domain
    seed: int | None
    seed_used: int | None
    scene: Scene
    objects: tuple[tuple[str, str], ...]
    layout: Mapping[str, tuple[int, int]]
    facts: frozenset[Fact]
    goal: Goal
    step_limit: int | None

    @property
    def name(self) -> str:
        """The task's name and the seed, such as `synchronous/0_cheese_sandwich:42`."""
        return f"{self.task.id}:{self.seed}"


def make_instance(task: Task, seed: int | None = None, domain: Domain | None = None) -> Instance:
    """Return the task's kitchen as it is drawn, or with a seed another one for the same goal.

    Only the first player stays with a seed. Raises `UserError` for a seed that gives no kitchen, and
    for a task that speaks of what the domain does not have.
    """
    domain = domain or Domain.builtin()
    scene, used = task.scene.ordered(), seed
    if seed is not None:
        scene, used = generate(scene, seed)
    named = _named(scene.ordered(), domain, task.id)
    limit = None if task.optimal_steps is None else math.ceil(1.5 * task.optimal_steps)
    return Instance(
        task,
        domain,
        seed,
        used,
        scene,
        tuple((name, type_) for name, type_, _ in named),
        {name: (placed.x, placed.y) for name, _, placed in named},
        frozenset(_facts(named)),
        _goal(task, domain, named),
        limit,
    )


def _named(scene: Scene, domain: Domain, where: str) -> list[tuple[str, str, Placed]]:
    kinds, count = domain.kinds(), Counter[str]()
    out: list[tuple[str, str, Placed]] = []
    for type_, placed in scene.objects():
        if kinds.get(placed.kind) != type_:
            raise UserError(f"{where}: no {type_} `{placed.kind}`{near(placed.kind, kinds)}")
        for predicate in placed.predicates:
            if domain.predicate(predicate).types != (type_,):
                raise UserError(f"{where}: `{predicate}` says nothing of the {type_} `{placed.kind}` alone")
        count[placed.kind] += 1
        out.append((f"{placed.kind}{count[placed.kind]}", type_, placed))
    return out


Named: TypeAlias = Sequence[tuple[str, str, Placed]]


def _facts(named: Named) -> Iterable[Fact]:
    def of(type_: str) -> list[tuple[str, Placed]]:
        return [(name, placed) for name, each, placed in named if each == type_]

    def at(objects: Iterable[tuple[str, Placed]], x: int, y: int) -> list[tuple[str, Placed]]:
        return [(name, placed) for name, placed in objects if (placed.x, placed.y) == (x, y)]

    items, containers, players = of("item"), of("container"), of("player")
    for name, _, placed in named:
        yield f"is{placed.kind}", name
        for predicate in placed.predicates:
            yield predicate, name
    for name, placed in containers:
        meals = at(of("meal"), placed.x, placed.y)
        yield from [("in", meal, name) for meal, _ in meals]
        if not meals:
            yield "container_empty", name
    for name, station in of("station"):
        looking = [each for each, player in players if _looks_at(player) == (station.x, station.y)]
        yield from [("loc", each, name) for each in looking]
        if not looking:
            yield "vacant", name
        here = at(items, station.x, station.y)
        pots = at(containers, station.x, station.y)
        yield from [("item_at", each, name) for each, _ in here]
        yield from [("container_at", each, name) for each, _ in pots]
        if not here and not pots:
            yield "station_empty", name
        stack = [each for each, _ in sorted(here, key=lambda pair: pair[1].level)]
        if stack:
            yield "item_on", stack[0], name
            yield "clear", stack[-1]
        yield from [("atop", upper, lower) for lower, upper in pairwise(stack)]
    for name, player in players:
        held, pots = at(items, player.x, player.y), at(containers, player.x, player.y)
        if held:
            yield "has_item", name, held[0][0]
        elif pots:
            yield "has_container", name, pots[0][0]
        else:
            yield "nothing", name


def _looks_at(player: Placed) -> tuple[int, int]:
    dx, dy = player.direction or (0, 0)
    return player.x + dx, player.y + dy


def _goal(task: Task, domain: Domain, named: Named) -> Goal:
    by_id = {placed.id: name for name, _, placed in named if placed.id}
    kind_of: dict[str, str] = {}  # an id of two kinds belongs to the one that comes first
    types: dict[str, str] = {}
    ids: dict[str, dict[str, None]] = {}
    literals: list[tuple[str, tuple[Term, ...]]] = []
    for literal in task.goal:
        predicate = domain.predicate(literal.predicate)
        if len(predicate.types) != len(literal.kinds):
            raise UserError(
                f"{task.id}: `{predicate.name}` in the goal is about {len(predicate.types)} objects"
            )
        terms: list[Term] = []
        for kind, id_, type_ in zip(literal.kinds, literal.ids, predicate.types, strict=True):
            if id_.isdigit():
                types.setdefault(kind, type_)
                ids.setdefault(kind, {})[id_] = None
                terms.append((kind_of.setdefault(id_, kind), id_))
            elif id_ in by_id:
                terms.append(by_id[id_])
            else:
                raise UserError(f"{task.id}: the goal names `{id_}`, which is the id of nothing")
        literals.append((predicate.name, tuple(terms)))
    groups: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for kind, known in ids.items():
        objects = [name for name, type_, _ in named if type_ == types[kind] and kind in name]
        objects = objects or [f"{kind}{number}" for number in range(1, len(known) + 1)]
        groups[kind] = tuple(known), tuple(objects)
    return Goal(tuple(literals), groups)
