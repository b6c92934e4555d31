"""Server-sent events: bytes in, the data of each event out.

Only `data` fields matter to chat APIs; names, ids, retry times and comments are
passed over. Any split of the bytes gives the same events, inside a UTF-8
character, too. Linear time; an event larger than `max_event` bytes is refused.
"""

from __future__ import annotations

from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["SseParser"]

_BOM = b"\xef\xbb\xbf"


class SseParser:
    """Parse one stream of server-sent events."""

    __slots__ = ("_after_cr", "_data", "_first", "_max", "_rest", "_size")

    def __init__(self, max_event: int = 16 * 1024 * 1024) -> None:
        self._max = max_event
        self._rest: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    def feed(self, chunk: bytes) -> list[str]:
        """Return the data of the events that `chunk` completes.

        Raises `RemoteProtocolError` for an event above the size limit.
        """
        if (
            not self._size
            and not self._first
            and not self._after_cr
            and chunk[:6] == b"data: "
            and chunk[-2:] == b"\n\n"
            and chunk.find(b"\n") == len(chunk) - 2
            and b"\r" not in chunk
        ):  # one whole event in one chunk, as most servers send a token
            return [chunk[6:-2].decode("utf-8", "replace")]
        if self._after_cr:
            if not chunk:
                return []
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._size += len(chunk)
        if b"\n" not in chunk:
            self._rest.append(chunk)
            if self._size > self._max:
                raise RemoteProtocolError(f"an event of the stream is larger than {self._max} bytes")
            return []
        if self._rest:
            self._rest.append(chunk)
            chunk = b"".join(self._rest)
            self._rest.clear()
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if rest:
            self._rest.append(rest)
        events = self._take(lines)
        if not self._data:
            self._size = len(rest)
        if self._size > self._max:
            raise RemoteProtocolError(f"an event of the stream is larger than {self._max} bytes")
        return events

    def finish(self) -> list[str]:
        """Return the last event when the stream ended without the empty line that closes it."""
        lines = [b"".join(self._rest), b""]
        self._rest.clear()
        return self._take(lines)

    def _take(self, lines: list[bytes]) -> list[str]:
        events: list[str] = []
        data = self._data
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if not line:
                if data:
                    events.append(
                        (data[0] if len(data) == 1 else b"\n".join(data)).decode("utf-8", "replace")
                    )
                    data.clear()
            elif line[:5] == b"data:":
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                data.append(b"")
        return events
