"""The journal in one SQLite file: WAL, one writer thread, group commit.

The loop never waits for the disk. Facts queue up in order; the thread takes all
that are there into one transaction; whoever waits at a barrier is told after the
commit. The writer's queue carries facts, barriers and queries alike, so that a
query sees every fact that was put before it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO, TypeVar

from agentflow.errors import AgentflowError, RunError
from agentflow.runtime.journal import Fact, RunRecord, RunRow, StepFact
from agentflow.runtime.schema import INSERTS, Reader, prepare, refuse_foreign

__all__ = ["JournalInUse", "SqliteJournal", "forget"]

T = TypeVar("T")

COMMIT_DELAY = 0.005  # seconds that an unawaited fact may wait for company


class _Query:
    """Something to do in the writer's thread, between transactions."""

    __slots__ = ("call", "future")

    def __init__(self, call: Callable[[sqlite3.Connection], object], future: asyncio.Future[object]) -> None:
        self.call = call
        self.future = future


class SqliteJournal:
    """A journal in the file `path`. `durable=False` gives `synchronous=NORMAL`: the
    last moments may be lost when the power fails, never when the process dies."""

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = True) -> None:
        self.path = Path(path)
        self._durable = durable
        self._queue: deque[Fact | _Query] = deque()
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._awake = False
        self._dirty = 0  # facts put and not known to be durable
        self._error: AgentflowError | None = None
        self._thread: threading.Thread | None = None
        self._lock: IO[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Take the file into use, made anew when there is none. See `Journal.open`."""
        self._loop = asyncio.get_running_loop()
        self._lock = _own(self.path)
        try:
            refuse_foreign(self.path)
        except RunError:
            self._unlock()
            raise
        ready: asyncio.Future[object] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._write, args=(ready,), name="agentflow-journal", daemon=True
        )
        self._thread.start()
        try:
            await self._held(ready)
        except RunError:
            self._thread.join()
            self._unlock()
            raise

    def put(self, fact: Fact) -> None:
        """Put a fact down."""
        self._queue.append(fact)
        self._dirty += 1
        if self._timer is None:
            self._timer = self._loop.call_later(COMMIT_DELAY, self._due)

    async def barrier(self) -> None:
        """Wait until every fact so far is durable."""
        if self._error is not None:
            raise self._error
        if self._dirty:
            await self._ask(_nothing)

    async def find(self, key: str) -> str | None:
        """Return the id of the newest run of this key."""
        return await self._ask(lambda db: Reader(db).find(key))

    async def load(self, run: str) -> Mapping[str, RunRecord]:
        """Return the run and all below it."""
        return await self._ask(lambda db: Reader(db).load(run))

    async def runs(self, status: str | None = None) -> Sequence[RunRow]:
        """Return the outermost runs, the newest first."""
        return await self._ask(lambda db: Reader(db).runs(status))

    async def steps(self, run: str, first: str, last: str) -> Sequence[StepFact]:
        """Return the steps whose keys lie from `first` up to `last`."""
        return await self._ask(lambda db: Reader(db).steps(run, first, last))

    async def artifact(self, run: str, name: str) -> bytes | None:
        """Return an artifact's data."""
        return await self._ask(lambda db: Reader(db).artifact(run, name))

    async def durations(self) -> Mapping[str, float]:
        """Return the learned mean seconds of each tool."""
        return await self._ask(lambda db: Reader(db).durations())

    async def step_durations(self, kind: str, name: str) -> Mapping[str, float]:
        """Return the learned mean seconds of each step of such runs."""
        return await self._ask(lambda db: Reader(db).step_durations(kind, name))

    async def fork(self, run: str, after: str, new: str) -> None:
        """Copy a run up to a step."""
        await self._ask(lambda db: Reader(db).fork(run, after, new))

    async def delete(self, run: str) -> None:
        """Delete a run and all below it."""
        await self._ask(lambda db: Reader(db).delete(run))

    async def aclose(self) -> None:
        """Write what is there and close the file; RunError if that fails."""
        if self._thread is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        done: asyncio.Future[object] = self._loop.create_future()
        self._queue.append(_Query(_nothing, done))
        self._wake.put(False)
        try:
            await self._held(done)
        finally:
            self._thread.join()
            self._thread = None
            self._unlock()

    async def _ask(self, call: Callable[[sqlite3.Connection], T]) -> T:
        if self._thread is None:
            raise RunError(f"journal {self.path}: not open")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Query(call, future))  # type: ignore[arg-type]
        self._nudge()
        return await self._held(future)

    async def _held(self, future: asyncio.Future[T]) -> T:
        """Wait for the writer; the clock stands still, and the loop yields the interpreter to it."""
        loop = self._loop
        clock = getattr(loop, "clock", None)
        if clock is None:
            return await future
        clock.holds += 1
        loop.writes_pending += 1  # type: ignore[attr-defined]
        try:
            return await future
        finally:
            clock.holds -= 1
            loop.writes_pending -= 1  # type: ignore[attr-defined]

    def _due(self) -> None:
        """Commit what nobody waited for; a timer a step would cost more than one that finds nothing."""
        self._timer = None
        if self._queue:
            self._nudge()

    def _nudge(self) -> None:
        if not self._awake:
            self._awake = True
            self._wake.put(True)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # In the writer's thread from here on.

    def _write(self, ready: asyncio.Future[object]) -> None:
        try:
            db = prepare(self.path, self._durable)
        except (sqlite3.Error, OSError, RunError) as error:
            self._tell([(ready, None, self._wrapped(error))], 0)
            return
        self._tell([(ready, None, None)], 0)
        more = True
        while more:
            more = self._wake.get()
            self._awake = False
            while self._queue:
                self._batch(db)
        db.close()

    def _batch(self, db: sqlite3.Connection) -> None:
        """Take all that is queued into one transaction, and answer after its commit."""
        facts: list[Fact] = []
        queries: list[_Query] = []
        while self._queue and len(facts) < 10_000:
            item = self._queue.popleft()
            if isinstance(item, _Query):
                queries.append(item)
                if item.call is not _nothing:
                    break
            else:
                facts.append(item)
        error = self._commit(db, facts) if facts else self._error
        answers: list[tuple[asyncio.Future[object], object, BaseException | None]] = []
        for query in queries:
            value: object = None
            fault: BaseException | None = error
            if fault is None:
                try:
                    value = query.call(db)
                except Exception as problem:
                    fault = self._wrapped(problem)
            answers.append((query.future, value, fault))
        self._tell(answers, len(facts))

    def _commit(self, db: sqlite3.Connection, facts: list[Fact]) -> AgentflowError | None:
        if self._error is not None:
            return self._error
        try:
            db.execute("BEGIN IMMEDIATE")
            for kind, group in groupby(facts, type):
                sql, row = INSERTS[kind]
                db.executemany(sql, [row(fact) for fact in group])
            db.execute("COMMIT")
        except Exception as error:  # also of a text that is no UTF-8: without its thread all would wait
            self._error = self._wrapped(error)
            if db.in_transaction:
                db.execute("ROLLBACK")
        return self._error

    def _tell(
        self, answers: list[tuple[asyncio.Future[object], object, BaseException | None]], written: int
    ) -> None:
        def settle() -> None:
            self._dirty -= written
            for future, value, error in answers:
                if future.done():
                    continue
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(value)

        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop was closed over us
            self._queue.clear()

    def _wrapped(self, error: Exception) -> AgentflowError:
        if isinstance(error, AgentflowError):
            return error
        return RunError(f"journal {self.path}: {error}; what was finished before is kept")


def _nothing(db: sqlite3.Connection) -> None:
    """A barrier's query."""


class JournalInUse(RunError):
    """Another process owns the journal."""


def forget(path: Path) -> None:
    """Remove a journal, whatever it holds. Raises `JournalInUse` while another process owns it."""
    lock = _own(path)
    try:
        for end in ("", "-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
    finally:
        lock.close()


def _own(path: Path) -> IO[bytes]:
    """Lock the journal for this process; the lock dies with it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{path}.lock", "a+b")  # noqa: SIM115
    except OSError as error:
        raise RunError(f"journal {path}: {error.strerror}; name another file with --journal") from None
    try:
        import fcntl
    except ImportError:
        return lock
    for _ in range(2):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
            continue
        os.chmod(lock.name, 0o600)
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        return lock
    lock.seek(0)
    owner = lock.read(20).decode("ascii", "replace") or "another process"
    lock.close()
    raise JournalInUse(f"journal {path}: process {owner} owns it; wait for its end, or use another journal")
