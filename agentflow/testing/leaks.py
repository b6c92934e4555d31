"""Assert that nothing is left running: tasks, threads, sockets, child processes."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

__all__ = ["NothingLeft", "assert_nothing_left"]

# Turns of the loop in which closed transports and ended tasks leave it.
_TURNS = 10
# Seconds that threads which reap a process, and a server's side of a connection, may take to end.
_LINGER = 1.0


class NothingLeft:
    """See `assert_nothing_left`."""

    def __enter__(self) -> NothingLeft:
        """Note what is there before."""
        self._tasks = _tasks()
        self._threads = set(threading.enumerate())
        self._sockets = _sockets()
        self._children = _children()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise AssertionError, naming what was not there before."""
        if kind is None:
            self._check(set())

    async def __aenter__(self) -> NothingLeft:
        """Note what is there before."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise AssertionError, naming what was not there before."""
        if kind is not None:
            return
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        # The loop's own pool keeps idle threads until the loop is closed.
        self._check({t for t in threading.enumerate() if t.name.startswith(("asyncio_", "agentflow_"))})

    def _check(self, allowed: set[threading.Thread]) -> None:
        ends = time.monotonic() + _LINGER
        while left := self._left(allowed):
            if time.monotonic() > ends or any(name.startswith("task") for name in left):
                raise AssertionError(f"left running: {', '.join(sorted(left))}")
            time.sleep(0.005)

    def _left(self, allowed: set[threading.Thread]) -> list[str]:
        left = [f"task {task.get_name()}" for task in _tasks() - self._tasks]
        threads = set(threading.enumerate()) - self._threads - allowed
        left += [f"thread {thread.name}" for thread in threads if thread.is_alive()]
        left += [f"socket {name}" for name in _sockets() - self._sockets]
        left += [f"process {number}" for number in _children() - self._children]
        return left


def assert_nothing_left() -> NothingLeft:
    """Return a context manager, for `with` and `async with`, that asserts that its block leaves nothing.

    Looked at are tasks of the running loop and threads and, on Linux, sockets and
    child processes of this process. `async with` allows the idle threads of the loop's
    own pool; `with`, round a whole `asyncio.run`, does not.
    """
    return NothingLeft()


def _tasks() -> set[asyncio.Task[object]]:
    try:
        return {task for task in asyncio.all_tasks() if not task.done()}
    except RuntimeError:
        return set()


def _sockets() -> set[str]:
    found: set[str] = set()
    if sys.platform != "linux":
        return found
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def _children() -> set[int]:
    found: set[int] = set()
    if sys.platform != "linux":
        return found
    own = str(os.getpid())
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] == own and fields[0] != "Z":
                found.add(int(name))
    return found
