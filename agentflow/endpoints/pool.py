"""A limit that several models share: a parent of their own limits."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

from agentflow.endpoints.limit_scheduler import LimitScheduler
from agentflow.endpoints.scheduler import LimitChanges, Limits, Permit, Scheduler
from agentflow.endpoints.standing import Standing
from agentflow.errors import UserError
from agentflow_protocols.chat.messages import Usage

__all__ = ["Pool", "Pooled"]


class Pool:
    """Limits that hold for all endpoints that are given it together, beside what each has of its own.

    Requests of different models wait for it in one fair queue.
    """

    def __init__(self, name: str, **limits: Unpack[LimitChanges]) -> None:
        self.name = name
        self.limits = Limits(**limits)
        if self.limits == Limits():
            raise UserError(f"the pool `{name}` needs requests_per_minute, tokens_per_minute or concurrency")
        self._schedulers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LimitScheduler] = (
            weakref.WeakKeyDictionary()
        )

    def __repr__(self) -> str:
        return f"Pool({self.name!r})"

    def scheduler(self) -> LimitScheduler:
        """Return what keeps the limits on the running loop."""
        loop = asyncio.get_running_loop()
        found = self._schedulers.get(loop)
        if found is None:
            found = self._schedulers[loop] = LimitScheduler(self.limits)
        return found

    def change(self, **limits: Unpack[LimitChanges]) -> None:
        """Keep other limits from now on, for requests that wait too; what is not named stays."""
        self.limits = replace(self.limits, **limits)
        for scheduler in self._schedulers.values():
            scheduler.change(self.limits)

    def standing(self) -> Standing | None:
        """Return what binds now on the running loop."""
        return self.scheduler().standing()


class Pooled:
    """Lets a request go when an endpoint's own scheduler and its pool both do."""

    __slots__ = ("own", "pool")

    def __init__(self, pool: LimitScheduler, own: Scheduler) -> None:
        self.pool = pool
        self.own = own

    async def admit(
        self, cost: int, priority: int = 0, output: int = 0, *, group: str = "", retry: bool = False
    ) -> Permit:
        """Wait until both let the request go."""
        own = self.own
        if isinstance(own, LimitScheduler):
            return await own.admit(cost, priority, output, group=group, retry=retry, parent=self.pool)
        first = await own.admit(cost, priority, output, group=group, retry=retry)
        try:
            above = await self.pool.admit(cost, priority, output, group=group, retry=retry)
        except BaseException:
            own.settle(first, None)
            raise
        return _with(first, above)

    def try_admit(self, cost: int, output: int = 0) -> Permit | None:
        """Return a permit when both let the request go at once, else None."""
        own = self.own
        if isinstance(own, LimitScheduler):
            return own.try_admit(cost, output, parent=self.pool)
        above = self.pool.try_admit(cost, output)
        if above is None:
            return None
        first = own.try_admit(cost, output)
        if first is None:
            self.pool.settle(above, None)
            return None
        return _with(first, above)

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Give both back what they held."""
        if permit.above is not None:
            self.pool.settle(permit.above, usage)
        self.own.settle(permit, usage)

    def observe(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """Let the endpoint's own scheduler learn: a server tells of one model's limits."""
        self.own.observe(permit, status, headers)


def _with(permit: Permit, above: Permit) -> Permit:
    """Return a permit of an endpoint's own with its pool's: a new one, since some are for all requests."""
    return replace(permit, above=above)
