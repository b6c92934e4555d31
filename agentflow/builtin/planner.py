"""A rule-based planner behind the model seam. No LLM: no weights, no network, no key.

It reads a question in AsyncHow's wording (see `agentflow.builtin.question`) and calls a
tool of the request for each step, the longest remaining path first, each as soon as
all that it waits for is done. Like a model on the wire it keeps nothing between two
requests: all it knows stands in the messages. Examples and benchmarks run on it, so
that everything but the cleverness is real. Without a tool it answers with the shortest
time, and writes the plan in the form that it is asked for.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agentflow.builtin.question import Question, Step, read_question
from agentflow.errors import LocalProtocolError, UserError
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat import (
    CallReady,
    CallStarted,
    ChatRequest,
    Delta,
    Json,
    Message,
    Reply,
    TextPiece,
    ToolCall,
    ToolSpec,
    Usage,
)
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.duration import format_seconds
from agentflow_protocols.plan import Form, encode_graph, encode_lines, encode_plan, to_json

__all__ = ["PlannerModel", "PlannerStream"]

_BUILT_IN = {"wait", "cancel", "progress", "read"}
_CHARACTERS_A_TOKEN = 4
_INTERRUPT = re.compile(r"\[INTR\]\s*(\S+)\s*\[HEAD\]\s*(.*?)\s*\[END\]", re.DOTALL)
_PENDING = {"running", "pending", "queued", "started"}
_BAD = {"failed", "retry", "error", "denied", "unknown"}
_FAULT = re.compile(
    r"\s*(?:error|failed|failure|retry|cancelled|denied|the outcome of this call is unknown)\b", re.IGNORECASE
)
_MOST_TRIES = 2
_FORMS: Mapping[str, Form] = {
    "an adjacency list:": "adjacency_list",
    "an adjacency matrix:": "adjacency_matrix",
    "compressed sparse rows:": "csr",
    "an edge list:": "edge_list",
}  # by the words in which a prompt asks for one
_HELP = (
    "I am a rule-based planner, no LLM. I understand a list of steps, each with its duration in brackets "
    '("1. Boil the water (10 minutes)"), and sentences on their order ("Step 1 must precede step 3.").'
)


class PlannerModel:
    """Plan by rules, no LLM.

    Writes at once by default; `first_token_s` and `tokens_per_second` make it take a
    model's time, on the loop's clock.
    """

    name = "builtin:planner"
    capabilities = Capabilities(images=False, files=False, json_schema=False)

    def __init__(self, *, tokens_per_second: float | None = None, first_token_s: float = 0.0) -> None:
        if first_token_s < 0 or (tokens_per_second is not None and tokens_per_second <= 0):
            raise UserError("builtin:planner: tokens_per_second must be above 0, first_token_s not below 0")
        self._per_token = 0.0 if tokens_per_second is None else 1 / tokens_per_second
        self._first_token_s = first_token_s

    def open(self, request: ChatRequest, resources: Resources) -> PlannerStream:
        """Return the reply to `request` as a stream. Needs no `resources`."""
        text, calls = _answer(request)
        return PlannerStream(request, text, calls, self._first_token_s, self._per_token)


class PlannerStream:
    """One reply of the planner: an async iterable of deltas; `reply` is there once it has ended."""

    def __init__(
        self, request: ChatRequest, text: str, calls: list[ToolCall], first_s: float, per_token: float
    ) -> None:
        self._pieces = _pieces(text, calls)
        self._wait = first_s
        self._per_token = per_token
        self._closed = False
        written = text + "".join(call.name + call.arguments for call in calls)
        read = sum(_length(message) for message in request.messages)
        usage = Usage(_tokens(read), _tokens(len(written)), requests=1)
        self._whole = Reply(
            Message("assistant", text, calls=calls),
            usage,
            "tool_calls" if calls else "stop",
            PlannerModel.name,
        )
        self._ended = False

    @property
    def reply(self) -> Reply:
        """The whole reply; there once the iteration has ended."""
        if not self._ended:
            raise LocalProtocolError("a reply was asked for before its end")
        return self._whole

    def __aiter__(self) -> PlannerStream:
        return self

    async def __anext__(self) -> Delta:
        if self._closed:
            raise StopAsyncIteration
        piece = next(self._pieces, None)
        if piece is None:
            self._ended = self._closed = True
            raise StopAsyncIteration
        delta, size = piece
        self._wait += self._per_token * size
        if self._wait:
            await asyncio.sleep(self._wait)
            self._wait = 0.0
        return delta

    async def aclose(self) -> None:
        """End the stream; may be called at any time."""
        self._closed = True


@dataclass(slots=True)
class _Progress:
    """What the messages tell of one step."""

    calls: list[str] = field(default_factory=list)
    done: bool = False
    fault: str | None = None


def _answer(request: ChatRequest) -> tuple[str, list[ToolCall]]:
    """Return the text and the calls of the next reply."""
    try:
        question, since = _question(request.messages)
        if question is None:
            return _HELP, []
        tool = _tool(request.tools, question)
    except UserError as error:
        return f"{_HELP} I can't follow this: {error}.", []
    if tool is None:
        return _written(question, request) or _plan_text(question), []
    steps = _state(question, tool, request.messages[since:])
    ready = [n for n, step in steps.items() if not step.calls and _may_start(question, steps, n)]
    again = [n for n, step in steps.items() if step.fault is not None and 0 < len(step.calls) < _MOST_TRIES]
    if start := sorted(ready + again, key=lambda n: (-question.rest[n], n)):
        made = sum(len(message.calls) for message in request.messages)
        calls = [
            ToolCall(f"call_{made + i}", tool.name, json.dumps(_arguments(tool, question.steps[n])))
            for i, n in enumerate(start, 1)
        ]
        return f"Starting {_numbers(start)}.", calls
    if any(step.calls and not step.done and step.fault is None for step in steps.values()):
        if any(spec.name == "wait" for spec in request.tools):
            made = sum(len(message.calls) for message in request.messages)
            return "", [ToolCall(f"call_{made + 1}", "wait", "{}")]
        return "Waiting.", []
    return _closing(question, steps), []


def _question(messages: Sequence[Message]) -> tuple[Question | None, int]:
    """Return the newest question and the index after it.

    What a user says while a question is being worked on does not end it; a plain
    message after its answer does.
    """
    for i in range(len(messages) - 1, -1, -1):
        message = messages[i]
        if message.role != "user" or _INTERRUPT.search(message.text):
            continue
        fresh = not any(m.role == "user" for m in messages[:i]) or (
            messages[i - 1].role == "assistant" and not messages[i - 1].calls
        )
        try:
            question = read_question(message.text)
        except UserError:
            if fresh:
                raise
            continue
        if question is not None or fresh:
            return question, i + 1
    return None, len(messages)


def _tool(tools: Sequence[ToolSpec], question: Question) -> ToolSpec | None:
    """Return the first tool whose required parameters a step can fill."""
    own = [t for t in tools if t.name not in _BUILT_IN and not t.name.startswith("transfer_to_")]
    if not own:
        return None
    some = next(iter(question.steps.values()))
    for tool in own:
        required = tool.parameters.get("required")
        names = [str(name) for name in required] if isinstance(required, Sequence) else []
        if set(names) <= _arguments(tool, some).keys():
            return tool
    raise UserError(
        f"no tool takes what I know of a step; `{own[0].name}` wants more than step, task, duration"
    )


def _arguments(tool: ToolSpec, step: Step) -> dict[str, Json]:
    """Return the arguments of `tool` for `step`, by the names of its parameters."""
    known: dict[str, Json] = {"duration": step.duration, "seconds": step.seconds[1]}
    known |= dict.fromkeys(("step", "number"), step.number)
    known |= dict.fromkeys(("task", "name", "text", "title"), step.text)
    properties = tool.parameters.get("properties")
    out: dict[str, Json] = {}
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        if name in known:
            value = known[name]
            kind = schema.get("type") if isinstance(schema, Mapping) else None
            if kind == "string":
                value = str(value)
            elif kind == "integer" and isinstance(value, float):
                value = round(value)
            out[name] = value
    return out


def _state(question: Question, tool: ToolSpec, messages: Sequence[Message]) -> dict[int, _Progress]:
    """Return what the messages tell of each step: its calls, whether it is done, its last fault."""
    results = _results(messages, tool.name)
    steps = {number: _Progress() for number in question.steps}
    owners: dict[str, list[_Progress]] = {}
    for number, step in question.steps.items():
        owners.setdefault(_key(json.dumps(_arguments(tool, step))), []).append(steps[number])
    for call in (call for message in messages for call in message.calls if call.name == tool.name):
        for state in owners.get(_key(call.arguments), ()):
            if not state.calls or state.fault is not None:
                state.calls.append(call.id)
                state.done, state.fault = results.get(call.id, (False, None))
                break
    return steps


def _results(messages: Sequence[Message], tool: str) -> dict[str, tuple[bool, str | None]]:
    """Return what came of each call, by its id: whether it is done, else its fault."""
    found: dict[str, tuple[bool, str | None]] = {}
    for message in messages:
        if message.role == "tool" and message.call_id:
            pairs = [(message.call_id, message.text)]
        elif message.role == "user":
            pairs = [(m[1], m[2]) for m in _INTERRUPT.finditer(message.text)]
        else:
            continue
        for call, text in pairs:
            outcome = _outcome(text, tool)
            if outcome is not None:
                found[call] = outcome
    return found


def _outcome(text: str, tool: str) -> tuple[bool, str | None] | None:
    """Return (done, fault) of a result's text; None for a placeholder."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    status = value.get("status") if isinstance(value, dict) else None
    if status in _PENDING:
        return None
    fault = status in _BAD or status == "cancelled" or (isinstance(value, dict) and "error" in value)
    if fault or text.startswith(f"{tool}: ") or _FAULT.match(text):
        return False, " ".join(text.split())[:200]
    return True, None


