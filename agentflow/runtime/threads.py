"""The threads in which plain functions run as tools: a limited pool that a Runtime owns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

__all__ = ["Threads"]


class Threads:
    """A pool of at most 32 threads, made as they are needed and ended with the Runtime."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(32, thread_name_prefix="agentflow-tool")

    async def aclose(self) -> None:
        """End the threads. Runs wait for their own, so by now all are idle."""
        self.executor.shutdown(wait=True)
