"""Text whose UTF-16 pairs were cut in two, as some servers write a character over two events.

`{"content": "\\ud83d"}` and then `{"content": "\\ude00"}` are one character together,
and neither is text alone.
"""

from __future__ import annotations

import json
from typing import cast

from agentflow_protocols.chat.messages import Json

__all__ = ["Halves", "whole"]


def whole(text: str | bytes) -> Json:
    """Return the JSON of `text`, with pairs joined and halves as U+FFFD. Raises ValueError for no JSON."""
    return Halves(hold=False).mend(json.loads(text))


class Halves:
    """Joins pairs over the values of one stream: a first half waits for the next text at its path."""

    __slots__ = ("_held", "_hold")

    def __init__(self, hold: bool = True) -> None:
        self._held: dict[str, str] = {}
        self._hold = hold

    def mend(self, value: object, path: str = "") -> Json:
        """Return `value` with its texts joined and cleaned."""
        if isinstance(value, dict):
            return {self._clean(str(k)): self.mend(v, f"{path}.{k!r}") for k, v in value.items()}
        if isinstance(value, list):
            return [self.mend(v, f"{path}.{i}") for i, v in enumerate(value)]
        if not isinstance(value, str):
            return cast("Json", value)
        text = self._held.pop(path, "") + value
        if self._hold and "\ud800" <= text[-1:] <= "\udbff":
            self._held[path] = text[-1]
            text = text[:-1]
        return self._clean(text)

    def _clean(self, text: str) -> str:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
