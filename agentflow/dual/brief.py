"""What the two sides see of one another: a tick for the fast process, a brief for a slow one, its update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Brief", "Now", "Output", "Partial", "Scene", "Update"]

Seen = TypeVar("Seen")
Action = TypeVar("Action")


@dataclass(frozen=True, slots=True)
class Partial:
    """What a slow process has written so far, and the tick that it is based on."""

    text: str
    based_on: int


@dataclass(frozen=True, slots=True)
class Now(Generic[Seen]):
    """A tick, as the fast process sees it.

    `slots` has the values that hold now; one that was never written, or whose time is over, is not in
    it. `partial` has the unfinished texts of slow processes by name, `messages` what people said since
    the last tick, `wish` what the policy wants (None: it leaves the choice to the fast process).
    """

    tick: int
    seen: Seen
    slots: Mapping[str, object] = field(default_factory=dict)
    partial: Mapping[str, Partial] = field(default_factory=dict)
    messages: Sequence[str] = ()
    wish: object = None


@dataclass(frozen=True, slots=True)
class Scene(Generic[Seen, Action]):
    """A tick that is over: what was seen, what was done, and who chose it: `fast`, `policy` or `default`."""

    tick: int
    seen: Seen
    action: Action
    by: str


@dataclass(frozen=True, slots=True)
class Brief(Generic[Seen, Action]):
    """What a slow process is told when it is triggered.

    `history` are the last scenes, the newest last, as many as its `window`; `messages` what people said
    since its last call. `rebase` is the process's own last output when the world changed under it.
    `say` makes text readable to the fast process while the slow one goes on.
    """

    tick: int
    seen: Seen
    why: str
    history: Sequence[Scene[Seen, Action]] = ()
    slots: Mapping[str, object] = field(default_factory=dict)
    messages: Sequence[str] = ()
    rebase: Output | None = None
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Update:
    """What a slow process writes: values by slot, and under `policy` a policy.

    `holds` is asked with what is seen when the update would be applied: an update whose ground is gone
    is not applied.
    """

    values: Mapping[str, object]
    policy: object = None
    holds: Callable[[object], bool] | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """An update with its times: the tick that it is based on, and seconds on the run's clock."""

    source: str
    update: Update
    based_on: int
    issued_at: float
    arrived_at: float
    model: str = ""
    seen: object = None
    rebased: int = 0
