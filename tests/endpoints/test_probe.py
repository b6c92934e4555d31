"""What an endpoint can do is found out by asking it."""

from __future__ import annotations

import pytest

from agentflow import Endpoint
from agentflow.endpoints import probe
from agentflow.errors import EndpointError
from agentflow.testing import LoopbackServer, ScriptedCall


def server_that(prefill: str, several: bool, late: bool):
    """Return what answers as a server with these abilities would."""

    def answer(body):
        messages = body["messages"]
        if any(message["role"] == "tool" for message in messages):
            return "The number is 4711." if late else EndpointError("no", status=400)
        if "tools" in body:
            calls = [ScriptedCall("ping", {"host": host}) for host in "ab"]
            return calls if several else calls[:1]
        marks = {
            "continue": body.get("continue_final_message") is True,
            "prefix": messages[-1].get("prefix") is True,
            "trailing": True,
        }
        if messages[-1]["role"] == "assistant" and marks.get(prefill):
            return "berry"
        return "strawberry"

    return answer


@pytest.mark.parametrize("prefill", ["none", "continue", "prefix", "trailing"])
@pytest.mark.parametrize("able", [True, False])
async def test_abilities_are_found(prefill, able):
    with LoopbackServer(server_that(prefill, able, able)) as server:
        found = await probe(Endpoint("m", base_url=server.url))
    # a server that needs no mark goes on whatever marks there are
    assert found.prefill == ("continue" if prefill == "trailing" else prefill)
    assert (found.parallel_tool_calls, found.late_tool_results) == (able, able)


async def test_an_endpoint_that_cannot_be_asked_says_so():
    with LoopbackServer(lambda body: EndpointError("no", status=401)) as server, pytest.raises(EndpointError):
        await probe(Endpoint("m", base_url=server.url))
