"""What a request is told on its way: that it waits, goes out, is sent again, or goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from agentflow.errors import EndpointError

__all__ = ["Admitted", "Decision", "FellBack", "Hedged", "OnEvent", "Retrying", "Waiting"]


@dataclass(slots=True)
class Waiting:
    """The request has waited a second for its turn. `binds` says for what: "tokens per minute, 98 % used"."""

    model: str
    binds: str


@dataclass(slots=True)
class Admitted:
    """The request goes out now, having waited `waited_s` seconds for its turn."""

    waited_s: float


@dataclass(slots=True)
class Retrying:
    """Attempt number `attempt` failed; another follows in `wait_s` seconds."""

    attempt: int
    wait_s: float
    error: EndpointError


@dataclass(slots=True)
class FellBack:
    """The endpoint `source` has given up; `target` is asked in its place. No `error`: its breaker is open."""

    source: str
    target: str
    error: EndpointError | None = None


@dataclass(slots=True)
class Hedged:
    """No answer came for `after_s` seconds: the request was sent a second time."""

    after_s: float


Decision: TypeAlias = Waiting | Admitted | Retrying | FellBack | Hedged

OnEvent: TypeAlias = Callable[[Decision], None]
"""Told each decision on a request, at once."""
