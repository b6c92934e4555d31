"""JSON lines as a stream: bytes in, the text of each line out. Any split of the bytes gives the same."""

from __future__ import annotations

from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["LineParser"]


class LineParser:
    """Parse one stream of JSON lines. Empty lines are passed over, one above `max_line` bytes is refused."""

    __slots__ = ("_max", "_rest", "_size")

    def __init__(self, max_line: int = 16 * 1024 * 1024) -> None:
        self._max = max_line
        self._rest: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that `chunk` completes. Raises `RemoteProtocolError` for one above the limit."""
        first, newline, more = chunk.partition(b"\n")
        self._rest.append(first)
        self._size += len(first)
        if self._size > self._max:
            raise RemoteProtocolError(f"a line of the stream is larger than {self._max} bytes")
        if not newline:
            return []
        lines = [b"".join(self._rest), *more.split(b"\n")]
        rest = lines.pop()
        self._rest = [rest]
        self._size = len(rest)
        return [line.decode("utf-8", "replace") for line in lines if line.strip()]

    def finish(self) -> list[str]:
        """Return the last line when the stream ended without its newline."""
        line = b"".join(self._rest)
        self._rest.clear()
        return [line.decode("utf-8", "replace")] if line.strip() else []
