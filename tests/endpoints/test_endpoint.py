"""Endpoints against a real server on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import sys
import time

import pytest
from tenacity import stop_after_attempt, wait_fixed, wait_none

from agentflow.endpoints import Admitted, Capabilities, Endpoint, Price, Retry, Retrying, Timeouts
from agentflow.errors import (
    BadResponse,
    ContextOverflow,
    EndpointUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    UserError,
)
from agentflow.runtime.resources import Resources
from agentflow.testing import (
    FakeEndpoint,
    Fault,
    LoopbackServer,
    ScriptedCall,
    ScriptedReply,
    assert_nothing_left,
)
from agentflow_protocols.chat import (
    CallReady,
    CallStarted,
    ChatRequest,
    Message,
    Settings,
    TextPiece,
    ToolSpec,
)

ASK = ChatRequest([Message("user", "What is it?")])
EARLY = [Fault(kind, after=0) for kind in ("malformed", "error", "cut", "truncate")]
AT_ONCE = Retry(wait=wait_none())
BOTH = ScriptedReply("Well, here it is.", [ScriptedCall("boil", {"pot": "a"}), ScriptedCall("chop")])


@pytest.fixture(params=["aiohttp", "httpx2"])
async def client(request):
    """Each transport: None for the default one, and a client of the user's own."""
    if request.param == "aiohttp":
        yield None
        return
    import httpx2

    async with httpx2.AsyncClient() as own:
        yield own
        assert not own.is_closed


async def drain(stream):
    return [delta async for delta in stream]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_reply_comes_with_its_calls_and_usage(client, streamed):
    with LoopbackServer(BOTH) as server:
        endpoint = Endpoint(
            "m", base_url=server.url, http_client=client, price=Price(1.0, 2.0), stream=streamed
        )
        async with endpoint, endpoint.stream(ASK) as stream:
            deltas = await drain(stream)
        assert "".join(d.text for d in deltas if isinstance(d, TextPiece)) == "Well, here it is."
        assert [d.name for d in deltas if isinstance(d, CallStarted)] == ["boil", "chop"]
        ready = [d.call for d in deltas if isinstance(d, CallReady)]
        assert ready == stream.reply.message.calls
        assert [(c.name, c.arguments) for c in ready] == [("boil", '{"pot": "a"}'), ("chop", "{}")]
        usage = stream.reply.usage
        assert (stream.reply.finish, usage.requests) == ("tool_calls", 1)
        assert stream.cost == pytest.approx((usage.input_tokens + 2 * usage.output_tokens) / 1e6)
        assert 0 < stream.first_token_s <= stream.seconds < 5
        [request] = server.requests
        assert request.body["model"] == "m"
        assert bool(request.body.get("stream")) is streamed
        assert "authorization" not in request.headers


async def test_connections_are_kept_in_a_block_and_none_is_left_after_it():
    with LoopbackServer() as server:
        endpoint = Endpoint("m", base_url=server.url)
        async with assert_nothing_left():
            async with endpoint:
                for _ in range(3):
                    assert (await endpoint.complete("Hi.")).message.text == "Hello."
                assert server.open_connections == 1
            await server.until(lambda: server.open_connections == 0)
            assert (await endpoint.complete([Message("user", "Hi.")])).finish == "stop"
        assert server.most_connections == 1


async def test_what_is_asked_reaches_the_server():
    with LoopbackServer("{}") as server:
        endpoint = Endpoint("m", base_url=server.url, settings=Settings(temperature=0.5, max_tokens=9))
        tool = ToolSpec("f", "Does f.", {"type": "object"})
        await endpoint.complete("x", tools=[tool], output={"type": "object"}, settings=Settings(max_tokens=7))
        body = server.requests[0].body
        assert (body["temperature"], body["max_tokens"]) == (0.5, 7)
        assert body["tools"][0]["function"]["name"] == "f"
        assert body["response_format"]["type"] == "json_schema"
        request = ChatRequest([Message("user", "x")], idempotency_key="k1")
        async with endpoint.stream(request) as stream:
            await drain(stream)
        assert server.requests[1].headers["idempotency-key"] == "k1"


