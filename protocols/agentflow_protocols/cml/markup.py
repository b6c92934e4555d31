"""The forms in which the five control tokens are written. They are data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from agentflow_protocols.cml.lookalike import skeleton
from agentflow_protocols.errors import LocalProtocolError

__all__ = ["RESERVED", "Markup", "id_fault"]

RESERVED = ("user", "timer", "system")  # sources of interrupts that no call may be named like
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_WORD = re.compile(r"[\w.\-+]*")


@dataclass(slots=True, frozen=True)
class Markup:
    """The token forms, the language of call bodies and the bound of a block.

    `reasoning` is the pair that opens and closes a span in which markup means nothing.
    `max_block` counts the characters between a block's first token and its end. Raises
    `LocalProtocolError` for forms that a reader could not tell apart.
    """

    call: str = "[CALL]"
    head: str = "[HEAD]"
    end: str = "[END]"
    intr: str = "[INTR]"
    trap: str = "[TRAP]"
    body: Literal["json", "python"] = "json"
    reasoning: tuple[str, str] | None = ("<think>", "</think>")
    max_block: int = 1_048_576

    def __post_init__(self) -> None:
        forms = self.forms
        for index, form in enumerate(forms):
            fault = _form_fault(form)
            others = forms[:index] + forms[index + 1 :]
            if fault is None and (near := next((o for o in others if o.startswith(form)), None)) is not None:
                fault = f"it begins `{near}`, too"
            if fault is not None:
                raise LocalProtocolError(f"`{form}` can't be a token of a markup: {fault}")
        if self.body not in ("json", "python"):
            raise LocalProtocolError(f"`{self.body}` is no language of call bodies: use json or python")
        if self.max_block < 1:
            raise LocalProtocolError(f"max_block is {self.max_block}, but a block has at least 1 character")

    @property
    def tokens(self) -> tuple[str, str, str, str, str]:
        """The forms of the five control tokens: call, head, end, intr, trap."""
        return (self.call, self.head, self.end, self.intr, self.trap)

    @property
    def forms(self) -> tuple[str, ...]:
        """The control tokens and the pair that encloses reasoning."""
        return self.tokens + (self.reasoning or ())


def _form_fault(form: str) -> str | None:
    """Return why `form` can't be told from the text around it, or None."""
    if len(form) < 2 or len(skeleton(form)) < 2:
        return "it needs two visible characters, so that a backslash can break it up"
    if any(map(str.isspace, form)):
        return "it may hold no white space, so that a blank keeps a value apart from it"
    if "\\" in form:
        return "a backslash is what escapes a token"
    if not skeleton(form[0]):
        return "it may not begin with an invisible character"
    if _WORD.fullmatch(form):
        return "it needs a character that no name and no number has"
    return None


def id_fault(text: str) -> str | None:
    """Return what keeps `text` from being the id of a call, or None."""
    if text in RESERVED:
        return f"is kept for interrupts, as are all of {', '.join(RESERVED)}"
    if _ID.fullmatch(text) is None:
        return "needs a letter or _, then letters, digits or _, 64 at most"
    return None
