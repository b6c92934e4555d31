"""What a tool call costs: processor time of many at once, and how soon it starts."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence

from agentflow.agent import Agent
from agentflow.endpoints import Endpoint
from agentflow.runtime import Runtime
from agentflow.testing import FakeEndpoint
from agentflow.tools import tool
from agentflow_bench.measure import Bar, Figure, Measure, Setting
from agentflow_protocols.chat import ChatRequest, Message

__all__ = ["CALL_COST", "TOOL_START"]

_CALLS = 10


async def _call_cost(setting: Setting) -> Sequence[Figure]:
    sessions = 100 if setting.quick else 1000

    @tool(idempotent=True)
    async def look(n: int) -> int:
        await asyncio.sleep(0.01 * n)
        return n

    calls = {"calls": [{"name": "look", "arguments": {"n": n}} for n in range(_CALLS)]}
    answer: dict[str, object] = {"text": "done"}

    def reply(request: ChatRequest) -> object:
        return (
            answer
            if len(_results(request.messages)) == _CALLS
            else calls
            if len(request.messages) < 3
            else {"calls": [{"name": "wait", "arguments": {}}]}
        )

    agent = Agent(FakeEndpoint(reply), tools=[look])  # type: ignore[arg-type]
    async with Runtime() as runtime:
        await runtime.run(agent, "warm up")
        began, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(runtime.run(agent, f"{n}")) for n in range(sessions)]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - began
    wrong = sum(_results(run.result().messages) != list(map(str, range(_CALLS))) for run in runs)
    return [
        Figure(
            "CPU a call, the model's turns included", cpu / sessions / _CALLS * 1000, "ms", Bar("<=", 0.3)
        ),
        Figure("sessions with a lost, doubled or misordered result", wrong, bar=Bar("==", 0)),
        Figure("wall time of all", wall, "s", note=f"{sessions} sessions of {_CALLS} calls"),
    ]


def _results(messages: Sequence[Message]) -> list[str]:
    """Return the results that were told: in tool messages and in interrupts."""
    found: list[str] = []
    waits = {call.id for message in messages for call in message.calls if call.name == "wait"}
    for message in messages:
        if message.role == "tool" and message.call_id not in waits and "running" not in message.text:
            found.append(message.text)
        elif message.role == "user" and "[INTR]" in message.text:
            found += [block.split("[END]")[0].strip() for block in message.text.split("[HEAD]")[1:]]
    return found


class _HeldServer:
    """A server that says when it wrote the last byte of a call's arguments, and goes on only then."""

    def __init__(self) -> None:
        self.port = 0
        self.written: list[float] = []
        self.started = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> _HeldServer:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def go_on(self) -> None:
        """Let the reply end."""
        self._loop.call_soon_threadsafe(self.started.set)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        if any(message["role"] == "tool" for message in body["messages"]):
            writer.write(_chunk({"content": "done"}) + _chunk({}, "stop") + b"data: [DONE]\n\n")
        else:
            self.started.clear()
            call = {"index": 0, "id": "c1", "type": "function"}
            writer.write(
                _chunk({"tool_calls": [{**call, "function": {"name": "mark", "arguments": '{"n": '}}]})
            )
            await writer.drain()
            self.written.append(time.perf_counter())
            writer.write(_chunk({"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}))
            await self.started.wait()
            writer.write(_chunk({}, "tool_calls") + b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


async def _tool_start(setting: Setting) -> Sequence[Figure]:
    rounds = 50 if setting.quick else 300
    starts: list[float] = []
    with _HeldServer() as server:

        @tool(idempotent=True)
        async def mark(n: int) -> str:
            starts.append(time.perf_counter())
            server.go_on()
            return "marked"

        endpoint = Endpoint("held", base_url=f"http://127.0.0.1:{server.port}/v1")
        agent = Agent(endpoint, tools=[mark])
        async with Runtime() as runtime:
            await runtime.run(agent, "warm up")
            starts.clear()
            server.written.clear()
            for n in range(rounds):
                await runtime.run(agent, f"{n}")
        late = sorted(start - wrote for start, wrote in zip(starts, server.written, strict=True))
    return [
        Figure("p99", late[int(len(late) * 0.99)] * 1000, "ms", Bar("<=", 5)),
        Figure("median", late[len(late) // 2] * 1000, "ms", note="the reply is still open meanwhile"),
    ]


CALL_COST = Measure("call_cost", "1,000 sessions of ten calls each, all at once, no wire.", _call_cost)
TOOL_START = Measure(
    "tool_start", "From the last byte of a call's arguments to the tool's first line.", _tool_start
)
