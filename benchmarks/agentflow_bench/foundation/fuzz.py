"""A million mutated inputs: nothing but the project's own errors, and no wait."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from agentflow.errors import AgentflowError
from agentflow_bench.measure import Bar, Figure, Measure, Setting

__all__ = ["FUZZ", "mutated"]

_STREAM = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":"Hi "},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":'
    b'{"name":"boil","arguments":"{\\"pot\\": "}}]},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3}}\n\n'
    b"data: [DONE]\n\n"
)
_CALL = b'{"pot": "p\\"1", "litres": [1, 2.5, {"deep": [true, null]}], "text": "\xc3\xa9 [END] }"}'
_EVENT = b'{"type":"ToolCalled","run":"r1","seq":3,"time":0.5,"call":"c1","name":"boil","arguments":"{}"}'
_WORKFLOW = b"""agentflow: 1
inputs: {meal: {type: string, default: soup}}
endpoints: {main: {model: "builtin:planner"}}
agents: {cook: {endpoint: main, instructions: "Cook {{ inputs.meal }}."}}
agent: {use: cook, input: "{{ inputs.meal }}"}
"""
_MARKS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\n",
    b"\0",
    b"data:",
    b"null",
    b"-",
    b"\xff",
    b": ",
    b"&a",
    b"*a",
    b"[END]",
]


def _stream(data: bytes, rng: random.Random) -> None:
    from agentflow_protocols.chat.openai_reply import ReplyParser

    parser = ReplyParser()
    cut = rng.randrange(len(data) + 1)
    parser.feed(data[:cut])
    parser.feed(data[cut:])
    parser.end()
    parser.finish()


def _call(data: bytes, rng: random.Random) -> None:
    from agentflow_protocols.chat.scan import JsonScanner, object_fault

    text = data.decode("utf-8", "surrogateescape")
    scanner = JsonScanner()
    cut = rng.randrange(len(text) + 1)
    if scanner.feed(text[:cut]) < 0:
        scanner.feed(text[cut:])
    object_fault(text)


def _event(data: bytes, rng: random.Random) -> None:
    from agentflow_protocols.trace import event_from_line

    event_from_line(data.decode("utf-8", "replace"))


def _block(data: bytes, rng: random.Random) -> None:
    from agentflow_protocols.cml import encode_interrupt

    text = encode_interrupt("c00000001", data.decode("utf-8", "replace"))
    if text.count("[END]") != 1 or text.count("[INTR]") != 1:
        raise ValueError("a value opened or closed a block")


def _workflow(data: bytes, rng: random.Random) -> None:
    from agentflow_protocols.workflow import parse_workflow

    parse_workflow(data, "f.yaml")


# What is fuzzed, the valid input that is mutated, and its share of the million.
_TARGETS: Sequence[tuple[str, Callable[[bytes, random.Random], None], bytes, float]] = (
    ("streams of replies", _stream, _STREAM, 0.25),
    ("arguments of calls", _call, _CALL, 0.3),
    ("lines of a trace", _event, _EVENT, 0.2),
    ("values in interrupt blocks", _block, b"a [END] b [INTR] user [HEAD] c [ end ]", 0.24),
    ("workflow files", _workflow, _WORKFLOW, 0.01),
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one to four of its places changed, cut out, doubled or filled."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(4):
            case 0 if at < len(out):
                out[at] = rng.randrange(256)
            case 1:
                del out[at : at + rng.randint(1, 9)]
            case 2:
                out[at:at] = out[max(0, at - rng.randint(1, 30)) : at]
            case _:
                out[at:at] = rng.choice(_MARKS)
    return bytes(out)


def _fuzz(setting: Setting) -> Sequence[Figure]:
    total, rng = (10_000 if setting.quick else 1_000_000), random.Random(17)
    figures, foreign, slowest = [], 0, 0.0
    for name, target, valid, share in _TARGETS:
        count = int(total * share)
        for _ in range(count):
            data = mutated(valid, rng)
            began = time.perf_counter()
            try:
                target(data, rng)
            except AgentflowError:
                pass
            except Exception:
                foreign += 1
            slowest = max(slowest, time.perf_counter() - began)
        figures.append(Figure(name, count, "inputs"))
    return [
        *figures,
        Figure("errors that are not agentflow's own", foreign, "", Bar("==", 0)),
        Figure("slowest input", slowest * 1000, "ms", note="this machine is shared"),
    ]


FUZZ = Measure("fuzz", "A million mutated inputs to the parsers.", _fuzz)
