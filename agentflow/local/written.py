"""What a reply has written: whole characters, nothing banned, up to a stop text."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Sequence

__all__ = ["Written"]

_Decoder = getincrementaldecoder("utf-8")


class Written:
    """The text that tokens write after `prompt`, from bytes that may end inside a character.

    No text of `banned` comes about in it, also not one that `prompt` began; at the first of
    `stop` it ends, and that is not told.
    """

    __slots__ = ("_banned", "_decoder", "_held", "_keep", "_stop", "_tail", "stopped")

    def __init__(self, prompt: str, banned: Sequence[str], stop: Sequence[str]) -> None:
        self._banned = tuple(text.encode() for text in banned if text)
        self._keep = max(map(len, self._banned), default=1) - 1
        self._tail = prompt[-self._keep :].encode("utf-8", "replace")[-self._keep :] if self._keep else b""
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self._decoder = _Decoder("replace")
        self.stopped = False
        """Whether a stop text came."""

    def allows(self, piece: bytes) -> bool:
        """Return whether `piece` may come next: it completes no banned text."""
        if not self._banned:
            return True
        data, old = self._tail + piece, len(self._tail)
        return not any(data.find(text, max(old - len(text) + 1, 0)) >= 0 for text in self._banned)

    def add(self, piece: bytes) -> tuple[str, bool]:
        """Add `piece`; return the characters that are whole with it, and whether none is begun."""
        if self._keep:
            self._tail = (self._tail + piece)[-self._keep :]
        return self._decoder.decode(piece), not self._decoder.getstate()[0]

    def tell(self, text: str) -> str:
        """Return what may be told of `text` and of what was held back: no stop text, nor a part of one."""
        if not self._stop:
            return text
        held = self._held + text
        found = [at for stop in self._stop if (at := held.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return held[: min(found)]
        begun = max(_begun(held, stop) for stop in self._stop)
        self._held = held[len(held) - begun :]
        return held[: len(held) - begun]

    def rest(self) -> str:
        """Return what was held back, when nothing more comes."""
        text, self._held = self._held + self._decoder.decode(b"", True), ""
        return "" if self.stopped else text


def _begun(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that `stop` begins with, and may go on from."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