async def test_leaving_early_closes_the_request_at_once(client):
    with LoopbackServer("word " * 1000, tokens_per_second=200) as server:
        endpoint = Endpoint("m", base_url=server.url, http_client=client, price=Price(1, 1))
        async with endpoint:
            async with endpoint.stream(ASK) as stream:
                async for _ in stream:
                    break
            left = time.monotonic()
            await server.until(lambda: bool(server.disconnects))
        assert server.disconnects[0].left_at - left < 0.1
        assert stream.reply.finish == "cut"
        assert stream.reply.message.text == "word"
        assert stream.reply.usage.output_tokens == 1
        assert stream.reply.usage.input_tokens > 0
        assert stream.cost > 0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_cancelling_a_task_closes_its_request_at_once(client):
    with LoopbackServer(first_token_s=30.0) as server:
        endpoint = Endpoint("m", base_url=server.url, http_client=client)
        async with endpoint:
            task = asyncio.create_task(endpoint.complete("Hi."))
            await server.until(lambda: bool(server.requests))
            task.cancel()
            left = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.until(lambda: bool(server.disconnects))
        assert server.disconnects[0].left_at - left < 0.1


@pytest.mark.parametrize("fault", [408, 409, 429, 500, 503, 529, "drop", "empty", *EARLY])
async def test_what_may_pass_is_tried_again(client, fault):
    with LoopbackServer("Fine.", faults=[fault, fault]) as server:
        endpoint = Endpoint("m", base_url=server.url, http_client=client, retry=AT_ONCE)
        told = []
        async with endpoint, endpoint.stream(ASK, on_event=told.append) as stream:
            await drain(stream)
        assert stream.reply.message.text == "Fine."
        assert len(server.requests) == stream.attempts == stream.reply.usage.requests == 3
        retries = [told for told in told if isinstance(told, Retrying)]
        assert [(retry.attempt, retry.wait_s) for retry in retries] == [(1, 0.0), (2, 0.0)]
        assert sum(isinstance(told, Admitted) for told in told) == 3


@pytest.mark.parametrize("fault", ["cut", "truncate", "error", "stall", "malformed"])
async def test_a_reply_that_had_begun_is_not_begun_anew(client, fault):
    with LoopbackServer("One two three four five six.", faults=[fault]) as server:
        timeouts = Timeouts(idle=0.2)
        endpoint = Endpoint("m", base_url=server.url, http_client=client, timeouts=timeouts, retry=AT_ONCE)
        async with endpoint:
            stream = endpoint.stream(ASK)
            async with stream:
                with pytest.raises(EndpointUnavailable, match="what came of it is kept"):
                    await drain(stream)
            assert stream.partial.message.text.startswith("One two")
            assert stream.partial.finish == "cut"
            assert len(server.requests) == 1
            assert (await endpoint.complete("again")).finish == "stop"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "bad", RequestRejected),
        (401, "who are you", RequestRejected),
        (403, "no", RequestRejected),
        (404, "no such model", RequestRejected),
        (422, "bad", RequestRejected),
        (307, "", RequestRejected),
        (402, "pay", QuotaExhausted),
        (429, "You exceeded your current quota, please check your plan", QuotaExhausted),
        (400, "This model's maximum context length is 8192 tokens", ContextOverflow),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", ContextOverflow),
        (
            400,
            "the request exceeds the available context size. try increasing the context size",
            ContextOverflow,
        ),
        (400, "Please reduce the length of the messages or completion.", ContextOverflow),
        (
            400,
            "The input token count (2000000) exceeds the maximum number of tokens allowed",
            ContextOverflow,
        ),
        (413, "Input is too long for requested model.", ContextOverflow),
    ],
)
async def test_what_will_fail_again_is_not_tried_again(status, message, kind):
    with LoopbackServer(faults=[Fault("status", status, message=message)]) as server:
        endpoint = Endpoint("m", base_url=server.url, retry=AT_ONCE)
        with pytest.raises(kind) as caught:
            await endpoint.complete("x")
        assert type(caught.value) is kind
        assert caught.value.status == status
        assert "\n" not in str(caught.value)
        assert len(server.requests) == 1


async def test_the_attempts_are_counted_and_the_last_error_is_raised():
    with LoopbackServer(faults=[503] * 9) as server:
        endpoint = Endpoint("m", base_url=server.url, retry=Retry(stop_after_attempt(3), wait_none()))
        with pytest.raises(EndpointUnavailable, match="m: status 503: a fault of the test server"):
            await endpoint.complete("x")
        assert len(server.requests) == 3
        endpoint = Endpoint("m", base_url=server.url, retry=1)
        with pytest.raises(EndpointUnavailable):
            await endpoint.complete("x")
        assert len(server.requests) == 4


