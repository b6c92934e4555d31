"""Read the markup out of a text that arrives in pieces.

A piece is searched once, for the tokens of the state it is read in; only its last characters
are kept when they may be the first of a token. What happens then stands in `states.STATES`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO

from agentflow_protocols.cml.body import BLANK, OPENERS, BodyFault, read_body
from agentflow_protocols.cml.escaping import unescape
from agentflow_protocols.cml.events import (
    CallReady,
    CallStarted,
    Event,
    InterruptRead,
    ProtocolViolation,
    ReasoningDelta,
    TextDelta,
    TrapReached,
    Violation,
)
from agentflow_protocols.cml.markup import Markup, id_fault
from agentflow_protocols.cml.states import State, Token, table
from agentflow_protocols.cml.violations import violation_text

__all__ = ["Parser"]

_PLAIN = Markup()
_SEPARATOR = re.compile(r"[ \t\r\n,]+")


@dataclass(slots=True, frozen=True)
class _Search:
    """The tokens that count in some state, and how they are found."""

    tokens: Mapping[str, Token]
    firsts: tuple[str, ...]
    whole: re.Pattern[str]  # any token
    begun: re.Pattern[str]  # what may be the first characters of one, at the end of a text
    longest: int


def _search(tokens: Mapping[str, Token]) -> _Search:
    return _Search(
        tokens,
        tuple(sorted({form[0] for form in tokens})),
        re.compile("|".join(map(re.escape, tokens))),
        re.compile(f"(?:{'|'.join(map(_begun, tokens))})\\Z"),
        max(map(len, tokens)) - 1,
    )


def _begun(form: str) -> str:
    rest = ""
    for sign in reversed(form[1:-1]):
        rest = f"(?:{re.escape(sign)}{rest})?"
    return re.escape(form[0]) + rest


@lru_cache(maxsize=64)
def _searches(markup: Markup) -> tuple[_Search, _Search | None, _Search]:
    """Return what is searched in text, in reasoning and in a block."""
    block: dict[str, Token] = {
        markup.call: "call",
        markup.head: "head",
        markup.end: "end",
        markup.intr: "intr",
        markup.trap: "trap",
    }
    if markup.reasoning is None:
        return _search(block), None, _search(block)
    think, answer = markup.reasoning
    return _search({**block, think: "think"}), _search({answer: "answer"}), _search(block)


class Parser:
    """An incremental reader: any split of a text into pieces gives the same events.

    Linear in the text; what it keeps is bounded by `markup.max_block`. With `transcript` it
    reads what the runtime put in, too, as `InterruptRead`, instead of calling it forged.
    `at` counts the characters fed.
    """

    __slots__ = (
        "_begun", "_body", "_firsts", "_held", "_id", "_markup", "_opener", "_openings", "_room", "_search",
        "_searches", "_state", "_table", "at",
    )  # fmt: skip

    def __init__(self, markup: Markup = _PLAIN, *, transcript: bool = False) -> None:
        self._markup = markup
        self._table = table(transcript)
        self._searches = _searches(markup)
        self._opener = OPENERS[markup.body]
        self._openings = (markup.call, markup.trap, markup.intr)
        self._state: State = "text"
        self._search = self._searches[0]
        self._firsts = self._search.firsts
        self._held = ""
        self._body = StringIO()
        self._room = 0
        self._begun = 0
        self._id: str | None = None
        self.at = 0

    @property
    def critical(self) -> bool:
        """Whether the text so far ends inside a block, or in what may be the first of one."""
        if self._state == "text":
            held = self._held
            return bool(held) and any(form.startswith(held) for form in self._openings)
        return self._state != "reasoning"

    def feed(self, text: str) -> list[Event]:
        """Read the next piece; return what it completed."""
        self.at += len(text)
        if not self._held:
            for first in self._firsts:
                if first in text:
                    break
            else:
                if self._state == "text":
                    return [TextDelta(text)] if text else []
                plain: list[Event] = []
                self._take(text, plain)
                return plain
        events: list[Event] = []
        text = self._held + text
        base, size, done = self.at - len(text), len(text), 0
        while (found := self._search.whole.search(text, done)) is not None:
            if found.start() > done:
                self._take(text[done : found.start()], events)
            done = found.end()
            self._apply(self._search.tokens[found[0]], base + found.start(), events)
        last = size - self._search.longest
        found = self._search.begun.search(text, last if last > done else done)
        kept = size if found is None else found.start()
        self._held = text[kept:]
        self._take(text[done:kept], events)
        return events

    def end(self) -> list[Event]:
        """Read the text's end; return what was still to come. Another text may follow."""
        events: list[Event] = []
        held, self._held = self._held, ""
        self._take(held, events)
        self._apply("stop", self.at, events)
        return events

    def _take(self, piece: str, events: list[Event]) -> None:
        """Take text that holds no token."""
        state = self._state
        if not piece or state == "dropped" or state == "forged":
            return
        if state == "text":
            events.append(TextDelta(piece))
            return
        if state == "reasoning":
            events.append(ReasoningDelta(piece))
            return
        room = self._room
        self._room = room - len(piece)
        if self._room < 0:
            piece = piece[:room]
        if state == "call" and self._opener in piece:
            self._apply("opener", self.at, events)
        if self._room < 0:
            self._apply("limit", self._begun, events)
        else:
            self._body.write(piece)

    def _apply(self, token: Token, at: int, events: list[Event]) -> None:
        """Do what the table says of `token`, which began at `at`."""
        before = self._state
        fault = ""
        if token == "head" and before == "call" and (fault := self._id_fault()):
            token = "bad_head"
        self._state, action = self._table[before][token]
        if action == "open":
            self._open(at)
        elif action == "name":
            self._id = self._text()
            events.append(CallStarted(self._id))
        elif action == "begin":
            events.append(CallStarted(None))
        elif action == "finish":
            events.append(self._call())
        elif action == "wait":
            events.append(self._trap())
        elif action == "source":
            self._id = self._text()
        elif action == "show":
            source = unescape(self._id or "", self._markup)
            events.append(InterruptRead(source, unescape(_stripped(self._body.getvalue()), self._markup)))
        elif action != "skip":
            self._violate(action, at if before == "text" else self._begun, fault, events)
            if self._state in ("call", "trap"):
                self._open(at)
        if self._state == "text":
            self._id = None
            self._search = self._searches[0]
        elif self._state == "reasoning":
            self._search = self._searches[1] or self._searches[0]
        else:
            self._search = self._searches[2]
        self._firsts = self._search.firsts

    def _open(self, at: int) -> None:
        self._begun = at
        self._id = None
        self._room = self._markup.max_block
        self._body = StringIO()

    def _text(self) -> str:
        """Return what has been taken of the block so far, and forget it."""
        text = self._body.getvalue()
        self._body = StringIO()
        return text.strip(BLANK)

    def _id_fault(self) -> str:
        written = self._body.getvalue().strip(BLANK)
        fault = id_fault(written)
        return "" if fault is None else f"{json.dumps(written[:64])} is no id of a call: it {fault}"

    def _call(self) -> Event:
        try:
            name, arguments = read_body(self._text(), self._markup)
        except BodyFault as fault:
            return ProtocolViolation("bad_body", str(fault), self._begun, self._id)
        return CallReady(self._id, name, arguments)

    def _trap(self) -> Event:
        ids = tuple(part for part in _SEPARATOR.split(self._text()) if part)
        for id in ids:
            if (fault := id_fault(id)) is not None:
                message = f"you can't wait for {json.dumps(id[:64])}: an id {fault}"
                return ProtocolViolation("bad_id", message, self._begun)
        return TrapReached(ids)

    def _violate(self, kind: Violation, at: int, fault: str, events: list[Event]) -> None:
        inside = self._state != "text"
        message = fault or violation_text(kind, self._markup, inside)
        events.append(ProtocolViolation(kind, message, at, self._id))
        if self._state in ("dropped", "forged"):
            self._body = StringIO()


def _stripped(value: str) -> str:
    """Return a value without the one blank that the encoder puts on each side."""
    return value.removeprefix(" ").removesuffix(" ")
