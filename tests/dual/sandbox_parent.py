"""A program that opens policies and then runs two that do not end; it is killed meanwhile.

One loops, which the interpreter ends. One compares two lists of a million million parts, which it does not.
"""

from __future__ import annotations

import asyncio

from agentflow.dual import MontySandbox
from agentflow.testing.sandbox_suite import BOMBS


async def main() -> None:
    sandbox = MontySandbox()
    await sandbox.load("def policy(state): return 1")
    busy = await sandbox.load("def policy(state):\n    while True: pass")
    deaf = await sandbox.load(next(bomb.source for bomb in BOMBS if bomb.name == "compare"))
    calls = asyncio.gather(busy.call(None, seconds=60), deaf.call(None, seconds=60))
    await asyncio.sleep(0.05)
    print(*sandbox.pids, flush=True)
    await calls


if __name__ == "__main__":
    asyncio.run(main())
