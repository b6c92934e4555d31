"""The one synchronous door: `agentflow.run`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import TypeVar

from agentflow.errors import UserError
from agentflow.runtime.budget import Limits
from agentflow.runtime.clock import ClockKind
from agentflow.runtime.context import Job
from agentflow.runtime.loop import new_loop, run_in
from agentflow.runtime.result import Result
from agentflow.runtime.runtime import Runtime
from agentflow_protocols.chat import Message

__all__ = ["run"]

Deps = TypeVar("Deps")
In = TypeVar("In")
Out = TypeVar("Out")


def run(
    x: Job[Deps, In, Out],
    input: In | None = None,
    *,
    deps: Deps | None = None,
    history: Sequence[Message] | None = None,
    key: str | None = None,
    limits: Limits | None = None,
    journal: str | os.PathLike[str] | None = None,
    clock: ClockKind = "wall",
    speed: float | None = None,
) -> Result[Out]:
    """Run `x` to its end in an event loop of its own, and return its result.

    `journal` is a file that survives a crash; `clock` is `wall`, `virtual` (waits take
    no time) or `paced` (`speed` virtual seconds a second). Inside a running loop, as
    in a notebook, it raises UserError: use `await Runtime().run(…)` there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UserError(
            "an event loop runs already: `async with agentflow.Runtime() as runtime: await runtime.run(…)`"
        )

    async def main() -> Result[Out]:
        async with Runtime(journal) as runtime:
            return await runtime.run(x, input, deps=deps, history=history, key=key, limits=limits)

    return run_in(lambda: new_loop(clock, speed), main())
