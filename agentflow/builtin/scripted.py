"""A model that gives replies written beforehand, in time as a model would write them.

A script is a list of replies. A reply with `when`, a regular expression, answers
every request whose last message it matches; the others are used once, in order. A
token is about four characters. All waiting is on the loop's clock.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from agentflow.endpoints.faults import classify
from agentflow.endpoints.price import estimate_input
from agentflow.endpoints.resolve import nearest
from agentflow.errors import EndpointError, UserError
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.messages import (
    CallReady,
    CallStarted,
    ChatRequest,
    Delta,
    Json,
    Message,
    ReasoningPiece,
    Reply,
    TextPiece,
    ToolCall,
    Usage,
)
from agentflow_protocols.chat.scan import object_fault
from agentflow_protocols.chat.server_error import ServerError

if TYPE_CHECKING:
    import yaml

__all__ = [
    "ScriptedCall",
    "ScriptedModel",
    "ScriptedReply",
    "ScriptedStream",
    "open_model",
    "pieces",
    "read_script",
]

_PIECE = re.compile(r"\s*\S+|\s+")


@dataclass(slots=True, frozen=True)
class ScriptedCall:
    """A tool call of a scripted reply. `arguments` is a JSON object, or raw text, valid or not."""

    name: str
    arguments: Mapping[str, Json] | str = field(default_factory=dict)
    id: str = ""

    def text(self) -> str:
        """Return the arguments as they are on the wire."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(slots=True, frozen=True)
class ScriptedReply:
    """One reply: text, calls or both, or an error (a status, or the exception itself).

    `delay`: seconds to the first token; `tokens_per_second`: None writes at once.
    `retry_after` goes with `error`.
    """

    text: str = ""
    calls: Sequence[ScriptedCall] = ()
    reasoning: str = ""
    error: int | EndpointError | None = None
    retry_after: float | None = None
    when: str | None = None
    delay: float | None = None
    tokens_per_second: float | None = None
    finish: str | None = None


Chooser = Callable[[ChatRequest], ScriptedReply]


class ScriptedModel:
    """Write `replies`, a list or a function of the request.

    `delay` and `tokens_per_second` hold for replies that name none. A list that is
    used up raises `UserError`, naming `source`. With `resumes`, a first request in
    mid-conversation, as after a crash, counts the replies in it as used.
    """

    def __init__(
        self,
        replies: Sequence[ScriptedReply] | Chooser,
        *,
        name: str = "scripted",
        source: str = "the script",
        delay: float = 0.0,
        tokens_per_second: float | None = None,
        capabilities: Capabilities | None = None,
        resumes: bool = False,
    ) -> None:
        self.name = name
        self._resumes = resumes
        self.capabilities = capabilities or Capabilities()
        self.delay = delay
        self.tokens_per_second = tokens_per_second
        self._source = source
        self._choose: Chooser = replies if callable(replies) else self._from_list
        self._rules: list[tuple[re.Pattern[str], ScriptedReply]] = []
        self._waiting: Iterator[ScriptedReply] = iter(())
        self._count = 0
        self._made = 0
        if not callable(replies):
            self._rules = [(re.compile(r.when), r) for r in replies if r.when is not None]
            ordered = [reply for reply in replies if reply.when is None]
            self._count = len(ordered)
            self._waiting = iter(ordered)

    def open(self, request: ChatRequest, resources: Resources) -> ScriptedStream:
        """Return the stream of the reply to `request`."""
        return ScriptedStream(self, request)

    def choose(self, request: ChatRequest) -> ScriptedReply:
        """Return the reply to `request`, and count it as used."""
        if self._resumes:
            self._resumes = False
            self._skip(request.messages)
        return self._choose(request)

    def _skip(self, messages: Sequence[Message]) -> None:
        """Use up the replies that the conversation so far was answered with."""
        for before, message in pairwise(messages):
            if message.role != "assistant" or any(p.search(before.text) for p, _ in self._rules):
                continue
            while (used := next(self._waiting, None)) is not None and used.error is not None:
                pass

    def call_id(self) -> str:
        """Return a fresh id for a call."""
        self._made += 1
        return f"call_{self._made}"

    def _from_list(self, request: ChatRequest) -> ScriptedReply:
        last = request.messages[-1].text if request.messages else ""
        for pattern, reply in self._rules:
            if pattern.search(last):
                return reply
        reply_or_none = next(self._waiting, None)
        if reply_or_none is None:
            many = f"all {self._count} replies are used" if self._count else "it has no reply without `when`"
            raise UserError(f"{self._source}: no reply is left for this request: {many}")
        return reply_or_none


