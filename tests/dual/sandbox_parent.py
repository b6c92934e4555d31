"""A program that opens policies and then runs one that does not end; it is killed meanwhile."""

from __future__ import annotations

import asyncio

from agentflow.dual import MontySandbox


async def main() -> None:
    sandbox = MontySandbox()
    await sandbox.load("def policy(state): return 1")
    busy = await sandbox.load("def policy(state):\n    while True: pass")
    call = asyncio.ensure_future(busy.call(None, seconds=60))
    await asyncio.sleep(0.05)
    print(*sandbox.pids, flush=True)
    await call


if __name__ == "__main__":
    asyncio.run(main())
