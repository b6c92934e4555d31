"""A simulated reply: deltas, each so many seconds after the one before it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TypeAlias

from agentflow.endpoints.price import estimate_input
from agentflow_bench.asynclm.mind import Log, Seen
from agentflow_bench.asynclm.task import Pace
from agentflow_protocols.chat import CallReady, ChatRequest, Delta, Message, Reply, TextPiece, Usage

__all__ = ["SimulatedStream", "Step"]

Step: TypeAlias = tuple[float, Delta]


class SimulatedStream:
    """Give `steps` at their times, after the time that the request itself takes.

    That is `turn_s`, and `inject_s` for each result in `seen` that no request before
    showed.
    """

    def __init__(self, log: Log, pace: Pace, request: ChatRequest, seen: Seen, steps: Iterator[Step]) -> None:
        self._log = log
        self._pace = pace
        self._request = request
        self._seen = seen
        self._steps = steps
        self._begun = False
        self._deltas: list[Delta] = []

    def __aiter__(self) -> SimulatedStream:
        """Return itself."""
        return self

    async def __anext__(self) -> Delta:
        """Return the next delta, when it is written."""
        if not self._begun:
            self._begun = True
            new = self._log.note(self._request, self._seen.known)
            await asyncio.sleep(self._pace.turn_s + self._pace.inject_s * new)
            self._log.start(asyncio.get_running_loop().time())
        step = next(self._steps, None)
        if step is None:
            raise StopAsyncIteration
        seconds, delta = step
        if seconds:
            await asyncio.sleep(seconds)
        self._deltas.append(delta)
        return delta

    @property
    def reply(self) -> Reply:
        """The whole reply."""
        text = "".join(delta.text for delta in self._deltas if isinstance(delta, TextPiece))
        calls = [delta.call for delta in self._deltas if isinstance(delta, CallReady)]
        usage = Usage(estimate_input(self._request), max(1, len(self._deltas)), requests=1)
        finish = "tool_calls" if calls else "stop"
        return Reply(Message("assistant", text, calls=calls), usage, finish, "simulated")

    async def aclose(self) -> None:
        """Leave the reply."""
        self._steps = iter(())
