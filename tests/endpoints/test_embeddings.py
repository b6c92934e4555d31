"""Vectors of texts: in batches, in order, by the same limits and retries as replies."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow import Endpoint, UserError
from agentflow.endpoints import Limits, LimitScheduler
from agentflow.errors import BadResponse
from agentflow.testing import FakeEndpoint, LoopbackServer, ScriptedReply, VirtualClock
from agentflow_protocols.chat.embeddings import encode_embeddings, parse_embeddings
from agentflow_protocols.errors import RemoteProtocolError


def near(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_over_http_in_batches_and_in_order():
    texts = [f"text number {n}" for n in range(300)] + ["leek soup", "soup of leeks", "tax law"]
    with LoopbackServer() as server:
        async with Endpoint("m", base_url=server.url, concurrency=4) as endpoint:
            made = await endpoint.embed(texts, batch=100)
            again = await endpoint.embed(texts[-3:], dimensions=16)
        assert len(server.requests) == 5
        assert {request.path for request in server.requests} == {"/v1/embeddings"}
    assert len(made.vectors) == 303
    assert made.usage.requests == 4
    soup, leeks, law = made.vectors[-3:]
    assert near(soup, leeks) > near(soup, law)
    assert {len(vector) for vector in again.vectors} == {16}


async def test_failures_are_retried_and_wrong_answers_are_errors():
    with LoopbackServer(faults=[503, 429]) as server:
        endpoint = Endpoint("m", base_url=server.url)
        assert len((await endpoint.embed(["a"])).vectors) == 1
        assert [request.status for request in server.requests] == [503, 429, 200]
    with LoopbackServer(faults=["empty"] * 2) as server, pytest.raises(BadResponse):
        await Endpoint("m", base_url=server.url, retry=2).embed(["a"])


async def test_what_cannot_be_embedded():
    fake = FakeEndpoint(["x"])
    assert (await fake.embed([])).vectors == []
    for wrong in ("text", ["a", ""], [3]):
        with pytest.raises(UserError, match="a list of texts"):
            await fake.embed(wrong)
    with pytest.raises(UserError, match="no embeddings"):
        await Endpoint("builtin:planner").embed(["a"])


def test_the_limits_of_the_endpoint_hold():
    endpoint = FakeEndpoint(
        [ScriptedReply(text="x")], scheduler=LimitScheduler(Limits(requests_per_minute=60))
    )
    with VirtualClock() as clock:
        clock.run(endpoint.embed([str(n) for n in range(11)], batch=1))
        assert 9.9 <= clock.time() <= 10.2


def answer(rows):
    return json.dumps({"data": rows}).encode()


def test_answers_are_read_in_any_usual_form():
    packed = base64.b64encode(struct.pack("<2f", 1.0, 0.5)).decode()
    rows = [{"index": 1, "embedding": packed}, {"index": 0, "embedding": [1, 2]}]
    assert parse_embeddings(answer(rows), 2)[0] == [[1.0, 2.0], [1.0, 0.5]]
    for wrong in (
        [],
        [{"embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}],
        [{"embedding": [1]}, {"embedding": [1, 2]}],
        [{"embedding": [1]}, {"embedding": ["a"]}],
        [{"embedding": [1]}, {"embedding": "!"}],
        [{"embedding": [1]}, 3],
    ):
        with pytest.raises(RemoteProtocolError):
            parse_embeddings(answer(wrong), 2)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists).map(
        lambda value: json.dumps({"data": value}).encode()
    )
)
def test_no_answer_raises_anything_else(body):
    try:
        parse_embeddings(body, 1)
    except RemoteProtocolError:
        pass


def test_half_characters_are_mended_on_the_way_out():
    assert json.loads(encode_embeddings(["a\ud800"], "m", 3)) == {
        "model": "m",
        "input": ["a?"],
        "dimensions": 3,
    }
