"""What tests of policies share."""

from __future__ import annotations

import asyncio

import pytest


@pytest.fixture(scope="session", autouse=True)
def interpreter() -> None:
    """Start the sandbox's library once: it keeps a pair of sockets of its own until the process ends."""
    pytest.importorskip("pydantic_monty")
    from agentflow.dual import MontySandbox

    async def start() -> None:
        async with MontySandbox() as sandbox:
            await sandbox.load("def policy(state): return state")

    asyncio.run(start())