async def test_retry_after_is_kept_and_jittered():
    with LoopbackServer(faults=[Fault("status", 429, 0.2)]) as server:
        endpoint = Endpoint("m", base_url=server.url, retry=Retry(wait=wait_fixed(30)))
        waits = []
        async with endpoint.stream(ASK, on_event=waits.append) as stream:
            await drain(stream)
        [(wait, error)] = [(told.wait_s, told.error) for told in waits if isinstance(told, Retrying)]
        assert isinstance(error, RateLimited)
        assert 0.2 <= error.retry_after <= 0.21
        assert error.retry_after <= wait <= 0.32
        first, second = server.requests
        assert second.at - first.at >= 0.2


async def test_a_wait_longer_than_the_total_time_is_not_begun():
    with LoopbackServer(faults=[Fault("status", 429, 3600)]) as server:
        endpoint = Endpoint("m", base_url=server.url)
        with pytest.raises(RateLimited):
            await endpoint.complete("x")
        assert len(server.requests) == 1


async def test_time_outs_name_what_was_waited_for(client):
    with LoopbackServer("One two three four.", faults=["silent", "stall", "stall"]) as server:
        where = server.url.split("/")[2]
        timeouts = Timeouts(first=0.1)
        endpoint = Endpoint("m", base_url=server.url, http_client=client, timeouts=timeouts, retry=1)
        async with endpoint:
            with pytest.raises(EndpointUnavailable, match=f"{where}: no answer within 0.1 s"):
                await endpoint.complete("x")
            await server.until(lambda: len(server.disconnects) == 1)
        endpoint = Endpoint(
            "m", base_url=server.url, http_client=client, timeouts=Timeouts(idle=0.1), retry=1
        )
        with pytest.raises(EndpointUnavailable, match=f"{where}: sent nothing for 0.1 s"):
            await endpoint.complete("x")
        endpoint = Endpoint(
            "m", base_url=server.url, http_client=client, timeouts=Timeouts(total=0.1), retry=1
        )
        with pytest.raises(EndpointUnavailable, match=r"no whole reply within 0.1 s"):
            await endpoint.complete("x")


@pytest.mark.skipif(sys.platform != "linux", reason="fills the backlog of a socket as Linux counts it")
async def test_a_connection_that_never_comes(client):
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        timeouts = Timeouts(connect=0.1)
        endpoint = Endpoint("m", base_url=url, http_client=client, timeouts=timeouts, retry=1)
        with pytest.raises(EndpointUnavailable, match=r"no connection within 0.1 s"):
            await endpoint.complete("x")


async def test_a_cancelled_call_leaves_nothing_wherever_it_was(client):
    with LoopbackServer("One two three.") as server:
        endpoint = Endpoint("m", base_url=server.url, http_client=client, concurrency=1)
        async with endpoint:
            tasks = asyncio.all_tasks()
            for turns in range(40):
                task = asyncio.create_task(endpoint.complete("x"))
                for _ in range(turns):
                    await asyncio.sleep(0.0005 if turns > 20 else 0)
                task.cancel()
                await asyncio.wait([task])
                # The one place is free again.
                async with asyncio.timeout(5):
                    await endpoint.complete("x")
            assert asyncio.all_tasks() == tasks
            await server.until(lambda: server.open_connections <= 1)


async def test_a_stream_that_failed_is_over():
    with LoopbackServer(faults=[400]) as server:
        async with Endpoint("m", base_url=server.url).stream(ASK) as stream:
            with pytest.raises(RequestRejected):
                await anext(stream)
            assert [delta async for delta in stream] == []
        assert len(server.requests) == 1


async def test_nobody_there_is_said_with_host_and_port_and_without_the_key(client):
    with LoopbackServer() as server:
        url = server.url
    endpoint = Endpoint("m", base_url=url, http_client=client, api_key="sk-secret12345", retry=1)
    with pytest.raises(EndpointUnavailable) as caught:
        await endpoint.complete("x")
    assert url.split("/")[2] in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_key_that_a_server_repeats_is_not_repeated():
    message = "Incorrect API key provided: sk-abcdef1234567890. See https://example.org"
    with LoopbackServer(faults=[Fault("status", 401, message=message)]) as server:
        endpoint = Endpoint("m", base_url=server.url, api_key="sk-abcdef1234567890")
        with pytest.raises(RequestRejected) as caught:
            await endpoint.complete("x")
        assert "abcdef" not in str(caught.value)
        assert server.requests[0].headers["authorization"] == "Bearer sk-abcdef1234567890"


