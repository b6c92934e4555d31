"""Every event that agentflow tells, defined once, and its form as a line of JSON.

Events are plain dataclasses with slots, since a run makes them by the thousand.
The bus fills `run` (the run's id), `seq` (1, 2, … within the outermost run) and
`time` (seconds on the run's clock). A line is `{"type": "ToolCalled", "run": …}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from agentflow_protocols.chat.messages import Json, Usage
from agentflow_protocols.errors import RemoteProtocolError

__all__ = [
    "EVENTS",
    "Admitted",
    "ApprovalNeeded",
    "ApprovalSettled",
    "Compacted",
    "Custom",
    "Event",
    "FellBack",
    "HandedOff",
    "Interrupted",
    "Lagged",
    "ModelCalled",
    "ModelFinished",
    "PlanChanged",
    "ReasoningDelta",
    "Retrying",
    "RunFinished",
    "RunStarted",
    "StepFailed",
    "StepFinished",
    "StepProgress",
    "StepReady",
    "StepSkipped",
    "StepStarted",
    "TextDelta",
    "Throttled",
    "ToolCalled",
    "ToolFinished",
    "ToolProgress",
    "Trapped",
    "event_from_line",
    "event_to_line",
]


@dataclass(slots=True, kw_only=True)
class Event:
    """What every event carries."""

    run: str = ""
    seq: int = 0
    time: float = 0.0


@dataclass(slots=True)
class RunStarted(Event):
    """A run began (`resumed`: it goes on from the journal)."""

    kind: str
    name: str
    parent: str | None = None
    resumed: bool = False


@dataclass(slots=True)
class RunFinished(Event):
    """A run ended: `succeeded`, `failed`, `cancelled`, `paused` or `limit`."""

    status: str
    error: str | None = None


@dataclass(slots=True)
class StepStarted(Event):
    """A named step began."""

    key: str


@dataclass(slots=True)
class StepFinished(Event):
    """A named step ended; `replayed` when the journal knew its output."""

    key: str
    replayed: bool = False
    error: str | None = None


@dataclass(slots=True)
class ModelCalled(Event):
    """An agent sent its conversation of `messages` messages to a model."""

    agent: str
    model: str
    turn: int
    messages: int


@dataclass(slots=True)
class ModelFinished(Event):
    """A reply ended. `cost` is in USD, None when the price is unknown; times in seconds.

    `saved_tokens` says of one that was cut about how many more it would have had: as many
    as the model's whole replies have in the mean.
    """

    agent: str
    model: str
    turn: int
    finish: str
    usage: Usage
    cost: float | None = None
    first_token_s: float = 0.0
    seconds: float = 0.0
    replayed: bool = False
    saved_tokens: int = 0


@dataclass(slots=True)
class TextDelta(Event):
    """Some text of a reply, as it is generated."""

    text: str


@dataclass(slots=True)
class ReasoningDelta(Event):
    """Some reasoning of a reply."""

    text: str


@dataclass(slots=True)
class ToolCalled(Event):
    """A call started; `arguments` is its JSON text."""

    call: str
    name: str
    arguments: str


@dataclass(slots=True)
class ToolProgress(Event):
    """A running call told how far it is."""

    call: str
    name: str
    data: Json


@dataclass(slots=True)
class ToolFinished(Event):
    """A call ended: `ok`, `retry`, `failed`, `cancelled` or `unknown`."""

    call: str
    name: str
    status: str
    output: str
    seconds: float = 0.0
    replayed: bool = False


@dataclass(slots=True)
class Interrupted(Event):
    """Something was put into a conversation from outside: `source` is a call's id,
    `user`, `agent.NAME` or `timer`. `cut` when it stopped a reply."""

    source: str
    text: str
    cut: bool = False


@dataclass(slots=True)
class Trapped(Event):
    """The model has nothing to write until one of `calls` (or any interrupt) comes."""

    calls: tuple[str, ...] = ()


@dataclass(slots=True)
class ApprovalNeeded(Event):
    """A call waits for a person to approve it."""

    call: str
    name: str
    arguments: str


@dataclass(slots=True)
class ApprovalSettled(Event):
    """A person approved or denied a call."""

    call: str
    approved: bool
    why: str = ""


@dataclass(slots=True)
class HandedOff(Event):
    """The conversation goes on with another agent."""

    source: str
    target: str


@dataclass(slots=True)
class Retrying(Event):
    """A request failed and will be sent again in `wait_s` seconds."""

    model: str
    attempt: int
    wait_s: float
    reason: str


@dataclass(slots=True)
class Throttled(Event):
    """A request waits for its turn at a limit; `binds` says at which, and how far it is used."""

    model: str
    binds: str


@dataclass(slots=True)
class Admitted(Event):
    """A request that was throttled goes out, having waited `waited_s` seconds for its turn."""

    model: str
    waited_s: float


@dataclass(slots=True)
class FellBack(Event):
    """The endpoint `model` has given up, and `target` is asked in its place."""

    model: str
    target: str
    reason: str


@dataclass(slots=True)
class Compacted(Event):
    """A conversation outgrew its window: `dropped` messages gave way to a summary."""

    dropped: int
    kept: int


@dataclass(slots=True)
class StepReady(Event):
    """All that a step of a plan waits for is there; it starts when what it needs is free."""

    key: str


@dataclass(slots=True)
class StepFailed(Event):
    """A step of a plan has failed for good."""

    key: str
    error: str


@dataclass(slots=True)
class StepProgress(Event):
    """A step of a plan tells how far it is, by `context.progress`."""

    key: str
    data: Json


@dataclass(slots=True)
class StepSkipped(Event):
    """A step of a plan is not run; `reason` says why."""

    key: str
    reason: str


@dataclass(slots=True)
class PlanChanged(Event):
    """A plan was changed while it ran: `change` is `add`, `drop` or `replace`."""

    change: str
    step: str


@dataclass(slots=True)
class Custom(Event):
    """An event of the user's own, by `context.emit`."""

    name: str
    data: Json = None


@dataclass(slots=True)
class Lagged(Event):
    """`n` events were left out, since their reader was slow."""

    n: int


EVENTS: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}


def event_to_line(event: Event) -> str:
    """Return `event` as one line of JSON, without a line end."""
    data = {"type": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Usage):
            value = {f.name: getattr(value, f.name) for f in fields(value)}
        data[field.name] = value
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def event_from_line(line: str) -> Event:
    """Read a line that `event_to_line` wrote.

    Raises `RemoteProtocolError` for a line that is none, naming what is wrong.
    """
    try:
        data = json.loads(line)
    except ValueError as error:
        raise RemoteProtocolError(f"not a trace line: {error}") from None
    if not isinstance(data, Mapping) or str(data.get("type")) not in EVENTS:
        raise RemoteProtocolError("not a trace line: no known event type")
    values = dict(data)
    cls = EVENTS[values.pop("type")]
    if isinstance(values.get("usage"), Mapping):
        values["usage"] = Usage(**values["usage"])
    if isinstance(values.get("calls"), list):
        values["calls"] = tuple(values["calls"])
    try:
        return cls(**values)
    except TypeError as error:
        raise RemoteProtocolError(f"not a trace line: {error}") from None
