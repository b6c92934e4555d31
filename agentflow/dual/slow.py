"""Slow: a process that thinks while the game goes on; what starts it, and what when it is still thinking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agentflow.dual.brief import Brief, Now
from agentflow.dual.stale import StalePolicy
from agentflow.errors import UserError
from agentflow.runtime import Context

__all__ = ["POLICY", "InFlight", "Slow", "Think", "Trigger", "every", "on", "when"]

POLICY = "policy"
"""What `into` names for a slow process that writes policies."""

InFlight: TypeAlias = Literal["coalesce", "restart", "queue"]
Think: TypeAlias = Callable[[Context[object], Brief[object, object]], Awaitable[object]]
"""A slow process's work: it returns an `Update`, or a value for the slot that `into` names."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a slow process: every so many ticks, an event, or what is seen."""

    what: str
    due: Callable[[Now[object], Sequence[str]], bool]


def every(ticks: int, *, first: int = 0) -> Trigger:
    """Start every so many ticks, from tick `first`. Raises `UserError`."""
    if ticks < 1 or first < 0:
        raise UserError(f"every({ticks}, first={first}): ticks are 1 or more, first 0 or more")
    return Trigger(
        f"every {ticks}", lambda now, events: now.tick >= first and (now.tick - first) % ticks == 0
    )


def on(event: str) -> Trigger:
    """Start on an event: `message` when a person has said something, else what `events=` tells."""
    return Trigger(f"on {event}", lambda now, events: event in events)


def when(test: Callable[[Now[object]], bool]) -> Trigger:
    """Start at each tick at which `test` says so."""
    return Trigger("when", lambda now, events: test(now))


@dataclass(frozen=True, slots=True)
class Slow:
    """A slow process by name: `think` is an async function of a Context and a `Brief`, or an agent.

    While a call is under way, further triggers are merged into one call that begins right after it, of
    the present then (`coalesce`), or end it for a new one (`restart`), or wait in line (`queue`, at
    most `line` of them, the oldest gives way). A call that takes longer than `timeout` seconds is ended.
    An agent is asked `prompt(brief)`; its output goes into the slot `into` (`policy`: it is a policy for
    the game's guard), and its text can be read while it writes. A brief has `window` scenes of history.
    """

    name: str
    think: object
    triggers: Sequence[Trigger] = field(default_factory=lambda: [every(20)])
    inflight: InFlight = "coalesce"
    window: int = 10
    timeout: float | None = None
    into: str | None = None
    prompt: Callable[[Brief[object, object]], str] | None = None
    stale: StalePolicy | None = None
    line: int = 8
    model: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UserError(f"a slow process's name is an identifier, not {self.name!r}")
        if self.inflight not in ("coalesce", "restart", "queue"):
            raise UserError(
                f"slow {self.name}: inflight is coalesce, restart or queue, not {self.inflight!r}"
            )
        if not self.triggers:
            raise UserError(f"slow {self.name}: nothing starts it; give triggers=[every(20)]")
        if self.timeout is not None and self.timeout <= 0:
            raise UserError(f"slow {self.name}: timeout is seconds above 0, not {self.timeout:g}")
        if self.window < 0 or self.line < 1:
            raise UserError(f"slow {self.name}: window is 0 or more, line 1 or more")
        if hasattr(self.think, "__run__"):
            if self.prompt is None or self.into is None:
                raise UserError(
                    f"slow {self.name}: an agent needs prompt=, a text of the brief, and into=, a slot"
                )
        elif not callable(self.think):
            raise UserError(f"slow {self.name}: think is an async function or an agent")