@pytest.mark.parametrize("faults", [[503, 503], [429, 429], [402]])
async def test_fallbacks_answer_in_order(faults):
    with LoopbackServer(faults=faults) as server:
        down = Endpoint("a", base_url=server.url, retry=Retry(stop_after_attempt(2), wait_none()))
        also = Endpoint("b", base_url=server.url, retry=1, price=Price(1, 1))
        down.fallback = (FakeEndpoint([EndpointUnavailable("down, too")], retry=1), also)
        async with down.stream(ASK) as stream:
            await drain(stream)
        assert stream.reply.message.text == "Hello."
        assert stream.model == "b"
        assert stream.cost is not None
        assert stream.reply.usage.requests == len(server.requests) + 1


async def test_a_rejected_request_does_not_fall_back():
    with LoopbackServer(faults=[400]) as server:
        endpoint = Endpoint("m", base_url=server.url, fallback=[FakeEndpoint(["no"])])
        with pytest.raises(RequestRejected):
            await endpoint.complete("x")


async def test_a_server_that_ignores_streaming_is_understood():
    import httpx2

    def answer(request):
        body = {"choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}]}
        return httpx2.Response(200, json=body)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        endpoint = Endpoint("m", base_url="http://test/v1", http_client=client)
        reply = await endpoint.complete("Some words.")
        assert reply.message.text == "Whole."
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens == 2


async def test_a_malformed_whole_reply_is_a_bad_response():
    with LoopbackServer(faults=["malformed"]) as server:
        endpoint = Endpoint("m", base_url=server.url, stream=False, retry=1)
        with pytest.raises(BadResponse, match="m: the reply is no JSON"):
            await endpoint.complete("x")


async def test_a_compressed_reply_is_read(client):
    body = gzip.compress(b'{"choices": [{"message": {"content": "Packed."}, "finish_reason": "stop"}]}')

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = Endpoint("m", base_url=f"http://127.0.0.1:{port}", http_client=client)
        assert (await endpoint.complete("x")).message.text == "Packed."


async def test_one_runtimes_resources_are_shared_by_endpoints():
    resources = Resources()
    with LoopbackServer() as server:
        for name in "ab":
            await Endpoint(name, base_url=server.url).complete("x", resources=resources)
        assert server.most_connections == server.open_connections == 1
        await resources.aclose()
        await server.until(lambda: server.open_connections == 0)


async def test_many_streams_at_once():
    with LoopbackServer("Some words of a reply.", first_token_s=0.05) as server:
        endpoint = Endpoint("m", base_url=server.url)
        async with endpoint, asyncio.TaskGroup() as group:
            tasks = [group.create_task(endpoint.complete("x")) for _ in range(200)]
        assert all(task.result().message.text == "Some words of a reply." for task in tasks)
        assert server.most_connections == 200


def test_a_block_is_entered_once():
    async def main():
        endpoint = Endpoint("m", base_url="http://127.0.0.1:1/v1")
        async with endpoint:
            with pytest.raises(UserError, match="open already"):
                async with endpoint:
                    pass

    asyncio.run(main())


def test_wrong_arguments_are_named():
    with pytest.raises(UserError, match="requests_per_minute must be above 0, not 0"):
        Endpoint("m", requests_per_minute=0)
    with pytest.raises(UserError, match="either api_key or api_key_env"):
        Endpoint("m", api_key="a", api_key_env="B")
    with pytest.raises(UserError, match="name is empty"):
        Endpoint(" ")


def test_capabilities_are_data_that_a_user_overrides():
    assert Endpoint("openai:gpt").capabilities.max_tokens_field == "max_completion_tokens"
    mine = Capabilities(prefill="prefix")
    assert Endpoint("openai:gpt", capabilities=mine).capabilities.prefill == "prefix"
    assert Endpoint("openai:gpt", stream=False).capabilities.stream is False
