"""The lines of a batch on their way: read from a file in a thread, a piece at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agentflow.errors import UserError
from agentflow_protocols.chat.batches import BatchCall

__all__ = ["BatchFile", "Upload"]

_PIECE = 1 << 20


@dataclass(slots=True)
class BatchFile:
    """An open file of lines: how many they are, their bytes without newlines, the first of them."""

    file: IO[bytes]
    count: int
    size: int
    first: bytes

    @classmethod
    async def open(cls, lines: Iterable[bytes] | Path | str) -> BatchFile:
        """Return the lines in a file of that name; other lines are put into one that goes when it is closed.

        Raises `UserError` for a file that can't be read, and for no lines.
        """
        if isinstance(lines, (str, os.PathLike)):
            try:
                file: IO[bytes] = await asyncio.to_thread(Path(lines).open, "rb")
            except OSError as error:
                raise UserError(f"{lines}: the batch can't be read: {error.strerror}") from None
        else:
            import tempfile

            file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        try:
            if not isinstance(lines, (str, os.PathLike)):
                for line in lines:
                    file.write(line.rstrip(b"\n") + b"\n")
            found = await asyncio.to_thread(_measured, file)
        except BaseException:
            file.close()
            raise
        if not found.count:
            file.close()
            raise UserError("the batch has no lines")
        return found

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _measured(file: IO[bytes]) -> BatchFile:
    file.seek(0)
    found = BatchFile(file, 0, 0, b"")
    for raw in file:
        line = raw.strip()
        if line:
            found.first = found.first or line
            found.count += 1
            found.size += len(line)
    return found


class Upload:
    """The body of a call that hands in lines, as an async iterable of pieces. One at a time reads a file."""

    def __init__(self, call: BatchCall, lines: BatchFile) -> None:
        self._call = call
        self._lines = lines
        self.size = len(call.head) + len(call.tail) + lines.size + len(call.between) * (lines.count - 1)
        """The bytes of the body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the pieces from the start."""
        return _Pieces(self._call, self._lines.file)


class _Pieces:
    def __init__(self, call: BatchCall, file: IO[bytes]) -> None:
        self._call = call
        self._file = file
        self._at = 0
        self._begun = False
        self._ended = False

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        return await asyncio.to_thread(self._next)

    def _next(self) -> bytes:
        call = self._call
        pieces = [] if self._begun else [call.head]
        size = 0
        self._file.seek(self._at)
        while size < _PIECE:
            raw = self._file.readline()
            if not raw:
                self._ended = True
                pieces.append(call.tail)
                break
            line = raw.strip()
            if line:
                if self._begun:
                    pieces.append(call.between)
                self._begun = True
                pieces.append(line)
                size += len(line)
        self._at = self._file.tell()
        return b"".join(pieces)
