"""Make control tokens in a value harmless, and undo it.

A backslash goes in after the first character of whatever looks like a token. Backslashes do
not count when tokens are looked for, so a text that holds an escaped token gets one more:
each text has exactly one escaped form, and gets back out of it.
"""

from __future__ import annotations

from agentflow_protocols.cml.lookalike import lookalikes
from agentflow_protocols.cml.markup import Markup

__all__ = ["escape", "unescape"]

_PLAIN = Markup()


def escape(value: str, markup: Markup = _PLAIN) -> str:
    """Return `value` with a backslash in everything that is, or only looks like, a token."""
    parts: list[str] = []
    done = 0
    for cut in lookalikes(value, markup.forms):
        parts += (value[done:cut], "\\")
        done = cut
    return "".join([*parts, value[done:]]) if parts else value


def unescape(value: str, markup: Markup = _PLAIN) -> str:
    """Return the text that `escape` made `value` of."""
    if "\\" not in value:
        return value
    parts: list[str] = []
    done = 0
    for cut in lookalikes(value, markup.forms):
        if value.startswith("\\", cut):
            parts.append(value[done:cut])
            done = cut + 1
    return "".join([*parts, value[done:]]) if parts else value
