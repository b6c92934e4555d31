"""The markup: every split of a text, mutated texts, values full of control tokens, speed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from statistics import median

from agentflow.errors import AgentflowError
from agentflow_bench.foundation.fuzz import mutated
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.cml import (
    Event,
    InterruptRead,
    Parser,
    ReasoningDelta,
    TextDelta,
    encode_call,
    encode_interrupt,
    encode_trap,
)

__all__ = ["MARKUP_FUZZ", "MARKUP_SPEED", "MARKUP_SPLITS", "MARKUP_VALUES", "transcript"]

_WORDS = (
    "the pot",
    " boils;",
    "\n",
    " [",
    "]",
    "é",
    "[CAL",
    "L]",
    "[ END ]",
    " 12 ",
    "<think>hm</think>",
    "[END",
)
_TOKENS = ("[CALL]", "[HEAD]", "[END]", "[INTR]", "[TRAP]", "[CALL] x [HEAD] nothing [END]")
_LOOKALIKES = (
    "[END]",
    "[INTR]",
    "[CALL]",
    "[HEAD]",
    "[TRAP]",
    "[end]",
    "[ E N D ]",
    "\uff3bEND\uff3d",
    "[E\u200bND]",
    "[\uff25\uff2e\uff24]",
    "[E\u0301ND]",
    "\\[END]",
    "\\\\[INTR]",
    "[",
    "]",
    "\\",
    "[END",
    "END]",
    "][",
    "\u00ad",
)


def transcript(rng: random.Random, length: int = 6) -> str:
    """Return a random text in markup, which may break the protocol."""
    parts: list[str] = []
    for number in range(rng.randint(1, length)):
        kind = rng.random()
        if kind < 0.4:
            parts.append("".join(rng.choice(_WORDS) for _ in range(rng.randint(1, 5))))
        elif kind < 0.75:
            arguments = f'{{"n": {number}, "text": "{rng.choice(("a", "[END]", "é]"))}"}}'
            parts.append(encode_call(rng.choice((f"c{number}", None)), "boil", arguments))
        elif kind < 0.9:
            parts.append(encode_trap(rng.choice(((), ("c1",), ("c1", "c2")))))
        else:
            parts.append(rng.choice(_TOKENS))
    return "".join(parts)


def _splits(setting: Setting) -> Sequence[Figure]:
    count, rng = (50 if setting.quick else 1000), random.Random(3)
    unlike = splits = 0
    for _ in range(count):
        text = transcript(rng)
        whole = _events([text])
        for pieces in _all_splits(text, rng):
            splits += 1
            unlike += _events(pieces) != whole
    return [
        Figure("transcripts", count),
        Figure("splits", splits, note="in two at every place, in single characters, and at random"),
        Figure("splits that gave other events", unlike, "", Bar("==", 0)),
    ]


def _all_splits(text: str, rng: random.Random) -> Iterator[list[str]]:
    for at in range(1, len(text)):
        yield [text[:at], text[at:]]
    yield list(text)
    at, pieces = 0, []
    while at < len(text):
        size = rng.randint(1, 9)
        pieces.append(text[at : at + size])
        at += size
    yield pieces


def _events(pieces: Sequence[str]) -> list[Event]:
    """Return the events of a text that comes in `pieces`, neighbouring text joined."""
    parser = Parser()
    events: list[Event] = []
    for event in [event for piece in pieces for event in parser.feed(piece)] + parser.end():
        last = events[-1] if events else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta):
            events[-1] = TextDelta(last.text + event.text)
        elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
            events[-1] = ReasoningDelta(last.text + event.text)
        else:
            events.append(event)
    return events


def _fuzz(setting: Setting) -> Sequence[Figure]:
    count, rng = (10_000 if setting.quick else 1_000_000), random.Random(5)
    valid = [transcript(rng).encode() for _ in range(500)]
    foreign, slowest = 0, 0.0
    for _ in range(count):
        text = mutated(rng.choice(valid), rng).decode("utf-8", rng.choice(("replace", "surrogateescape")))
        cut = rng.randrange(len(text) + 1)
        parser = Parser(transcript=rng.random() < 0.5)
        began = time.thread_time()
        try:
            parser.feed(text[:cut])
            parser.feed(text[cut:])
            parser.end()
        except AgentflowError:
            pass
        except Exception:
            foreign += 1
        slowest = max(slowest, time.thread_time() - began)
    return [
        Figure("mutated texts", count),
        Figure("errors that are not agentflow's own", foreign, "", Bar("==", 0)),
        Figure("slowest", slowest * 1000, "ms CPU", Bar("<=", 100)),
    ]


def _values(setting: Setting) -> Sequence[Figure]:
    count, rng = (2_000 if setting.quick else 200_000), random.Random(7)
    opened = changed = 0
    for _ in range(count):
        value = "".join(rng.choice(_LOOKALIKES) for _ in range(rng.randint(1, 12)))
        parser = Parser(transcript=True)
        events = [*parser.feed(f"{encode_interrupt('c1', value)}after"), *parser.end()]
        blocks = [event for event in events if not isinstance(event, TextDelta)]
        rest = "".join(event.text for event in events if isinstance(event, TextDelta))
        opened += len(blocks) != 1 or rest != "after"
        changed += blocks[:1] != [InterruptRead("c1", value)]
    return [
        Figure("values full of control tokens and look-alikes", count),
        Figure("values that opened or closed a block", opened, "", Bar("==", 0)),
        Figure("values that are not the same again when read", changed, "", Bar("==", 0)),
    ]


def _speed(setting: Setting) -> Sequence[Figure]:
    size, rounds = (200_000, 3) if setting.quick else (4_000_000, 5)
    plain = ("The pots [1] are on the stove and the water boils soon; " * (size // 56 + 1))[:size]
    block = encode_call("c12", "boil", '{"pot": "the big one", "litres": 2.5}') + "\n"
    dense = block * (size // 4 // len(block))

    def rate(text: str, piece: int) -> float:
        pieces = [text[at : at + piece] for at in range(0, len(text), piece)]
        found = []
        for _ in range(rounds):
            parser = Parser()
            began = time.process_time()
            for each in pieces:
                parser.feed(each)
            found.append(len(text) / (time.process_time() - began) / 1e6)
        return median(found)

    return [
        Figure("plain text in pieces of 4 kB", rate(plain, 4096), "MB/s", Bar(">=", 20)),
        Figure("plain text, four characters at a time", rate(plain[: size // 4], 4), "MB/s", Bar(">=", 4)),
        Figure("blocks and nothing else", rate(dense, 4096), "MB/s", Bar(">=", 2)),
    ]


MARKUP_SPLITS = Measure("markup_splits", "Texts in markup, in every split: the same events.", _splits)
MARKUP_FUZZ = Measure("markup_fuzz", "A million mutated texts to the markup's parser.", _fuzz)
MARKUP_VALUES = Measure("markup_values", "Tool results that look like control tokens.", _values)
MARKUP_SPEED = Measure("markup_speed", "How fast the markup is read, of processor time.", _speed)
