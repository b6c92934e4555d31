"""MontySandbox: policies in an interpreter without a door, each in a process of its own.

The interpreter (pydantic-monty) has no files, no network, no clock and no way to the objects of this
process; a worker process contains what it allocates and how long it takes. Text goes in and text
comes out: a value that the code built is never rebuilt here, since one of a few bytes there, a list
that holds itself twice, thirty levels deep, would fill this process.

Its blocking form is driven from threads of ours. Its asynchronous form keeps threads of its own which
outlive the event loop, and now and then abort the whole program as it ends.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

from agentflow.dual.sandbox import PolicyFault, check_source, read_answer, state_text
from agentflow.dual.worker import Worker
from agentflow.errors import UserError, missing_extra
from agentflow.runtime.clock import current_clock
from agentflow_protocols.chat import Json

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontySession, OSPolicy, ResourceLimits

__all__ = ["MontyPolicy", "MontySandbox"]

_MIB = 1024 * 1024
_WORKERS = 16  # at most so many, unless told otherwise
_START_S = 10.0  # a worker that has not started by then never will
_DEPTH = 200

_DIALECT = """\
Write Python that defines one function, policy(state). state is JSON data; return the action as JSON data, \
or None to leave the choice to others. The function is called every tick and must return within \
milliseconds. Plain functions, loops, comprehensions and classes without bases work. There is no yield, no \
del, no class that inherits, no decorator of methods, no super, no file, no network, no clock. Modules that \
can be imported: bisect, collections, copy, dataclasses, datetime, decimal, functools, itertools, json, \
math, random, re, typing."""


class MontySandbox:
    """Policies in worker processes of the interpreter pydantic-monty (the extra `sandbox`).

    `max_processes` bounds the policies that are open at once (16), `memory` is what one may allocate,
    in bytes, `request_timeout` the seconds after which a worker is killed, whatever a call's own budget
    says. With `check_names` a source that names what is nowhere is refused when it is loaded, even where
    no trial comes by; that costs 20 ms. Workers end with the sandbox, and by themselves when this
    process is killed. A policy's random numbers begin with a fixed seed, its clock stands still, and
    `sleep` returns at once.

    `dialect` is what to tell a model that shall write for it.
    """

    dialect: ClassVar[str] = _DIALECT

    def __init__(
        self,
        *,
        max_processes: int | None = None,
        memory: int = 32 * _MIB,
        request_timeout: float = 0.5,
        check_names: bool = True,
    ) -> None:
        if max_processes is not None and max_processes < 1:
            raise UserError(f"max_processes is 1 or more, not {max_processes}")
        if memory < _MIB:
            raise UserError(f"memory is bytes, at least {_MIB}, not {memory}")
        if request_timeout <= 0:
            raise UserError(f"request_timeout is seconds above 0, not {request_timeout:g}")
        self.request_timeout = request_timeout
        self.check_names = check_names
        self._most = max_processes or _WORKERS
        self._limits: ResourceLimits = {
            # The interpreter ends a call itself a little before it would be killed for it.
            "max_feed_duration_secs": 0.8 * request_timeout,
            "max_memory": memory,
            "max_recursion_depth": _DEPTH,
        }
        self._threads: ThreadPoolExecutor | None = None
        self._pool: Monty | None = None
        self._entering = threading.Lock()
        self._policies: set[MontyPolicy] = set()
        self._closed = False

    async def load(self, source: str) -> MontyPolicy:
        """Start a worker, run `source` in it, and return its `policy`. Raises `PolicyFault`."""
        check_source(source)
        if self._closed:
            raise UserError("the sandbox is closed")
        try:
            import pydantic_monty  # noqa: F401
        except ImportError:
            raise missing_extra("pydantic-monty", "sandbox") from None
        if len(self._policies) >= self._most:
            raise UserError(
                f"{self._most} policies are open, and the sandbox has no more workers: raise max_processes="
            )
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._most, thread_name_prefix="agentflow-sandbox")
        policy = MontyPolicy(self, self._threads, source)
        self._policies.add(policy)
        try:
            await policy.open()
        except BaseException:
            await policy.aclose()
            raise
        return policy

    @property
    def pids(self) -> list[int]:
        """Ids of the workers that have a policy, for whoever watches processes."""
        return sorted(policy.pid for policy in self._policies if policy.pid)

    async def aclose(self) -> None:
        """Close all policies and end all workers."""
        self._closed = True
        for policy in list(self._policies):
            await policy.aclose()
        threads, self._threads = self._threads, None
        if threads is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(threads, self._end)
            threads.shutdown(wait=True)

    async def __aenter__(self) -> MontySandbox:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # In threads.

    def checkout(self, *, checked: bool = False) -> MontySession:
        """Return a worker's session, entered. Blocks; the first call starts the pool.

        In a `checked` one the names in a source are looked at before it runs.
        """
        import pydantic_monty

        with self._entering:
            if self._pool is None:
                pool = pydantic_monty.Monty(
                    min_processes=1,
                    max_processes=self._most,
                    checkout_timeout=_START_S,
                    request_timeout=self.request_timeout,
                )
                self._pool = pool.__enter__()
        still: OSPolicy = {
            "datetime": datetime(2000, 1, 1, tzinfo=UTC),
            "sleep": "zero",
            "random_start": {"seed": 0},
        }
        session = self._pool.checkout(
            limits=self._limits, os_policy=still, type_check=checked, type_check_format="concise"
        )
        return session.__enter__()

    def _end(self) -> None:
        with self._entering:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.__exit__(None, None, None)

    def forget(self, policy: MontyPolicy) -> None:
        """Let a policy that is closed go."""
        self._policies.discard(policy)


class MontyPolicy:
    """A policy in a worker of a `MontySandbox`. A worker that is lost is replaced beside the caller."""

    def __init__(self, sandbox: MontySandbox, threads: ThreadPoolExecutor, source: str) -> None:
        self._sandbox = sandbox
        self._threads = threads
        self._source = source
        self._turn = asyncio.Lock()
        self._worker: Worker | None = None
        self._opening: asyncio.Future[Worker | PolicyFault] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return None if self._worker is None else self._worker.pid

    async def open(self) -> None:
        """Start the worker and run the source in it. Raises `PolicyFault`."""
        loop = asyncio.get_running_loop()
        first = self._first if self._sandbox.check_names else self._opened
        self._opening = loop.run_in_executor(self._threads, first)
        try:
            async with current_clock().guard(_START_S):
                await self._ready()
        except TimeoutError:
            raise PolicyFault("worker", f"it did not start within {_START_S:g} s") from None

    async def call(self, state: Json, *, seconds: float) -> Json:
        """Return `policy(state)`. See `LoadedPolicy.call`."""
        text = state_text(state)
        clock = current_clock()
        async with self._turn:
            if self._closed:
                raise UserError("the policy is closed")
            try:
                async with clock.guard(seconds):
                    worker = await self._ready()
            except TimeoutError:
                raise PolicyFault("worker", f"it was lost, and not replaced within {seconds:g} s") from None
            try:
                async with clock.guard(seconds):
                    answer = await self._fed(worker, text)
            except TimeoutError:
                raise PolicyFault("time", f"no answer within {seconds:g} s") from None
        return read_answer(answer)

    async def aclose(self) -> None:
        """End the session. A call that is under way ends as if its worker had been killed."""
        if self._closed:
            return
        self._closed = True
        worker, self._worker = self._worker, None
        opening, self._opening = self._opening, None
        loop = asyncio.get_running_loop()
        with current_clock().hold():
            if opening is not None:
                opened = await opening
                worker = opened if isinstance(opened, Worker) else None
            if worker is not None:
                worker.kill_if_busy()
                await loop.run_in_executor(self._threads, worker.close)
        self._sandbox.forget(self)

    async def _ready(self) -> Worker:
        if self._worker is not None:
            return self._worker
        if self._opening is None:
            self._replace(None)
        assert self._opening is not None
        opened = await asyncio.shield(self._opening)
        self._opening = None
        if isinstance(opened, PolicyFault):
            raise opened
        self._worker = opened
        return opened

    async def _fed(self, worker: Worker, text: str) -> str:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, worker.call, text)
        except PolicyFault as fault:
            if fault.kind in ("time", "memory", "worker"):
                self._replace(worker)
            raise
        except asyncio.CancelledError:  # the budget, or whoever called
            worker.kill_if_busy()
            self._replace(worker)
            raise

    def _replace(self, worker: Worker | None) -> None:
        """Close a session that can't be gone on with, and open another, in a thread."""
        self._worker = None
        if not self._closed:
            loop = asyncio.get_running_loop()
            self._opening = loop.run_in_executor(self._threads, self._opened, worker)
        elif worker is not None:
            self._threads.submit(worker.close)

    def _first(self) -> Worker | PolicyFault:
        """Look at the names first, so that one which is missing is told even where no trial comes by."""
        try:
            worker = Worker(self._sandbox.checkout(checked=True), self._sandbox.request_timeout)
        except Exception as error:  # as below
            return PolicyFault("worker", f"it can't be started: {error}")
        try:
            worker.check(self._source)
        except PolicyFault as fault:
            worker.close()
            return fault
        return self._opened(worker)

    def _opened(self, lost: Worker | None = None) -> Worker | PolicyFault:
        if lost is not None:
            lost.close()
        try:
            worker = Worker(self._sandbox.checkout(), self._sandbox.request_timeout)
        except Exception as error:  # whatever the library or the machine lacks
            return PolicyFault("worker", f"it can't be started: {error}")
        try:
            worker.load(self._source)
        except PolicyFault as fault:
            worker.close()
            return fault
        if self._closed:
            worker.close()
        return worker
