"""The original's own files: its domain and its tasks, read with every fault told by file and place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal as Choice
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from agentflow.errors import UserError
from agentflow_bench.robotouille import domain as ours
from agentflow_bench.robotouille.instance import make_instance
from agentflow_bench.robotouille.tables import action_rule
from agentflow_bench.robotouille.task import SUITES, GoalLiteral, Placed, Scene, Task

__all__ = ["read_domain", "read_task", "read_tasks"]

Read = TypeVar("Read", bound=BaseModel)


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True)


class _Literal(_Model):
    predicate: str
    params: list[str]
    is_true: bool


class _Created(_Model):
    name: str
    type: str
    param: str


class _Effect(_Model):
    type: ours.EffectKind
    param: str
    fx: list[_Literal]
    sfx: list[_Effect]
    conditions: list[_Literal] = []
    created_obj: _Created | None = None


class _Action(_Model):
    name: str
    language_description: str
    precons: list[_Literal]
    immediate_fx: list[_Literal]
    sfx: list[_Effect]


class _Predicate(_Model):
    name: str
    param_types: list[str]
    language_descriptors: dict[str, str]


class _Domain(_Model):
    object_types: list[str]
    predicate_defs: list[_Predicate]
    action_defs: list[_Action]


class _Object(_Model):
    name: str
    x: int = Field(ge=0)
    y: int = Field(ge=0)
    level: int = Field(default=0, alias="stack-level", ge=0)
    direction: tuple[Choice[-1, 0, 1], Choice[-1, 0, 1]] | None = Field(default=None, strict=False)
    predicates: list[str] = []
    id: str | int = ""


class _Goal(_Model):
    predicate: str
    args: list[str]
    ids: list[str | int]


class _Task(_Model):
    width: int = Field(ge=1, le=30)
    height: int = Field(ge=1, le=30)
    stations: list[_Object]
    items: list[_Object]
    players: list[_Object] = Field(min_length=1)
    containers: list[_Object] = []
    meals: list[_Object] = []
    goal_description: str
    goal: list[_Goal] = Field(min_length=1)


def read_domain(path: Path) -> ours.Domain:
    """Return the domain in a `domain.json`. Raises `UserError` with file, place and fault.

    Actions are listed in the order of the benchmark where their parameters are its; in others it is that
    of the file, since the original's order is that of a set.
    """
    read = _read(path, _Domain)
    predicates = {
        each.name: ours.Predicate(
            each.name,
            tuple(each.param_types),
            tuple(each.language_descriptors.get(str(place), "") for place in range(len(each.param_types))),
        )
        for each in read.predicate_defs
    }
    for predicate in predicates.values():
        for type_ in predicate.types:
            if type_ not in read.object_types:
                raise _fault(path, predicate.name, f"no type `{type_}`{ours.near(type_, read.object_types)}")
        if not all(predicate.texts):
            raise _fault(path, predicate.name, "a line of language_descriptors is missing")
        for text in predicate.texts:
            _check_text(path, predicate.name, text, predicate.types, {})
    actions = tuple(_action(path, each, predicates) for each in read.action_defs)
    return ours.Domain(tuple(read.object_types), tuple(predicates.values()), actions)


def _action(path: Path, action: _Action, predicates: dict[str, ours.Predicate]) -> ours.ActionRule:
    before, after = _literals(action.precons), _literals(action.immediate_fx)
    special = tuple(_effect(each) for each in action.sfx)
    for literal in (*before, *after, *_nested(special)):
        predicate = predicates.get(literal.predicate)
        if predicate is None:
            fault = f"no predicate `{literal.predicate}`{ours.near(literal.predicate, predicates)}"
            raise _fault(path, action.name, fault)
        if len(predicate.types) != len(literal.parameters):
            raise _fault(path, action.name, f"`{predicate.name}` is about {len(predicate.types)} objects")
    known = list(dict.fromkeys(name for each in (*before, *after) for name in each.parameters))
    made = {each.creates.parameter: each.creates.type for each in _all(special) if each.creates}
    used = {name for each in _nested(special) for name in each.parameters}
    used |= {each.parameter for each in _all(special)}
    for name in sorted(used - made.keys() - {*known}):
        raise _fault(path, action.name, f"an effect speaks of `{name}`, which is no parameter of the action")
    types = dict(made)
    for literal in (*before, *after, *_nested(special)):
        if len({*literal.parameters}) < len(literal.parameters):
            raise _fault(path, action.name, f"`{literal.predicate}` is about different objects")
        for name, type_ in zip(literal.parameters, predicates[literal.predicate].types, strict=True):
            if types.setdefault(name, type_) != type_:
                raise _fault(path, action.name, f"`{name}` is a {types[name]} and a {type_}")
    order = known
    for rule in ours.Domain.builtin().actions:
        names = [name for name, _ in rule.parameters]
        if rule.name == action.name and set(names) == set(known):
            order = names
    _check_text(path, action.name, action.language_description, (), dict.fromkeys(known, ""))
    return action_rule(predicates, action.name, action.language_description, order, before, after, special)


def _check_text(path: Path, where: str, text: str, places: Iterable[str], names: Mapping[str, str]) -> None:
    try:
        text.format(*places, **names)
    except (LookupError, ValueError, AttributeError) as error:
        raise _fault(path, where, f"the text `{text}` cannot be filled: {error}") from None


def _literals(read: Iterable[_Literal]) -> tuple[ours.Literal, ...]:
    return tuple(ours.Literal(each.predicate, tuple(each.params), each.is_true) for each in read)


def _effect(read: _Effect) -> ours.EffectRule:
    made = read.created_obj
    return ours.EffectRule(
        read.type,
        read.param,
        _literals(read.fx),
        _literals(read.conditions),
        tuple(_effect(each) for each in read.sfx),
        ours.Creation(made.name, made.type, made.param) if made else None,
    )


def _all(rules: Iterable[ours.EffectRule]) -> Iterable[ours.EffectRule]:
    for rule in rules:
        yield rule
        yield from _all(rule.nested)


def _nested(rules: Iterable[ours.EffectRule]) -> Iterable[ours.Literal]:
    for rule in _all(rules):
        yield from rule.effects
        yield from rule.conditions


def read_tasks(path: Path) -> list[Task]:
    """Return the task of a file, or those of a folder and the folders in it, in order of their names.

    Raises `UserError` with file, place and fault.
    """
    if not path.is_dir():
        return [read_task(path)]
    files = sorted(path.rglob("*.json"), key=lambda file: (file.parent, _numbered(file.stem)))
    if not files:
        raise UserError(f"{path}: no .json file there")
    return [read_task(file) for file in files]


def read_task(path: Path) -> Task:
    """Return the task in a file. Its suite is its folder's name.

    Where the benchmark has a task of that suite and title, its listed length is taken. Raises
    `UserError` with file, place and fault.
    """
    read = _read(path, _Task)
    for place, goal in enumerate(read.goal):
        if len(goal.args) != len(goal.ids):
            raise _fault(path, f"goal[{place}]", f"{len(goal.args)} args and {len(goal.ids)} ids")
    scene = Scene(
        read.width,
        read.height,
        _placed(path, "stations", read.stations, read),
        _placed(path, "items", read.items, read),
        _placed(path, "players", read.players, read),
        _placed(path, "containers", read.containers, read),
        _placed(path, "meals", read.meals, read),
    )
    goals = tuple(
        GoalLiteral(each.predicate, tuple(each.args), tuple(str(id_) for id_ in each.ids))
        for each in read.goal
    )
    suite, title = path.resolve().parent.name, path.stem
    optimal = None
    if suite in SUITES:
        optimal = next((each.optimal_steps for each in _listed(suite) if each.title == title), None)
    task = Task(suite, title, scene.ordered(), read.goal_description, goals, optimal)
    try:
        make_instance(task)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return task


def _listed(suite: str) -> Sequence[Task]:
    from agentflow_bench.robotouille.task import all_tasks

    return all_tasks(suite)


def _placed(path: Path, section: str, objects: Iterable[_Object], task: _Task) -> tuple[Placed, ...]:
    out: list[Placed] = []
    for place, each in enumerate(objects):
        where = f"{section}[{place}]"
        if each.x >= task.width or each.y >= task.height:
            size = f"{task.width} x {task.height}"
            raise _fault(path, where, f"the cell {each.x},{each.y} is outside of {size} cells")
        if section == "players" and each.direction is None:
            raise _fault(path, where, "`direction` is missing")
        predicates = tuple(each.predicates)
        out.append(Placed(each.name, each.x, each.y, each.level, each.direction, predicates, str(each.id)))
    return tuple(out)


def _numbered(title: str) -> tuple[float, str]:
    number = title.partition("_")[0]
    try:
        return float(number), title
    except ValueError:
        return float("inf"), title


def _read(path: Path, model: type[Read]) -> Read:
    try:
        found: JsonValue = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'it cannot be read').lower()}") from None
    except (UnicodeDecodeError, RecursionError):
        raise UserError(f"{path}: this is no JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}:{error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
        ) from None
    try:
        return model.model_validate(found)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        raise _fault(path, _dotted(fault["loc"]), _said(fault)) from None


def _said(fault: Mapping[str, object]) -> str:
    if fault["type"] == "missing":
        return "it is missing"
    message = str(fault["msg"])
    return message[:1].lower() + message[1:]


def _dotted(place: Iterable[int | str]) -> str:
    out = ""
    for part in place:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out or "the file"


def _fault(path: Path, where: str, what: str) -> UserError:
    return UserError(f"{path}: {where}: {what}")
