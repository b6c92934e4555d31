"""The Runtime: it runs things, and owns everything that is open while they run."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TypeVar, cast

from agentflow.errors import RunError, UserError
from agentflow.runtime.budget import Limits
from agentflow.runtime.bus import EventStream, Feed
from agentflow.runtime.clock import current_clock
from agentflow.runtime.context import Context, Job
from agentflow.runtime.control import ControlServer
from agentflow.runtime.ending import end_all
from agentflow.runtime.execute import execute, name_of, recorded_input
from agentflow.runtime.journal import Journal, RunRow
from agentflow.runtime.ledger import Ledger
from agentflow.runtime.map import MapStream
from agentflow.runtime.resources import Resources
from agentflow.runtime.result import Result
from agentflow.runtime.run import Run
from agentflow.runtime.sqlite import SqliteJournal
from agentflow.runtime.state import RunState
from agentflow_protocols.chat import Message
from agentflow_protocols.trace import Event

__all__ = ["Runtime"]

Deps = TypeVar("Deps")
In = TypeVar("In")
Out = TypeVar("Out")

History = Sequence[Message]

_CHILDREN_SHOWN = 64  # more ended children than these are not kept for the tree


class Runtime:
    """Runs agents, plans and plain async functions. Use it as `async with Runtime() as runtime`.

    `journal` is a path of a SQLite file (made when it is not there) or a Journal;
    None keeps nothing. `limits` hold for each outermost run. `sinks` are called
    with every event at once, before anybody else sees it: a trace's writer. A sink must
    not raise: what it raises ends the run.
    """

    def __init__(
        self,
        journal: str | os.PathLike[str] | Journal | None = None,
        *,
        limits: Limits | None = None,
        sinks: Sequence[Callable[[Event], object]] = (),
    ) -> None:
        if isinstance(journal, str) and "://" in journal:
            raise UserError("a journal is a file's path here; PostgreSQL journals are not in this version")
        self.journal: Journal | None = (
            SqliteJournal(journal) if isinstance(journal, (str, os.PathLike)) else journal
        )
        self.resources = Resources()
        self.estimates: dict[str, float] = {}  # learned seconds of each tool, by name
        self.latencies: dict[str, float] = {}  # learned seconds to a model's first token, by name
        self.lengths: dict[str, float] = {}  # learned tokens of a model's whole reply, by name
        self._limits = limits
        self._sinks = sinks
        self._runs: dict[str, RunState] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._control: ControlServer | None = None
        self._open = False

    async def __aenter__(self) -> Runtime:
        if self.journal is not None:
            await self.journal.open()
            self.estimates.update(await self.journal.durations())
            if isinstance(self.journal, SqliteJournal):
                self._control = ControlServer(self.journal.path, self._runs)
                await self._control.open()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        try:
            await end_all(self._tasks)
            if self._control is not None:
                await self._control.aclose()
            await self.resources.aclose()
        finally:
            if self.journal is not None:
                await self.journal.aclose()

    def start(
        self,
        x: Job[Deps, In, Out],
        input: In | None = None,
        *,
        deps: Deps | None = None,
        history: History | None = None,
        key: str | None = None,
        limits: Limits | None = None,
    ) -> Run[Out]:
        """Return a run of `x`, to be entered by `async with`.

        `key` names it: with a journal, an unfinished run of this key goes on, and a
        finished one's result is returned. `history` are messages of an earlier run.
        """

        async def begin() -> tuple[RunState, Coroutine[object, object, Result[Out]]]:
            known = await self.journal.find(key) if self.journal is not None and key is not None else None
            if known is not None:
                return await self._again(known, x, deps, limits)
            state = self._state(_new_id(), x, limits)
            return state, self._execute(state, x, input, deps, list(history or ()), key)

        return self._run(begin)

    async def run(
        self,
        x: Job[Deps, In, Out],
        input: In | None = None,
        *,
        deps: Deps | None = None,
        history: History | None = None,
        key: str | None = None,
        limits: Limits | None = None,
    ) -> Result[Out]:
        """Run `x` to its end and return its result. See `start`."""
        async with self.start(x, input, deps=deps, history=history, key=key, limits=limits) as run:
            return await run.result()

    def resume(
        self, run_id: str, x: Job[Deps, In, Out], *, deps: Deps | None = None, limits: Limits | None = None
    ) -> Run[Out]:
        """Go on with the run of this id from the journal, by the same `x`.

        Nothing that was finished is done again. RunError when there is no such run.
        """
        return self._run(partial(self._again, run_id, x, deps, limits))

    def fork(
        self,
        run_id: str,
        x: Job[Deps, In, Out],
        *,
        after: str,
        input: In | None = None,
        deps: Deps | None = None,
        limits: Limits | None = None,
    ) -> Run[Out]:
        """Go on from a copy of a run as it was when step `after` had ended.

        The copy is a run of its own; with `input`, it goes on from that input, and the
        copied steps keep their outputs.
        """

        async def begin() -> tuple[RunState, Coroutine[object, object, Result[Out]]]:
            if self.journal is None:
                raise UserError("a fork needs a journal: Runtime(journal='runs.db')")
            new = _new_id()
            await self.journal.fork(run_id, after, new)
            return await self._again(new, x, deps, limits, input)

        return self._run(begin)

    def map(
        self,
        x: Job[Deps, In, Out],
        rows: Iterable[In] | AsyncIterable[In],
        *,
        key: Callable[[In], str] | None = None,
        concurrency: int = 100,
        deps: Deps | None = None,
        limits: Limits | None = None,
    ) -> MapStream[In, Out]:
        """Run `x` on every row; iterate over the results as they end, under `async with`.

        `key` names a row's run, so that a later map with the same journal skips what
        is done. A row that fails gives a result whose `error` is set.
        """

        async def one(row: In) -> Result[Out]:
            name = key(row) if key is not None else None
            try:
                return await self.run(x, row, deps=deps, key=name, limits=limits)
            except Exception as error:
                return Result(None, "", key=name, error=error)

        return MapStream(one, rows, concurrency)

    def attach(self, run_id: str, *, after: int = 0) -> EventStream:
        """Return the events of a run under way that came after seq `after`."""
        state = self._runs.get(run_id)
        if state is None:
            raise RunError(f"no run {run_id} is under way here")
        return state.feed.attach(after)

    async def runs(self, status: str | None = None) -> Sequence[RunRow]:
        """Return the outermost runs of the journal, the newest first."""
        return await self.journal.runs(status) if self.journal is not None else []

    async def run_child(
        self,
        context: Context[Deps],
        x: Job[Deps, In, Out],
        input: In | None,
        *,
        key: str,
        limits: Limits | None,
    ) -> Result[Out]:
        """Run `x` below another run. Users call `context.run`."""
        parent = context.state
        parent.ledger.claim(f"run/{key}")
        state = self._state(f"{parent.id}/{key}", x, limits, parent)
        parent.children[key] = state
        try:
            return await execute(self, state, x, cast("In", input), context.deps, [], key)
        finally:
            if len(parent.children) > _CHILDREN_SHOWN:
                parent.children.pop(key, None)

    def _state(
        self, run_id: str, x: object, limits: Limits | None, parent: RunState | None = None
    ) -> RunState:
        kind, name = name_of(x)
        clock = parent.clock if parent else current_clock()
        record = parent.records.get(run_id) if parent else None
        return RunState(
            run_id,
            kind=kind,
            name=name,
            clock=clock,
            ledger=Ledger(run_id, self.journal, record),
            limits=_tightest(limits or (self._limits if parent is None else None), x),
            parent=parent,
            feed=parent.feed if parent else Feed(run_id, clock, self._sinks),
        )

    async def _again(
        self,
        run_id: str,
        x: Job[Deps, In, Out],
        deps: Deps | None,
        limits: Limits | None,
        input: In | None = None,
    ) -> tuple[RunState, Coroutine[object, object, Result[Out]]]:
        if run_id in self._runs:
            raise RunError(f"run {run_id} is under way: attach to it instead")
        records = await self.journal.load(run_id) if self.journal is not None else {}
        if run_id not in records:
            raise RunError(f"no run {run_id} in the journal: see `agentflow runs list`")
        record = records[run_id]
        given, history = recorded_input(record)
        state = self._state(run_id, x, limits)
        state.records = dict(records)
        state.ledger = Ledger(run_id, self.journal, record)
        chosen = cast("In", input if input is not None else given)
        return state, self._execute(state, x, chosen, deps, history, record.row.key)

    async def _execute(
        self,
        state: RunState,
        x: Job[Deps, In, Out],
        input: In | None,
        deps: Deps | None,
        history: list[Message],
        key: str | None,
    ) -> Result[Out]:
        self._runs[state.id] = state
        state.messages = history
        try:
            return await execute(self, state, x, cast("In", input), cast("Deps", deps), history, key)
        finally:
            del self._runs[state.id]

    def _run(
        self,
        begin: Callable[
            [], Coroutine[object, object, tuple[RunState, Coroutine[object, object, Result[Out]]]]
        ],
    ) -> Run[Out]:
        if not self._open:
            raise RunError("the Runtime is not open: use `async with Runtime() as runtime`")
        return Run(begin, self.keep)

    def keep(self, task: asyncio.Task[Out]) -> None:
        """Let `task` go on until it ends or the Runtime is closed: a detached call."""
        kept = cast("asyncio.Task[object]", task)
        self._tasks.add(kept)
        kept.add_done_callback(self._tasks.discard)


def _tightest(given: Limits | None, x: object) -> Limits | None:
    """Return the limits of a run: what was given for it, and what `x` brings along."""
    own = getattr(x, "limits", None)
    if not isinstance(own, Limits):
        return given
    return own.tightened(given)


def _new_id() -> str:
    """Return a run id that sorts by time."""
    return f"r{time.time_ns() // 1_000_000:011x}{secrets.token_hex(3)}"