def _may_start(question: Question, steps: Mapping[int, _Progress], number: int) -> bool:
    return all(steps[a].done for a in question.after[number])


def _closing(question: Question, steps: Mapping[int, _Progress]) -> str:
    """Return the final text. The answer is all that stands in double quotes."""
    lines = ["Rule-based planner, no LLM."]
    for number, step in question.steps.items():
        state = steps[number]
        how = "done" if state.done else f"failed: {state.fault}" if state.fault else "not started"
        lines.append(f"{number}. {step.text} ({step.duration}): {how}".replace('"', "'"))
    if all(step.done for step in steps.values()):
        lines.append(f"The shortest time for all of it is {_total(question)}.")
    else:
        lines.append("Not all of it could be done.")
    return "\n".join(lines)


def _plan_text(question: Question) -> str:
    order = sorted(question.steps, key=lambda n: (-question.rest[n], n))
    return (
        f"Rule-based planner, no LLM. I have no tool to do the steps with. By urgency: {_numbers(order)}. "
        f"The shortest time for all of it is {_total(question)}."
    )


def _written(question: Question, request: ChatRequest) -> str | None:
    """Return the plan in the form in which the last message wants it; None where it wants none."""
    plan, asked = question.plan(), request.messages[-1].text
    if request.output is not None and "steps" in str(request.output.get("properties")):
        return json.dumps(to_json(plan), ensure_ascii=False)
    if "(DURATION) <- NUMBER" in asked:
        return encode_lines(plan)
    form = next((form for words, form in _FORMS.items() if words in asked), None)
    if form is None:
        return None
    if "three backquotes" in asked:
        text = f"```\n{encode_plan(plan, form)}\n```"
    else:
        table = "\n".join(f"{step.name}: {step.duration}" for step in plan.steps)
        text = f"Graph:\n{encode_graph(plan, form)}\n\nDurations:\n{table}"
    return f"{text}\n\nThe shortest time for all of it is {_total(question)}."


def _total(question: Question) -> str:
    return f'"{format_seconds(question.total[1])}"'


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers)
    return f"step {shown}" if len(numbers) == 1 else f"steps {shown}"


def _key(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except ValueError:
        return arguments


def _pieces(text: str, calls: Sequence[ToolCall]) -> Iterator[tuple[Delta, int]]:
    """Yield each delta and how many tokens it took to write."""
    for word in re.findall(r"\s*\S+|\s+$", text):
        yield TextPiece(word), _tokens(len(word))
    for i, call in enumerate(calls):
        yield CallStarted(i, call.name), _tokens(len(call.name))
        yield CallReady(i, call), _tokens(len(call.arguments))


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_A_TOKEN)


def _length(message: Message) -> int:
    return len(message.text) + sum(len(call.name) + len(call.arguments) for call in message.calls)
