"""Lines that a person typed, as an async iterator."""

from __future__ import annotations

import asyncio

__all__ = ["TypedLines"]


class TypedLines:
    """A queue of lines. It ends with None, and stays ended."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._back: list[str] = []
        self._ended = False

    def put(self, line: str | None) -> None:
        """Add a line, or the end."""
        self._lines.put_nowait(line)

    def put_back(self, line: str) -> None:
        """Let `line` be the next one again."""
        self._back.append(line)

    def __aiter__(self) -> TypedLines:
        return self

    async def __anext__(self) -> str:
        if self._back:
            return self._back.pop()
        line = None if self._ended else await self._lines.get()
        if line is None:
            self._ended = True
            raise StopAsyncIteration
        return line.strip()
