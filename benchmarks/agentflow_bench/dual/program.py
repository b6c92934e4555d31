"""A program with three policies: `idle` calls one and ends, `busy` names their workers and never ends."""

from __future__ import annotations

import asyncio
import sys

from agentflow.dual import MontySandbox
from agentflow.testing.sandbox_suite import BOMBS

__all__ = ["main"]


async def main(busy: bool) -> None:
    """Open policies, call one, and end; or call those that do not end."""
    async with MontySandbox() as sandbox:
        one = await sandbox.load("def policy(state): return state")
        two = await sandbox.load("def policy(state):\n    while state: pass")
        # This one ends at no limit of the interpreter's own.
        three = await sandbox.load(next(bomb.source for bomb in BOMBS if bomb.name == "compare"))
        for n in range(20):
            await one.call(n, seconds=1)
        if busy:
            calls = asyncio.gather(two.call(True, seconds=60), three.call(None, seconds=60))
            await asyncio.sleep(0.05)
            sys.stdout.write(" ".join(map(str, sandbox.pids)) + "\n")
            sys.stdout.flush()
            await calls


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] == "busy"))
