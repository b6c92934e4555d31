"""A program with two policies: `idle` calls them and ends, `busy` names its workers and never ends."""

from __future__ import annotations

import asyncio
import sys

from agentflow.dual import MontySandbox

__all__ = ["main"]


async def main(busy: bool) -> None:
    """Open two policies, call them, and end; or call one that does not end."""
    async with MontySandbox() as sandbox:
        one = await sandbox.load("def policy(state): return state")
        two = await sandbox.load("def policy(state):\n    while state: pass")
        for n in range(20):
            await one.call(n, seconds=1)
        if busy:
            call = asyncio.ensure_future(two.call(True, seconds=60))
            await asyncio.sleep(0.05)
            sys.stdout.write(" ".join(map(str, sandbox.pids)) + "\n")
            sys.stdout.flush()
            await call


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] == "busy"))
