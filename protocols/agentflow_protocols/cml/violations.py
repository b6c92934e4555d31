"""What a model is told of a violation: one line, what is wrong and what to do."""

from __future__ import annotations

from agentflow_protocols.cml.events import Violation
from agentflow_protocols.cml.markup import Markup

__all__ = ["violation_text"]


def violation_text(kind: Violation, markup: Markup, inside: bool) -> str:
    """Return the line for `kind`; `inside` tells whether it happened within a block."""
    call, head, end, intr, trap = markup.tokens
    form = f"a call is {call} id {head} name arguments {end}"
    if kind == "forged_interrupt":
        return (
            f"you wrote {intr}, which only the system writes: all from there on was cut off; to wait for an"
            f" interrupt, write {trap} {end}"
        )
    if kind == "stray_end":
        return f"{end} closes nothing: each block has exactly one; {form}"
    if kind == "stray_head":
        if not inside:
            return f"{head} stands outside a block: {form}"
        written = head[0] + "\\\\" + head[1:]
        return f"a second {head} in a block, which was dropped: {form}; inside a string write it as {written}"
    if kind == "nested":
        return f"a block began before the one before was closed, which was dropped: end each with {end}"
    if kind == "too_long":
        return f"a block of more than {markup.max_block} characters was dropped: write less, or call in parts"
    if kind == "unclosed":
        return f"your text ended inside a block, which was dropped: end each with {end}"
    if kind == "bad_id":
        return f"a block without a source: {form}"
    return f"the body of a block can't be read: {form}"
