"""The simulated model: it writes the calls of a task, and knows what its carrier shows it.

It keeps nothing between two requests. What it wrote and which results it has are read
off the messages or the text that it is asked to go on with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from agentflow.endpoints.price import estimate_input
from agentflow.errors import RunError
from agentflow_bench.asynclm.task import Task, TaskCall, critical_paths
from agentflow_protocols.chat import ChatRequest, Json, Message

__all__ = [
    "STEP",
    "Log",
    "Mind",
    "Seen",
    "answer_text",
    "in_messages",
    "in_text",
    "is_placeholder",
    "opening_of",
]

STEP = "step_"
"""The argument by which a call says which one of the task it is."""

_BLOCK = re.compile(r"\[(CALL|INTR)\](.*?)\[END\]", re.DOTALL)


@dataclass(slots=True)
class Seen:
    """What a conversation shows: the calls written, and those of them whose results are there.

    `ids` are the names by which the session knows the calls.
    """

    written: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Log:
    """What a simulated model was asked: requests, input tokens (an estimate), and the time zero."""

    began: float | None = None
    requests: int = 0
    input_tokens: int = 0
    shown: set[str] = field(default_factory=set)

    def note(self, request: ChatRequest, known: set[str]) -> int:
        """Count a request, and return how many results it shows for the first time."""
        self.requests += 1
        self.input_tokens += estimate_input(request)
        new = len(known - self.shown)
        self.shown |= known
        return new

    def start(self, now: float) -> None:
        """Take `now` for the time zero, when this is the first token of all."""
        if self.began is None:
            self.began = now


class Mind:
    """Decide what to write next.

    Calls go in the order of the longest path that remains, or as they are listed
    (`critical=False`). With `references` a call may be written before the results that
    it needs, which it then names. `opening` is the text after which the conversation
    is the model's own. Unless `plain`, a call says by an argument which one it is.
    """

    def __init__(
        self,
        task: Task,
        tps: float,
        *,
        critical: bool = True,
        references: bool = False,
        opening: str | None = None,
        plain: bool = False,
    ) -> None:
        self.task = task
        self.opening = opening_of(task) if opening is None else opening
        self._paths = critical_paths(task, tps) if critical else {}
        self._references = references
        self._plain = plain

    def ready(self, seen: Seen) -> list[TaskCall]:
        """Return the calls that may be written now, in the order in which to write them."""
        written = set(seen.written)
        chosen: list[TaskCall] = []
        while True:
            there: Collection[str] = written if self._references else seen.known
            free = [c for c in self.task.calls if c.id not in written and all(dep in there for dep in c.deps)]
            if not free:
                return chosen
            free.sort(key=lambda call: -self._paths.get(call.id, 0.0))
            chosen.append(free[0])
            written.add(free[0].id)

    def done(self, seen: Seen) -> bool:
        """Return whether every result is there."""
        return all(call.id in seen.known for call in self.task.calls)

    def arguments(self, call: TaskCall, message: Sequence[TaskCall], seen: Seen) -> str:
        """Return the arguments of `call`, as JSON, when it comes after those of `message` in its reply."""
        if self._plain:
            return json.dumps(call.arguments, ensure_ascii=False)
        arguments = {name: _unmistakable(value) for name, value in call.arguments.items()} | {STEP: call.id}
        numbers = {other.id: f"c{i}" for i, other in enumerate(message, 1)}
        needs: list[Json] = [
            f"${numbers.get(dep) or seen.ids[dep]}" for dep in call.deps if dep not in seen.known
        ]
        if needs:
            arguments["needs_"] = needs
        return json.dumps(arguments)


def is_placeholder(text: str) -> bool:
    """Return whether a tool message only says that its call runs."""
    return text.startswith('{"status": "running"')


def _unmistakable(value: Json) -> Json:
    """Return `value` with a second `$` before each text that could be read as a reference."""
    if isinstance(value, str):
        return f"${value}" if value.startswith("$") else value
    if isinstance(value, Mapping):
        return {name: _unmistakable(item) for name, item in value.items()}
    return [_unmistakable(item) for item in value] if isinstance(value, Sequence) else value


def opening_of(task: Task) -> str:
    """Return the first words of the question, by which the mind finds it again."""
    return f"Task {re.sub('[^A-Za-z0-9]', '-', task.id)}:"


def answer_text(task: Task) -> str:
    """Return the final answer."""
    return task.answer or f"Done: {', '.join(call.id for call in task.calls)}."


def in_messages(messages: Sequence[Message]) -> Seen:
    """Read a conversation with tool calls. Raises `RunError` for a result that is an error."""
    seen = Seen()
    steps: dict[str, str] = {}
    for message in messages:
        for call in message.calls:
            step = json.loads(call.arguments).get(STEP)
            if step is not None:
                seen.written.append(step)
                steps[call.id] = step
                seen.ids[step] = call.id
        if message.role == "tool":
            _take(seen, steps, str(message.call_id), message.text)
        elif message.role == "user":
            for kind, inside in _BLOCK.findall(message.text):
                if kind == "INTR":
                    source, _, value = inside.partition("[HEAD]")
                    _take(seen, steps, source.strip(), value.strip())
    return seen


def in_text(text: str) -> Seen:
    """Read markup: the model's own blocks and the interrupts among them.

    The interrupts of a user are known as `user_1`, `user_2` …
    """
    seen = Seen()
    steps: dict[str, str] = {}
    users = 0
    for kind, inside in _BLOCK.findall(text):
        name, _, value = inside.partition("[HEAD]")
        name = name.strip()
        if kind == "CALL":
            seen.written.append(name)
            steps[name] = seen.ids[name] = name
        elif name == "user":
            users += 1
            seen.known.add(f"user_{users}")
        else:
            _take(seen, steps, name, value.strip())
    return seen


def _take(seen: Seen, steps: Mapping[str, str], source: str, value: str) -> None:
    step = steps.get(source)
    if step is None or is_placeholder(value):
        return
    if not value.startswith("{"):
        raise RunError(f"call {step} came to {value[:200]!r}")
    if step in seen.known:
        raise RunError(f"the result of call {step} came twice")
    seen.known.add(step)
