"""The loopback server in a thread and as a process, and the leak check."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from agentflow.endpoints import Endpoint
from agentflow.testing import Fault, LoopbackServer, ScriptedCall, assert_nothing_left
from agentflow.testing.server import main


def post(url, body, path="/chat/completions"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, dict(response.headers), response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_whole_and_streamed_replies_have_the_known_form():
    with LoopbackServer(ScriptedCall("f", {"a": 1})) as server:
        status, headers, raw = post(server.url, {"model": "x", "messages": []})
        assert (status, headers["Content-Type"]) == (200, "application/json")
        body = json.loads(raw)
        assert body["model"] == "x"
        assert body["choices"][0]["finish_reason"] == "tool_calls"
        assert body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
        assert body["usage"]["total_tokens"] > 0
        asked = {"model": "x", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
        _, headers, raw = post(server.url, asked)
        assert headers["Content-Type"] == "text/event-stream"
        events = [line[6:] for line in raw.decode().splitlines() if line]
        assert events[-1] == "[DONE]"
        assert json.loads(events[-2])["usage"]["total_tokens"] > 0
        asked.pop("stream_options")
        assert b"usage" not in post(server.url, asked)[2]


def test_a_list_of_replies_is_used_in_order_and_a_function_sees_the_body():
    with LoopbackServer(["one", {"text": "two"}]) as server:
        texts = [json.loads(post(server.url, {})[2])["choices"][0]["message"]["content"] for _ in range(2)]
        assert texts == ["one", "two"]
        assert post(server.url, {})[0] == 500
    with LoopbackServer(lambda body: body["messages"][-1]["content"].upper()) as server:
        raw = post(server.url, {"messages": [{"role": "user", "content": "hi"}]})[2]
        assert json.loads(raw)["choices"][0]["message"]["content"] == "HI"
        assert post(server.url, {"messages": []})[0] == 500


def test_wrong_requests_are_refused():
    with LoopbackServer() as server:
        assert post(server.url, b"{")[0] == 400
        assert post(server.url, b"[]")[0] == 400
        assert post(server.url, {}, "/images")[0] == 404
        with urllib.request.urlopen(server.url + "/models", timeout=5) as response:
            assert json.load(response)["data"][0]["id"] == "loopback"
        assert [request.status for request in server.requests] == [400, 400, 404, 200]
        host, port = server.url.split("/")[2].split(":")
        with socket.create_connection((host, int(port)), timeout=5) as wire:
            wire.sendall(b"NONSENSE\r\n\r\n")
            assert wire.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_more_requests_than_the_limit_are_told_when_to_come_again():
    with LoopbackServer(requests_per_minute=120, window_s=1.0) as server:
        statuses = [post(server.url, {}) for _ in range(3)]
        assert [status for status, _, _ in statuses] == [200, 200, 429]
        assert statuses[2][1]["Retry-After"] == "1"
        assert 0 < int(statuses[2][1]["Retry-After-Ms"]) <= 1001
        assert json.loads(statuses[2][2])["error"]["code"] == "rate_limit_exceeded"


def test_faults_befall_the_first_requests_one_each():
    faults = [503, Fault("status", 402, message="pay"), None, "drop"]
    with LoopbackServer(faults=faults) as server:
        assert post(server.url, {})[0] == 503
        assert b"pay" in post(server.url, {})[2]
        assert post(server.url, {})[0] == 200
        with pytest.raises(OSError):
            post(server.url, {})
        assert post(server.url, {})[0] == 200


def test_a_pipelined_second_request_waits_for_the_first():
    with LoopbackServer("Hi.", first_token_s=0.02) as server:
        host, port = server.url.split("/")[2].split(":")
        body = b'{"messages": []}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection((host, int(port)), timeout=5) as wire:
            wire.sendall(head + body + head + body[:3])
            wire.sendall(body[3:])
            received = b""
            while received.count(b"HTTP/1.1 200 OK") < 2 or not received.endswith(b"}"):
                received += wire.recv(10_000)
        assert len(server.requests) == 2


def test_two_servers_and_a_taken_port():
    with LoopbackServer() as one, LoopbackServer() as two:
        assert one.url != two.url
        port = int(one.url.split("/")[2].split(":")[1])
        with pytest.raises(OSError):
            LoopbackServer(port=port).__enter__()
    assert not [thread for thread in threading.enumerate() if thread.name == "loopback-server"]


async def test_waiting_for_the_server_ends():
    with LoopbackServer() as server:
        with pytest.raises(TimeoutError):
            await server.until(lambda: bool(server.requests), timeout=0.01)
        await Endpoint("m", base_url=server.url).complete("x")
        await server.until(lambda: bool(server.requests))


async def test_the_server_as_a_process_plays_a_scenario():
    command = [sys.executable, "-m", "agentflow.testing.server", "--with-stdin"]
    process = subprocess.Popen(
        [*command, "--scenario", "tool-then-answer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        url = process.stdout.readline().strip()
        tools = [{"type": "function", "function": {"name": "boil"}}]
        ask = [{"role": "user", "content": "x"}]
        first = json.loads(post(url, {"messages": ask, "tools": tools})[2])["choices"][0]
        assert first["message"]["tool_calls"][0]["function"] == {"name": "boil", "arguments": "{}"}
        answered = [*ask, {"role": "tool", "content": "done"}]
        second = json.loads(post(url, {"messages": answered, "tools": tools})[2])["choices"][0]
        assert second["finish_reason"] == "stop"
        process.stdin.close()
        assert process.wait(5) == 0


def test_a_wrong_scenario_is_named(capsys):
    assert main(["--scenario", "tool-than-answer"]) == 2
    assert "did you mean `tool-then-answer`" in capsys.readouterr().err
    assert main(["--scenario", "no_such_module:x"]) == 2
    assert "no_such_module" in capsys.readouterr().err


async def test_what_is_left_is_named():
    async with assert_nothing_left():
        await asyncio.sleep(0)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten")
    with socket.socket() as kept:
        check = assert_nothing_left()
        await check.__aenter__()
        task = asyncio.create_task(asyncio.sleep(1000), name="sleeper")
        thread.start()
        other = socket.socket()
        with pytest.raises(AssertionError, match=r"left running: .*") as caught:
            await check.__aexit__(None, None, None)
        assert "task sleeper" in str(caught.value)
        assert "thread forgotten" in str(caught.value)
        if sys.platform == "linux":
            assert "socket " in str(caught.value)
        other.close()
        assert kept.fileno() > 0
        task.cancel()
        stop.set()
        thread.join()


def test_a_child_process_that_is_left_is_named():
    command = [sys.executable, "-c", "input()"]
    if sys.platform == "linux":
        check = assert_nothing_left()
        check.__enter__()
        child = subprocess.Popen(command, stdin=subprocess.PIPE)
        with child, pytest.raises(AssertionError, match=f"process {child.pid}"):
            check.__exit__(None, None, None)


def test_an_error_in_the_block_is_not_hidden():
    with pytest.raises(ZeroDivisionError), assert_nothing_left():
        raise ZeroDivisionError