class ScriptedStream:
    """A scripted reply, as it is written."""

    def __init__(self, model: ScriptedModel, request: ChatRequest) -> None:
        self._model = model
        self._request = request
        self._script: ScriptedReply | None = None
        self._steps: Iterator[tuple[int, Delta]] = iter(())
        self._began = 0.0
        self._speed: float | None = None
        self._tokens = 0.0
        self._calls: list[ToolCall] = []
        self._reply: Reply | None = None
        self._closed = False

    def __aiter__(self) -> ScriptedStream:
        """Return itself."""
        return self

    async def __anext__(self) -> Delta:
        """Return the next delta, when it is due. Raises the error that the script says."""
        if self._closed or self._reply is not None:
            raise StopAsyncIteration
        if self._script is None:
            await self._begin()
        step = next(self._steps, None)
        if step is None:
            self._reply = self._whole()
            raise StopAsyncIteration
        characters, delta = step
        self._tokens += characters / 4
        if self._speed is not None and characters:
            loop = asyncio.get_running_loop()
            due = self._began + self._tokens / self._speed
            await asyncio.sleep(max(0.0, due - loop.time()))
        return delta

    @property
    def reply(self) -> Reply:
        """The whole reply, once the iteration has ended."""
        assert self._reply is not None, "the reply has not ended"
        return self._reply

    async def aclose(self) -> None:
        """Leave the reply."""
        self._closed = True

    async def _begin(self) -> None:
        model = self._model
        script = self._script = model.choose(self._request)
        delay = model.delay if script.delay is None else script.delay
        await asyncio.sleep(delay)
        if script.error is not None:
            raise _error(model.name, script)
        self._began = asyncio.get_running_loop().time()
        speed = script.tokens_per_second
        self._speed = model.tokens_per_second if speed is None else speed
        self._calls = [ToolCall(call.id or model.call_id(), call.name, call.text()) for call in script.calls]
        self._steps = iter(self._plan(script))

    def _plan(self, script: ScriptedReply) -> list[tuple[int, Delta]]:
        """Return the deltas, each with the characters that are written before it is known."""
        steps: list[tuple[int, Delta]] = []
        steps += [(len(piece), ReasoningPiece(piece)) for piece in pieces(script.reasoning)]
        steps += [(len(piece), TextPiece(piece)) for piece in pieces(script.text)]
        for index, call in enumerate(self._calls):
            steps.append((len(call.name), CallStarted(index, call.name)))
            ready = CallReady(index, call, object_fault(call.arguments))
            steps.append((len(call.arguments), ready))
        return steps

    def _whole(self) -> Reply:
        script = self._script
        assert script is not None
        message = Message("assistant", script.text, calls=self._calls, reasoning=script.reasoning or None)
        written = len(script.text) + len(script.reasoning)
        written += sum(len(call.name) + len(call.arguments) for call in self._calls)
        usage = Usage(
            input_tokens=estimate_input(self._request),
            output_tokens=-(-written // 4),
            reasoning_tokens=-(-len(script.reasoning) // 4),
            requests=1,
        )
        finish = script.finish or ("tool_calls" if self._calls else "stop")
        return Reply(message, usage, finish, self._model.name)


def pieces(text: str) -> list[str]:
    """Split `text` into words, each with the space before it."""
    return _PIECE.findall(text)


def open_model(path: str) -> ScriptedModel:
    """Return the model `scripted:PATH`. Raises `UserError` with file and line for a bad file."""
    return ScriptedModel(read_script(Path(path)), name=f"scripted:{path}", source=path, resumes=True)


def read_script(path: Path) -> list[ScriptedReply]:
    """Read a YAML list of replies.

    Raises `UserError`, naming `file:line`, for what is no such list.
    """
    import yaml

    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserError(f"{path}: the scripted replies can't be read: {reason}") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise UserError(
            f"{place}: no valid YAML: {getattr(error, 'problem', None) or 'unreadable'}"
        ) from None
    if not isinstance(root, yaml.SequenceNode):
        raise UserError(f"{path}:1: a list of replies is needed, such as `- text: Hello.`")
    return [_read_reply(node, path) for node in root.value]


_FIELDS: dict[str, tuple[type, ...]] = {
    "calls": (list,),
    "delay": (int, float),
    "error": (int,),
    "finish": (str,),
    "reasoning": (str,),
    "retry_after": (int, float),
    "text": (str,),
    "tokens_per_second": (int, float),
    "when": (str,),
}


def _read_reply(node: yaml.Node, path: Path) -> ScriptedReply:
    values = _mapping(node, path, _FIELDS)
    place = f"{path}:{node.start_mark.line + 1}"
    if not values.keys() & {"text", "calls", "error", "reasoning"}:
        raise UserError(f"{place}: a reply needs `text`, `calls` or `error`")
    for name in ("delay", "retry_after"):
        if values.get(name, 0) < 0:
            raise UserError(f"{place}: `{name}` must be 0 or more seconds")
    if values.get("tokens_per_second", 1) <= 0:
        raise UserError(f"{place}: `tokens_per_second` must be above 0")
    if not 400 <= values.get("error", 500) <= 599:
        raise UserError(f"{place}: `error` must be a status from 400 to 599, not {values['error']}")
    if "when" in values:
        try:
            re.compile(values["when"])
        except re.error as error:
            raise UserError(f"{place}: `when` is no regular expression: {error}") from None
    if "calls" in values:
        values["calls"] = _read_calls(node, path)
    return ScriptedReply(**values)


def _read_calls(node: yaml.Node, path: Path) -> list[ScriptedCall]:
    fields: dict[str, tuple[type, ...]] = {"arguments": (dict, str), "id": (str,), "name": (str,)}
    calls: list[ScriptedCall] = []
    for call in next(value for key, value in node.value if key.value == "calls").value:
        values = _mapping(call, path, fields)
        place = f"{path}:{call.start_mark.line + 1}"
        if not values.get("name"):
            raise UserError(f"{place}: a call needs the `name` of a tool")
        try:
            made = ScriptedCall(**values)
            made.text()
        except (TypeError, ValueError):
            raise UserError(f"{place}: `arguments` must be JSON (quote dates)") from None
        calls.append(made)
    return calls


# The values of a YAML mapping have any type until they are checked against `fields`.
def _mapping(node: yaml.Node, path: Path, fields: Mapping[str, tuple[type, ...]]) -> dict:  # type: ignore[type-arg]
    import yaml

    place = f"{path}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{place}: a mapping is needed, such as `text: Hello.`")
    values: dict[str, object] = {}
    loader = yaml.SafeLoader("")
    for key, value in node.value:
        name = str(key.value)
        place = f"{path}:{key.start_mark.line + 1}"
        if name not in fields:
            allowed = ", ".join(fields)
            raise UserError(f"{place}: unknown key `{name}` (allowed: {allowed}){nearest(name, fields)}")
        if name in values:
            raise UserError(f"{place}: `{name}` is there twice")
        found = loader.construct_document(value)
        if not isinstance(found, fields[name]) or isinstance(found, bool):
            kinds = " or ".join(_KINDS[kind] for kind in fields[name])
            raise UserError(f"{place}: `{name}` must be {kinds}")
        values[name] = found
    return values


_KINDS: dict[type, str] = {
    dict: "a mapping",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
}


def _error(name: str, script: ScriptedReply) -> EndpointError:
    if isinstance(script.error, EndpointError):
        return script.error
    assert script.error is not None
    error = classify(name, script.error, ServerError(message="scripted error"))
    error.retry_after = script.retry_after
    return error
