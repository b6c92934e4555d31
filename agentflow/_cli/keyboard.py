"""Lines from stdin, as an async iterator. Reading one keeps no virtual clock from stalling."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import AbstractContextManager
from types import TracebackType

from agentflow._cli.say import write_text
from agentflow._cli.typed import TypedLines
from agentflow.runtime.clock import current_clock

__all__ = ["Keyboard"]


class Keyboard:
    """Reads stdin in a thread of its own, which a process may leave behind when it ends.

    Use it as `async with Keyboard() as keyboard: async for line in keyboard`. Ends with stdin.
    """

    def __init__(self) -> None:
        self.typed = TypedLines()
        self._loop = asyncio.get_running_loop()
        self._external: AbstractContextManager[None] | None = None
        self._closed = False
        self._open_line = False

    async def __aenter__(self) -> Keyboard:
        self._external = current_clock().external()
        self._external.__enter__()
        threading.Thread(target=self._read, name="keyboard", daemon=True).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self._external is not None:
            self._external.__exit__(kind, error, trace)

    def __aiter__(self) -> TypedLines:
        return self.typed

    def write(self, text: str) -> None:
        """Show text that comes in pieces."""
        self._open_line = not text.endswith("\n")
        write_text(text)

    def end_line(self) -> None:
        """End the line that is being written."""
        if self._open_line:
            self.write("\n")

    def _read(self) -> None:
        while not self._closed:
            line = sys.stdin.readline()
            try:
                self._loop.call_soon_threadsafe(self.typed.put, line or None)
            except RuntimeError:  # the loop has been closed meanwhile
                return
            if not line:
                return
