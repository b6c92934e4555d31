"""A limit that several models share: a parent of their own limits."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

from agentflow.endpoints.limit_scheduler import LimitScheduler
from agentflow.endpoints.scheduler import Limits, Permit, Scheduler
from agentflow.endpoints.standing import Standing
from agentflow_protocols.chat.messages import Usage

__all__ = ["Pool", "Pooled"]


class Pool:
    """Limits that hold for all endpoints that are given it together, beside what each has of its own.

    Requests of different models wait for it in one fair queue.
    """

    def __init__(
        self,
        name: str,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        concurrency: int | None = None,
    ) -> None:
        self.name = name
        self.limits = Limits(requests_per_minute, tokens_per_minute, concurrency)
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

    def change(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        concurrency: int | None = None,
    ) -> None:
        """Keep these limits from now on, also for requests that wait."""
        self.limits = Limits(requests_per_minute, tokens_per_minute, concurrency)
        for scheduler in self._schedulers.values():
            scheduler.change(self.limits)

    def standing(self) -> Standing | None:
        """Return what binds now on the running loop."""
        return self.scheduler().standing()


@dataclass(slots=True, eq=False)
class _Both(Permit):
    """Leave of the pool and of the endpoint's own scheduler."""

    pool: Permit | None = None
    own: Permit | None = None


class Pooled:
    """Asks a pool first, then an endpoint's own scheduler. A request that waits holds no place in it."""

    __slots__ = ("own", "pool")

    def __init__(self, pool: LimitScheduler, own: Scheduler) -> None:
        self.pool = pool
        self.own = own

    async def admit(
        self, cost: int, priority: int = 0, output: int = 0, *, group: str = "", retry: bool = False
    ) -> Permit:
        """Wait until both let the request go."""
        shared = await self.pool.admit(cost, priority, output, group=group, retry=retry)
        try:
            own = await self.own.admit(cost, priority, output, group=group, retry=retry)
        except BaseException:
            self.pool.settle(shared, None)
            raise
        return _Both(own.tokens, own.at, pool=shared, own=own)

    def try_admit(self, cost: int, output: int = 0) -> Permit | None:
        """Return a permit when both let the request go at once, else None."""
        shared = self.pool.try_admit(cost, output)
        if shared is None:
            return None
        own = self.own.try_admit(cost, output)
        if own is None:
            self.pool.settle(shared, None)
            return None
        return _Both(own.tokens, own.at, pool=shared, own=own)

    def settle(self, permit: Permit, usage: Usage | None) -> None:
        """Give both back what they held."""
        assert isinstance(permit, _Both)
        if permit.pool is not None and permit.own is not None:
            self.pool.settle(permit.pool, usage)
            self.own.settle(permit.own, usage)

    def observe(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """Let the endpoint's own scheduler learn: a server tells of one model's limits."""
        assert isinstance(permit, _Both)
        if permit.own is not None:
            self.own.observe(permit.own, status, headers)
