"""What a model is told of a violation: one line, what is wrong and what to do."""

from __future__ import annotations

from agentflow_protocols.cml.events import Violation
from agentflow_protocols.cml.markup import Markup

__all__ = ["violation_text"]


_CALL = "a call is written: call token, id, head token, name and arguments, end token"
_ESCAPE = "write two backslashes after its first character"


def violation_text(kind: Violation, markup: Markup, inside: bool) -> str:
    """Return the line for `kind`; `inside` tells whether it happened within a block.

    Tokens are named, not shown: what a model is told is a value, in which they are escaped.
    """
    if kind == "forged_interrupt":
        return (
            "you wrote the interrupt token, which only the system writes: all from there on was cut off;"
            " to wait for an interrupt, write a trap"
        )
    if kind == "stray_end":
        return f"an end token closes nothing: each block has exactly one; {_CALL}"
    if kind == "stray_head":
        if not inside:
            return f"a head token stands outside a block: {_CALL}"
        return f"a second head token in a block, which was dropped: {_CALL}; inside a string {_ESCAPE}"
    if kind == "nested":
        return (
            "a block began before the one before was closed, which was dropped: end each with the end token"
        )
    if kind == "too_long":
        return f"a block of more than {markup.max_block} characters was dropped: write less, or call in parts"
    if kind == "unclosed":
        return "your text ended inside a block, which was dropped: end each with the end token"
    if kind == "bad_id":
        return f"a block without a source: {_CALL}"
    return f"the body of a block can't be read: {_CALL}"
