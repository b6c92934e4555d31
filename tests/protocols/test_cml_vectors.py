"""The conformance vectors of the specification (AL-9.1, AL-9.2, AL-9.3), run on our reader and writer."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from agentflow_protocols.cml import (
    Event,
    Markup,
    Parser,
    encode_call,
    encode_interrupt,
    encode_trap,
    escape,
    unescape,
)
from agentflow_protocols.errors import LocalProtocolError

FILE = Path(__file__).parents[2] / "protocols" / "vectors" / "asynclm.jsonl"
VECTORS = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
ONE_BY_ONE = 20_000  # texts up to this long are also fed character by character


def named(key: str) -> list:
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS if key in vector]


def markup_of(vector: dict) -> Markup:
    fields = dict(vector.get("markup", {}))
    if fields.get("reasoning"):
        fields["reasoning"] = tuple(fields["reasoning"])
    return Markup(**fields)


def told(events: list[Event]) -> list[dict]:
    """Return events in the form of the vectors: text joined, arguments as values, no messages."""
    out: list[dict] = []
    for event in events:
        entry = {"type": type(event).__name__, **asdict(event)}
        entry.pop("message", None)
        if "arguments" in entry:
            entry["arguments"] = json.loads(entry["arguments"])
        if "ids" in entry:
            entry["ids"] = list(entry["ids"])
        if out and "text" in entry and out[-1]["type"] == entry["type"]:
            out[-1]["text"] += entry["text"]
        else:
            out.append(entry)
    return out


@pytest.mark.parametrize("vector", named("events"))
def test_what_is_read(vector):
    markup, transcript = markup_of(vector), vector.get("transcript", False)
    chunks = [
        piece if isinstance(piece, str) else piece["text"] * piece["times"] for piece in vector["chunks"]
    ]
    parser = Parser(markup, transcript=transcript)
    events: list[Event] = []
    critical = []
    for chunk in chunks:
        events += parser.feed(chunk)
        critical.append(parser.critical)
    events += parser.end()
    assert told(events) == vector["events"]
    assert critical == vector.get("critical", critical)
    text = "".join(chunks)
    assert parser.at == len(text)
    assert not parser.critical
    for event in events:
        assert "\n" not in getattr(event, "message", "")
    if len(text) <= ONE_BY_ONE:
        slow = Parser(markup, transcript=transcript)
        events = [event for character in text for event in slow.feed(character)] + slow.end()
        assert told(events) == vector["events"]


@pytest.mark.parametrize("vector", named("escaped"))
def test_what_is_escaped(vector):
    markup = markup_of(vector)
    assert escape(vector["value"], markup) == vector["escaped"]
    assert unescape(vector["escaped"], markup) == vector["value"]


@pytest.mark.parametrize("vector", named("write"))
def test_what_is_written(vector):
    markup = markup_of(vector)
    ((kind, what),) = vector["write"].items()

    def write() -> str:
        if kind == "call":
            return encode_call(what["id"], what["name"], what["arguments"], markup)
        if kind == "interrupt":
            return encode_interrupt(what["source"], what["value"], markup)
        return encode_trap(what, markup)

    if vector.get("refused"):
        with pytest.raises(LocalProtocolError) as caught:
            write()
        assert "\n" not in str(caught.value)
    else:
        assert write() == vector["text"]


def test_the_vectors_are_many_and_named_apart():
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS) >= 60
    assert {vector.get("markup", {}).get("body", "json") for vector in VECTORS} == {"json", "python"}
