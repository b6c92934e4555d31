"""Token forms as data, escaping, and what a model is told of its faults."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow_protocols.cml import (
    Markup,
    Parser,
    ProtocolViolation,
    TextDelta,
    encode_interrupt,
    escape,
    unescape,
)
from agentflow_protocols.errors import LocalProtocolError

XML = Markup(call="<call>", head="<do>", end="</call>", intr="<intr>", trap="<trap>")
BARS = Markup(call="|a|", head="|bb|", end="|c|", intr="|d|", trap="|e|")
hard = st.lists(
    st.sampled_from([
        "[", "]", "［", "］", "\\", " ", "\n", "\u200b", "\u0301", "\ufe0f", "\u3164", "CALL", "call",
        "ＥＮＤ",
        "E", "N", "D", "e", "㎈", "l", "ⓒ", "all", "<", ">", "think", "thinK", "</", "|", "a", "b", "é",
        "[END]", "INTR",
    ]) | st.text(max_size=2),
    max_size=15,
).map("".join)  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"call": ""}, "two visible characters"),
        ({"call": "["}, "two visible characters"),
        ({"call": "[\u200b"}, "two visible characters"),
        ({"call": "[CALL] "}, "white space"),
        ({"call": "\\call"}, "backslash"),
        ({"call": "CALL"}, "no name and no number"),
        ({"call": "-1.5"}, "no name and no number"),
        ({"call": "[END]"}, "begins"),
        ({"call": "[E"}, "two visible|begins"),
        ({"call": "[END]x"}, "begins"),
        ({"reasoning": ("[CALL]", "</think>")}, "begins"),
        ({"reasoning": ("<think>", "<think>")}, "begins"),
        ({"call": "\u200b[CALL]"}, "invisible"),
        ({"body": "xml"}, "json or python"),
        ({"max_block": 0}, "at least 1"),
    ],
)
def test_forms_that_can_t_be_told_apart_are_refused(fields, why):
    """AL-1.2."""
    with pytest.raises(LocalProtocolError, match=why) as caught:
        Markup(**fields)
    assert "\n" not in str(caught.value)


@given(hard, st.sampled_from([Markup(), XML, BARS]))
def test_escaped_text_comes_back_and_holds_no_token(value, markup):
    """AL-4.1 to AL-4.4."""
    escaped = escape(value, markup)
    assert unescape(escaped, markup) == value
    assert unescape(escape(escaped, markup), markup) == escaped
    assert not any(form in escaped for form in markup.forms)
    for normal in ("NFC", "NFKC", "NFD", "NFKD"):
        looks = unicodedata.normalize(normal, escaped).casefold()
        looks = "".join(c for c in looks if unicodedata.category(c) not in ("Cf", "Mn", "Zs", "Cc"))
        assert not any(form.casefold() in looks for form in markup.forms)


@given(hard, hard)
def test_no_value_opens_or_closes_a_block(value, source):
    """AL-4.4, AL-3.1: whatever a tool returns, the block ends where the runtime ended it."""
    block = encode_interrupt(source, value)
    assert block.count("[INTR]") == block.count("[HEAD]") == block.count("[END]") == 1
    assert not any(token in block for token in ("[CALL]", "[TRAP]"))
    parser = Parser(Markup(reasoning=None))
    for text in (f"[CA {escape(value)} ", f"[ {escape(value)} ALL]"):
        assert all(isinstance(event, TextDelta) for event in parser.feed(text))
    assert not parser.critical


@pytest.mark.parametrize("text", ["x", "[", "[ ", "［", "[end ", "\\[", "é"])
def test_escaping_takes_linear_time(text):
    """AL-4.4."""
    small, large = (_seconds(text * n) for n in (10_000, 100_000))
    assert large < 40 * small + 0.05


def _seconds(value: str) -> float:
    began = time.process_time()
    assert unescape(escape(value)) == value
    return time.process_time() - began


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[CALL] c1 [HEAD] f {"a": "x[END]', "two backslashes after the token's first character"),
        ('[CALL] c1 [HEAD] f {"a": [1,, 2]} [END]', "line 1, column 10"),
        ('[CALL] c1 [HEAD] f {"a": 1\n "b": 2} [END]', "line 2, column 2"),
        ("[CALL] c1 [HEAD] f [END]", 'write name {"argument": 1}'),
        ("[CALL] user [HEAD] f {} [END]", "kept for interrupts"),
        ("[INTR] c1 [HEAD] 1 [END]", "only the system writes"),
        ("[CALL] " + "x" * 500 + " [HEAD] f {} [END]", "64 at most"),
        ("[CALL] c1 [HEAD] " + "x" * 500 + "{} [END]", "no tool's name"),
    ],
)
def test_the_model_is_told_what_to_do(text, says):
    """AL-6.8, AL-6.9."""
    parser = Parser()
    events = parser.feed(text) + parser.end()
    message = next(event.message for event in events if isinstance(event, ProtocolViolation))
    assert re.search(says, message), message
    assert "\n" not in message
    assert "x" * 65 not in message
