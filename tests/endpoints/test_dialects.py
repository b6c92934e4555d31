"""Each provider's dialect over HTTP: an agent asks, calls its tool, tells the result, and answers."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agentflow import Agent, Runtime, tool
from agentflow.endpoints import Endpoint
from agentflow.endpoints.providers import PROVIDERS
from agentflow.errors import BadResponse, ContextOverflow, EndpointUnavailable, UserError
from agentflow.testing import assert_nothing_left
from agentflow_protocols.chat import ImagePart, Message


@contextmanager
def provider(*answers):
    """Serve `answers`: lists of events as streams, `(status, body)` as JSON. Yields address and requests."""
    waiting = list(answers)
    seen = []

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = waiting.pop(0)
            if isinstance(answer, list):
                kind, status = "text/event-stream", 200
                pieces = [
                    f"event: {event.get('type', 'message')}\ndata: {json.dumps(event)}\n\n".encode()
                    for event in answer
                ]
            else:
                kind, (status, whole) = "application/json", answer
                pieces = [json.dumps(whole).encode()]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in [*pieces, b""]:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@tool
async def boil(pot: str) -> str:
    """Boil the water in `pot`."""
    return f"the {pot} boils"


async def cook(model, base_url):
    """Run an agent with one tool over `model`; return its result."""
    endpoint = Endpoint(model, base_url=base_url, api_key="k-1", retry=1)
    async with assert_nothing_left(), Runtime() as runtime:
        return await runtime.run(Agent(endpoint, instructions="Cook.", tools=[boil]), "Soup.")


def anthropic(*blocks, stop):
    start = {"model": "claude", "usage": {"input_tokens": 10, "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for index, (block, deltas) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 7}}
    yield {"type": "message_stop"}


async def test_anthropic():
    signed = {"type": "thinking", "thinking": "Hm", "signature": "s1"}
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in ('{"po', 't": "kettle"}')]
    first = anthropic(
        ({"type": "thinking", "thinking": "Hm", "signature": "s1"}, []),
        ({"type": "tool_use", "id": "toolu_1", "name": "boil", "input": {}}, pieces),
        stop="tool_use",
    )
    second = anthropic(
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Done."}]), stop="end_turn"
    )
    with provider(list(first), list(second)) as (url, seen):
        result = await cook("anthropic:claude", f"{url}/v1")
    assert (result.output, result.usage.total_tokens) == ("Done.", 34)
    (path, headers, asked), (_, _, body) = seen
    assert (path, headers["x-api-key"], headers["anthropic-version"]) == ("/v1/messages", "k-1", "2023-06-01")
    assert asked["system"][0]["text"].startswith("Cook.")
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    thought, call = body["messages"][1]["content"]
    assert thought == signed
    assert (call["name"], call["input"]) == ("boil", {"pot": "kettle"})
    [result] = body["messages"][2]["content"]
    assert (result["type"], result["tool_use_id"]) == ("tool_result", call["id"])
    assert "the kettle boils" in json.dumps(result["content"])


async def test_thinking_goes_back_with_a_call_of_a_reply_that_was_cut():
    arguments = [{"type": "input_json_delta", "partial_json": '{"pot": "kettle"}'}]
    cut = anthropic(
        ({"type": "thinking", "thinking": "Hm", "signature": "s1"}, []),
        ({"type": "tool_use", "id": "toolu_1", "name": "boil", "input": {}}, arguments),
        stop="tool_use",
    )
    last = anthropic(({"type": "text", "text": "Done."}, []), stop="end_turn")
    with provider(list(cut)[:-2], list(last)) as (url, seen):
        assert (await cook("anthropic:claude", url)).output == "Done."
    kinds = [block["type"] for block in seen[1][2]["messages"][1]["content"]]
    assert kinds == ["thinking", "tool_use"]


async def test_a_fallback_of_another_dialect_is_not_sent_what_the_first_wants_back():
    first = anthropic(
        ({"type": "thinking", "thinking": "Hm", "signature": "s1"}, []),
        ({"type": "tool_use", "id": "toolu_1", "name": "boil", "input": {"pot": "kettle"}}, []),
        stop="tool_use",
    )
    busy = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    last = [completion({"content": "Done."}), completion({}, "stop")]
    with provider(list(first), (529, busy)) as (url, _), provider(last) as (other, seen):
        second = Endpoint("openai:gpt", base_url=other, retry=1)
        endpoint = Endpoint("anthropic:c", base_url=url, retry=1, fallback=[second])
        async with Runtime() as runtime:
            assert (await runtime.run(Agent(endpoint, tools=[boil]), "Soup.")).output == "Done."
    said = seen[0][2]["messages"][-2]
    assert (said["role"], said.keys() & {"anthropic"}) == ("assistant", set())
    assert said["tool_calls"][0].keys() == {"id", "type", "function"}


async def test_anthropic_whole_and_refused():
    said = {"type": "message", "model": "c", "content": [{"type": "text", "text": "Yes."}], "usage": {}}
    long = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "prompt is too long: 2 > 1"},
    }
    busy = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with provider((200, {**said, "stop_reason": "end_turn"}), (400, long), (529, busy), [busy]) as (
        url,
        seen,
    ):
        endpoint = Endpoint("anthropic:c", base_url=url, retry=1, stream=False)
        async with endpoint:
            assert (await endpoint.complete("Hi.")).message.text == "Yes."
            for error in (ContextOverflow, EndpointUnavailable, EndpointUnavailable):
                with pytest.raises(error):
                    await endpoint.complete("Hi.")
    assert "x-api-key" not in seen[0][1]


async def test_what_a_dialect_cannot_say_is_the_callers_fault():
    endpoint = Endpoint("anthropic:c", base_url="http://127.0.0.1:1", retry=1)
    with pytest.raises(UserError, match="anthropic:c: message 1: an image needs"):
        await endpoint.complete([Message("user", [ImagePart("file:///x.png")])])


async def test_gemini():
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 2}
    call = {"functionCall": {"name": "boil", "args": {"pot": "kettle"}}, "thoughtSignature": "s1"}
    first = [
        {"candidates": [{"content": {"parts": [{"text": "Hm", "thought": True}]}}]},
        {"candidates": [{"content": {"parts": [call]}, "finishReason": "STOP"}], "usageMetadata": usage},
    ]
    second = {"candidates": [{"content": {"parts": [{"text": "Done."}]}, "finishReason": "STOP"}]}
    with provider(first, [{**second, "usageMetadata": usage}]) as (url, seen):
        result = await cook("gemini:gemini-3-pro", f"{url}/v1beta")
    assert (result.output, result.usage.total_tokens) == ("Done.", 34)
    (path, headers, asked), (_, _, body) = seen
    assert path == "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
    assert headers["x-goog-api-key"] == "k-1"
    assert asked["systemInstruction"]["parts"][0]["text"].startswith("Cook.")
    _, said, told = body["contents"]
    [part] = said["parts"]
    assert (said["role"], part["thoughtSignature"]) == ("model", "s1")
    assert part["functionCall"]["args"] == {"pot": "kettle"}
    response = told["parts"][0]["functionResponse"]
    assert (response["name"], response["id"]) == ("boil", part["functionCall"]["id"])
    assert "the kettle boils" in response["response"]["output"]


def test_gemini_is_reached_by_its_compatible_address_too():
    assert Endpoint("gemini-openai:g").target.base_url.endswith("/v1beta/openai")
    assert Endpoint("gemini:g").target.base_url.endswith("/v1beta")


async def test_openai_responses():
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e1"}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "boil"}
    usage = {"input_tokens": 10, "output_tokens": 7}
    end = {"type": "response.completed", "response": {"status": "completed", "model": "g", "usage": usage}}
    first = [
        {"type": "response.output_item.done", "output_index": 0, "item": thought},
        {"type": "response.output_item.added", "output_index": 1, "item": {**call, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"pot": '},
        {
            "type": "response.function_call_arguments.done",
            "output_index": 1,
            "arguments": '{"pot": "kettle"}',
        },
        end,
    ]
    second = [{"type": "response.output_text.delta", "output_index": 0, "delta": "Done."}, end]
    with provider(first, second) as (url, seen):
        result = await cook("openai-responses:gpt-5-mini", f"{url}/v1")
    assert (result.output, result.usage.total_tokens) == ("Done.", 34)
    (path, headers, asked), (_, _, body) = seen
    assert (path, headers["authorization"]) == ("/v1/responses", "Bearer k-1")
    assert (asked["store"], asked["include"]) == (False, ["reasoning.encrypted_content"])
    system, _, back, called, told = body["input"]
    assert (system["role"], back) == ("developer", thought)
    assert (called["name"], called["arguments"]) == ("boil", '{"pot": "kettle"}')
    assert (told["type"], told["call_id"]) == ("function_call_output", called["call_id"])
    assert "the kettle boils" in told["output"]


def completion(delta, finish=None):
    return {"model": "gpt", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


async def test_azure():
    filtered = {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    call = {"index": 0, "id": "call_1", "function": {"name": "boil", "arguments": '{"pot": "kettle"}'}}
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 7}}
    first = [filtered, completion({"tool_calls": [call]}), completion({}, "tool_calls"), usage]
    second = [filtered, completion({"content": "Done."}), completion({}, "stop"), usage]
    with provider(first, second) as (url, seen):
        result = await cook("azure:gpt", f"{url}?api-version=2024-10-21")
    assert (result.output, result.usage.total_tokens) == ("Done.", 34)
    (path, headers, _), (_, _, body) = seen
    assert path == "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    assert (headers["api-key"], "authorization" in headers) == ("k-1", False)
    assert body["messages"][-1]["role"] == "tool"


async def test_vectors_of_gemini():
    answer = {"embeddings": [{"values": [1, 2]}, {"values": [3, 4.5]}]}
    with provider((200, answer), (200, {"embeddings": [{}]})) as (url, seen):
        endpoint = Endpoint("gemini:gemini-embedding-001", base_url=url, api_key="k-1", retry=1)
        async with endpoint:
            made = await endpoint.embed(["a", "b"], dimensions=2)
            with pytest.raises(BadResponse, match="2 vectors were asked for, 1 came"):
                await endpoint.embed(["a", "b"])
    assert made.vectors == [[1.0, 2.0], [3.0, 4.5]]
    path, headers, body = seen[0]
    assert path == "/models/gemini-embedding-001:batchEmbedContents"
    assert headers["x-goog-api-key"] == "k-1"
    row = {"model": "models/gemini-embedding-001", "outputDimensionality": 2}
    assert body["requests"] == [{**row, "content": {"parts": [{"text": text}]}} for text in "ab"]


async def test_a_provider_without_vectors_says_so():
    with pytest.raises(UserError, match="anthropic:c: this provider makes no embeddings"):
        await Endpoint("anthropic:c", base_url="http://127.0.0.1:1").embed(["a"])


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_has_an_address_and_a_key_of_its_own(name):
    row = PROVIDERS[name]
    own = row.base_url or f"https://mine{row.hosts[0]}/openai/v1"
    assert row.owns(own)
    assert not row.owns("https://example.org/v1")
    target = Endpoint(f"{name}:m", base_url=row.base_url or own, api_key="k").target
    assert (target.model, target.dialect.name) == ("m", row.dialect.name)
    assert (row.api_key_env is None) == target.is_near
