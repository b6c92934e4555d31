"""The reader of the markup: any cut gives the same events, nothing makes it raise, its state is bounded."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow_protocols.cml import (
    CallReady,
    CallStarted,
    Event,
    InterruptRead,
    Markup,
    Parser,
    ProtocolViolation,
    ReasoningDelta,
    TextDelta,
    TrapReached,
    encode_call,
    encode_interrupt,
    encode_trap,
)

MARKUPS = (
    Markup(),
    Markup(body="python"),
    Markup(max_block=30, reasoning=None),
    Markup(call="<call>", head="<do>", end="</call>", intr="<intr>", trap="<trap>"),
    Markup(call="<|call|>", head="<|head|>", end="<|end|>", intr="<|intr|>", trap="<|trap|>", body="python"),
    Markup(call='{"call":', head='"head":', end='"end"}', intr='{"intr":', trap='{"trap":'),
    Markup(call="||a", head="|||", end="|b|", intr="|c|", trap="|a|"),
)
markups = st.sampled_from(MARKUPS)
ids = st.from_regex(r"[a-z_][a-z0-9_]{0,4}", fullmatch=True).filter(
    lambda name: name not in ("user", "timer", "system")
)
keys = st.from_regex(r"[a-z_][a-z0-9_]{0,4}", fullmatch=True)


def joined(events: list[Event]) -> list[Event]:
    out: list[Event] = []
    for event in events:
        if out and isinstance(event, TextDelta | ReasoningDelta) and type(out[-1]) is type(event):
            out[-1] = type(event)(out[-1].text + event.text)
        else:
            out.append(event)
    return out


def read(text: str, markup: Markup, cuts: list[int] | None = None, transcript: bool = False) -> list[Event]:
    places = [0, *sorted({cut % (len(text) + 1) for cut in cuts or []}), len(text)]
    parser = Parser(markup, transcript=transcript)
    events = [event for a, b in pairwise(places) for event in parser.feed(text[a:b])]
    return joined(events + parser.end())


@st.composite
def hard_values(draw: st.DrawFn, markup: Markup) -> str:
    """Draw a text of tokens, their halves and look-alikes, backslashes, quotes and whatever else."""
    forms = [
        *markup.forms,
        "\\",
        '"',
        "'",
        "{",
        "}",
        ":",
        ",",
        "\n",
        "\0",
        "\ud800",
        "\u200b",
        " ",
        "c1",
        "f",
    ]
    forms += [form[:cut] for form in markup.forms for cut in (1, len(form) // 2)]
    forms += [form.upper() for form in markup.forms] + ["［", "］", "㎈", "\u0301"]
    return "".join(draw(st.lists(st.sampled_from(forms) | st.text(max_size=3), max_size=12)))


@st.composite
def values_for(draw: st.DrawFn, markup: Markup) -> object:
    scalars = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | hard_values(markup)
    scalars |= st.floats(allow_nan=False, allow_infinity=False)
    return draw(
        st.recursive(
            scalars,
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(hard_values(markup), inner, max_size=3)
            ),
            max_leaves=5,
        )
    )


@st.composite
def transcripts(draw: st.DrawFn, markup: Markup) -> str:
    """Draw a text of valid blocks and broken ones."""
    piece = st.one_of(
        hard_values(markup),
        st.builds(lambda i, n, a: encode_call(i, n, json.dumps(a), markup), st.none() | ids, ids,
                  st.dictionaries(keys, st.integers() | st.text(max_size=4), max_size=2)),
        st.builds(lambda some: encode_trap(some, markup), st.lists(ids, max_size=2)),
        st.builds(lambda source, value: encode_interrupt(source, value, markup), ids, st.text(max_size=5)),
    )  # fmt: skip
    return "".join(draw(st.lists(piece, max_size=6)))


@given(st.data(), markups, st.booleans(), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_cut_gives_the_same_events(data, markup, transcript, cuts):
    """AL-5.1, AL-5.8: and nothing raises."""
    text = data.draw(transcripts(markup))
    whole = read(text, markup, transcript=transcript)
    assert read(text, markup, cuts, transcript) == whole
    assert read(text, markup, list(range(len(text))), transcript) == whole


@given(st.data(), markups, st.lists(st.tuples(st.integers(0, 9999), st.text(max_size=2)), max_size=8))
def test_mutated_text_never_raises_and_violations_are_placed(data, markup, changes):
    """AL-5.8, AL-6.9."""
    text = data.draw(transcripts(markup))
    for place, new in changes:
        at = place % (len(text) + 1)
        text = text[:at] + new + text[at + place % 3 :]
    for event in read(text, markup):
        if isinstance(event, ProtocolViolation):
            assert len(event.message.splitlines()) == 1
            assert len(event.message) < 400
            starts = (markup.call, markup.trap, markup.intr, markup.head, markup.end)
            assert text.startswith(starts, event.at)


@settings(max_examples=60)
@given(st.data(), markups)
def test_what_is_written_is_read(data, markup):
    """AL-2.3, AL-2.4, AL-4.5, AL-4.7: a call comes back as it was, whatever its strings hold."""
    id, name = data.draw(st.none() | ids), data.draw(ids)
    arguments = data.draw(st.dictionaries(keys, values_for(markup), max_size=3))
    markup = Markup(**{f: getattr(markup, f) for f in markup.__slots__} | {"max_block": 100_000})
    events = read(encode_call(id, name, json.dumps(arguments), markup), markup)
    assert events[0] == CallStarted(id)
    ready = events[1]
    assert isinstance(ready, CallReady)
    assert (ready.id, ready.name, json.loads(ready.arguments)) == (id, name, arguments)
    assert len(events) == 2


@given(st.data(), markups, st.lists(ids, max_size=3))
def test_what_the_runtime_writes_is_read_by_a_reader_of_transcripts(data, markup, waited):
    """AL-5.9, AL-4.4."""
    value, source = data.draw(hard_values(markup)), data.draw(ids)
    markup = Markup(**{f: getattr(markup, f) for f in markup.__slots__} | {"max_block": 100_000})
    text = f"a{encode_interrupt(source, value, markup)}b{encode_trap(waited, markup)}"
    assert read(text, markup, transcript=True) == [
        TextDelta("a"),
        InterruptRead(source, value),
        TextDelta("b"),
        TrapReached(tuple(waited)),
    ]


@pytest.mark.parametrize(
    ("text", "comes"),
    [
        ("x[CALL] c1 [HEAD] f {} [END]", [("CallStarted", "[HEAD]"), ("CallReady", "[END]")]),
        ("x[CALL] f {} [END]", [("CallStarted", "f {"), ("CallReady", "[END]")]),
        ("x[TRAP] c1 [END]", [("TrapReached", "[END]")]),
    ],
)
def test_events_come_with_the_character_that_completes_them(text, comes):
    """AL-5.3, AL-5.4."""
    parser = Parser()
    came = [(type(event).__name__, text[: parser.at]) for sign in text for event in parser.feed(sign)]
    assert [name for name, _ in came] == ["TextDelta", *(name for name, _ in comes)]
    for (_, so_far), (_, ending) in zip(came[1:], comes, strict=True):
        assert so_far.endswith(ending)
        assert so_far.count(ending) == 1


def test_the_reader_goes_on_after_an_end():
    """AL-5.7: the next text counts on."""
    parser = Parser()
    assert joined(parser.feed("a [CALL] c1 [HEAD] f ") + parser.end())[-1].kind == "unclosed"
    assert not parser.critical
    (stray,) = parser.feed("[END]")
    assert (stray.kind, stray.at) == ("stray_end", 21)
    assert joined(parser.feed("b[CALL] g {} [END]") + parser.end()) == [
        TextDelta("b"),
        CallStarted(None),
        CallReady(None, "g", "{}"),
    ]


@pytest.mark.parametrize(
    "text", ["[CALL] c1 [HEAD] f {", "[CALL] 1 [HEAD] ", "[INTR] ", "[TRAP] ", "", "<think>"]
)
def test_what_is_kept_is_bounded(text):
    """AL-5.6: 10 MB in a block, in pieces, leave no more than the bound."""
    parser = Parser(Markup(max_block=1000))
    parser.feed(text)
    for _ in range(2500):
        parser.feed("x[" * 2048)
    kept = sum(sys.getsizeof(getattr(parser, name)) for name in ("_held", "_body"))
    assert kept < 10_000


@pytest.mark.parametrize(
    "text",
    ["[", "[CALL", "[[CALL] ", "<", "[CALL] c [HEAD] f {} [END]", '[CALL] f {"a": "[C', "[TRAP] c1 "],
)
def test_time_is_linear(text):
    """AL-5.6: ten times the text takes about ten times as long, for the worst texts too."""
    small, large = (_seconds(text * (n // len(text))) for n in (10_000, 100_000))
    assert large < 40 * small + 0.05


@pytest.mark.parametrize(
    "value",
    ['"" ', '"\\\\"', '"""\\\n"""', "9", "9_", "[],", "1,", "'x' ", "\\\\", "\\\n", "a=1,", " ", "\n"],
)
@pytest.mark.parametrize("around", ["{}", '"{}"', '"""{}"""', "[{}]", "({}"])
def test_bodies_are_read_in_linear_time(value, around):
    """AL-5.6: whatever stands in a Python body."""

    def seconds(n: int) -> float:
        body = around.format(value * (n // len(value)))
        return _seconds(f"[CALL] c [HEAD] f(a={body}) [END]", Markup(body="python"))

    bound = 40 * seconds(4_000) + 0.05
    assert min(seconds(40_000) for _ in range(2)) < bound  # the less disturbed of two


def _seconds(text: str, markup: Markup | None = None) -> float:
    began = time.process_time()
    parser = Parser(markup or Markup())
    parser.feed(text)
    for at in range(0, len(text), 7):
        parser.feed(text[at : at + 7])
    parser.end()
    return time.process_time() - began
