"""The tasks of the AsyncLM bench: calls with their lengths, run times and dependencies.

A task file has one JSON object a line: `id`, `kind`, `question`, `response_tokens`
and `calls`, each with `id`, `text` (a Python call), `tokens`, `exec_s`, `deps`; and,
where they are known, the makespans that each protocol must reach, as
`expected[setting][tokens a second][mode]`.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentflow.errors import UserError
from agentflow_protocols.chat import Json
from agentflow_protocols.cml.markup import id_fault

__all__ = ["SETTINGS", "SPEEDS", "Pace", "Task", "TaskCall", "critical_paths", "pace", "read_tasks"]

SETTINGS: Mapping[str, tuple[float, float]] = {
    "ideal": (0.0, 0.0),
    "local": (0.01, 0.06),
    "chat_api": (0.01, 0.31),
}
"""Seconds to put one result in, and seconds to the first token of a request."""

SPEEDS = (20, 50, 100)
"""Tokens a second."""

_NAME = re.compile(r"\w+(?:\.\w+)*")
_OWN = ("wait", "cancel", "progress", "read")  # names of a session's own tools


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a model writes: tokens a second, and what a result and a request cost in seconds."""

    tps: float
    inject_s: float
    turn_s: float


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A call that the model shall write. `tool` and `arguments` are its `text`, taken apart."""

    id: str
    tool: str
    arguments: Mapping[str, Json]
    tokens: int
    exec_s: float
    deps: Sequence[str]


@dataclass(frozen=True, slots=True)
class Task:
    """A question, the calls that answer it, and the makespans that are known, in seconds.

    A call whose `deps` name `user_1` is wanted by the first interrupt of a user.
    """

    id: str
    kind: str
    question: str
    calls: Sequence[TaskCall]
    response_tokens: int
    expected: Mapping[str, Mapping[str, Mapping[str, float | None]]] = field(default_factory=dict)
    answer: str = ""

    def known(self, setting: str, tps: int, mode: str) -> float | None:
        """Return the expected makespan, None when the file tells none."""
        return self.expected.get(setting, {}).get(str(tps), {}).get(mode)


def pace(setting: str, tps: float) -> Pace:
    """Return the pace of a setting. Raises `UserError` for one that is unknown."""
    if setting not in SETTINGS:
        raise UserError(f"no setting `{setting}` (allowed: {', '.join(SETTINGS)})")
    return Pace(tps, *SETTINGS[setting])


def critical_paths(task: Task, tps: float) -> dict[str, float]:
    """Return, for each call, the seconds from the end of its block to the end of all that needs it."""
    after: dict[str, list[TaskCall]] = {call.id: [] for call in task.calls}
    for call in task.calls:
        for dep in call.deps:
            after.setdefault(dep, []).append(call)
    paths: dict[str, float] = {}
    left = list(task.calls)
    while left:
        for call in left:
            if all(later.id in paths for later in after[call.id]):
                rest = max((later.tokens / tps + paths[later.id] for later in after[call.id]), default=0.0)
                paths[call.id] = call.exec_s + rest
        left = [call for call in left if call.id not in paths]
    return paths


def read_tasks(file: Path) -> list[Task]:
    """Return the tasks of a JSON Lines file, or of `tasks.jsonl` in a folder.

    Raises `UserError` with the line of what is no task.
    """
    file = file / "tasks.jsonl" if file.is_dir() else file
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: it is not UTF-8") from None
    tasks: list[Task] = []
    ids: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            task = _task(json.loads(line))
            if task.id in ids:
                raise ValueError(f"a second task `{task.id}`")
        except KeyError as error:
            raise UserError(f"{file}:{number}: no task: the key {error} is missing") from None
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{file}:{number}: no task: {error}") from None
        ids.add(task.id)
        tasks.append(task)
    if not tasks:
        raise UserError(f"{file}: it holds no tasks")
    return tasks


def _task(data: Mapping[str, object]) -> Task:
    calls = [_call(item) for item in _list(data, "calls")]
    known: dict[str, TaskCall] = {}
    for call in calls:
        if call.id in known:
            raise ValueError(f"two calls `{call.id}`")
        known[call.id] = call
    if not calls:
        raise ValueError("it has no calls")
    _check_order(calls, known)
    expected = data.get("expected") or {}
    if not isinstance(expected, Mapping):
        raise ValueError("`expected` is no object")
    return Task(
        str(data["id"]),
        str(data.get("kind", "")),
        str(data.get("question") or "Go."),
        calls,
        _count(data, "response_tokens"),
        expected,
    )


def _check_order(calls: Sequence[TaskCall], known: Mapping[str, TaskCall]) -> None:
    """Raise ValueError for a dependency that is unknown or leads back."""
    for call in calls:
        for dep in call.deps:
            if dep not in known:
                raise ValueError(f"call `{call.id}` needs `{dep}`, which is no call of this task")
    done: set[str] = set()
    while len(done) < len(calls):
        free = [c.id for c in calls if c.id not in done and all(dep in done for dep in c.deps)]
        if not free:
            raise ValueError("its calls need one another in a circle")
        done.update(free)


def _call(data: object) -> TaskCall:
    if not isinstance(data, Mapping):
        raise ValueError("a call is no object")
    name = str(data["id"])
    fault = id_fault(name)
    if fault is not None:
        raise ValueError(f"call id {name!r} {fault}")
    seconds = data["exec_s"]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise ValueError(f"call `{name}`: exec_s {seconds!r} is no number of seconds")
    deps = [str(dep) for dep in _list(data, "deps")]
    tool, arguments = _taken_apart(str(data["text"]))
    return TaskCall(name, tool, arguments, _count(data, "tokens"), float(seconds), deps)


def _list(data: Mapping[str, object], key: str) -> Sequence[object]:
    value = data[key]
    if not isinstance(value, list):
        raise ValueError(f"`{key}` is no list")
    return value


def _count(data: Mapping[str, object], key: str) -> int:
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{key}` is no whole number above 0: {value!r}")
    return value


def _taken_apart(text: str) -> tuple[str, dict[str, Json]]:
    """Return the tool's name and the arguments of a Python call; what is no literal stays text."""
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError
        name = ast.unparse(call.func)
        arguments: dict[str, Json] = {f"arg{i}": _value(each) for i, each in enumerate(call.args, 1)}
        arguments |= {each.arg or "more": _value(each.value) for each in call.keywords}
    except (SyntaxError, ValueError):
        found = _NAME.search(text)
        name, arguments = found[0] if found else "call", {"text": text}
    tool = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:60]
    reserved = tool in _OWN or tool.startswith("transfer_to_")
    return (f"a_{tool}" if reserved else tool), arguments


def _value(node: ast.expr) -> Json:
    try:
        value = ast.literal_eval(node)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError):
        return ast.unparse(node)
    return value  # type: ignore[no-any-return]
