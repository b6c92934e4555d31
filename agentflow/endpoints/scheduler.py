"""Decide when a request may go: the seam, and who shares a scheduler with whom."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict

from agentflow.runtime.clock import current_clock
from agentflow_protocols.chat.messages import Usage

if TYPE_CHECKING:
    from agentflow.endpoints.limit_scheduler import LimitScheduler
    from agentflow.endpoints.pace import Used

__all__ = ["LimitChanges", "Limits", "Permit", "Scheduler", "Unlimited", "shared_scheduler"]


@dataclass(slots=True, eq=False)
class Permit:
    """Leave to send one request, given at `at`.

    `tokens` are reserved for it, `output` of them for the reply. `number` counts the
    permits of a scheduler, `mark` the tokens that it has let go. `above` is a parent's leave.
    """

    tokens: int = 0
    at: float = 0.0
    settled: bool = False
    output: int = 0
    number: int = 0
    mark: int = 0
    used: Used | None = None
    waited: bool = False
    above: Permit | None = None


class Scheduler(Protocol):
    """Decides when a request may go. Every attempt, a retry too, asks again."""

    async def admit(
        self, cost: int, priority: int = 0, output: int = 0, *, group: str = "", retry: bool = False
    ) -> Permit:
        """Wait until a request of about `cost` tokens, `output` of them written, may go.

        A higher `priority` goes first, then a `retry`; `group` says whose turn it is.
        """

    def try_admit(self, cost: int, output: int = 0) -> Permit | None:
        """Return a permit when such a request may go at once and nobody waits, else None."""

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Give back what `permit` held: its place, and the tokens that were reserved but not used.

        `usage` is None when the request was refused or failed. Call it once for each permit.
        """

    def observe(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """Learn from the head of the response to the request of `permit`."""


class Unlimited:
    """Let every request go at once."""

    __slots__ = ("_permit",)

    def __init__(self) -> None:
        self._permit = Permit()

    async def admit(
        self, cost: int, priority: int = 0, output: int = 0, *, group: str = "", retry: bool = False
    ) -> Permit:
        """Return a permit at once."""
        return self._permit

    def try_admit(self, cost: int, output: int = 0) -> Permit | None:
        """Return a permit."""
        return self._permit

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Hold nothing, give nothing back."""

    def observe(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """Learn nothing: there is no limit to keep."""


@dataclass(slots=True, frozen=True)
class Limits:
    """What a scheduler keeps; None is no limit."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrency: int | None = None


class LimitChanges(TypedDict, total=False):
    """Limits to change; what is not named stays, None lifts one."""

    requests_per_minute: float | None
    tokens_per_minute: float | None
    concurrency: int | None


# Rate limits belong to an account at a server, not to an object of ours: all endpoints of the
# process that name the same one share its state, so it lives here. Keys are kept as hashes.
_wall: dict[Hashable, LimitScheduler] = {}
_virtual: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, LimitScheduler]] = (
    weakref.WeakKeyDictionary()
)


def shared_scheduler(
    identity: Hashable,
    limits: Limits,
    *,
    make: Callable[[Limits], LimitScheduler],
    told: LimitScheduler | None = None,
) -> LimitScheduler:
    """Return the running process's scheduler for `identity`: (host, key hash, model).

    Wall-clock loops share one, so that a later loop still keeps the pace; a virtual
    loop has its own. The newest `limits` hold; one that was `told` them is not told again.
    """
    wall = current_clock().kind == "wall"
    table = _wall if wall else _virtual.setdefault(asyncio.get_running_loop(), {})
    found = table.get(identity)
    if found is None:
        found = table[identity] = make(limits)
    elif found is not told and found.limits != limits:
        found.change(limits)
    return found
