"""Vectors of texts, by the same scheduler, retries and connections as replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from agentflow.endpoints.retry import Attempts
from agentflow.errors import EndpointError, UserError
from agentflow.runtime.resources import Resources
from agentflow_protocols.chat.messages import Usage

if TYPE_CHECKING:
    from agentflow.endpoints.endpoint import Endpoint

__all__ = ["BATCH", "Embedder", "Embeddings", "Observe", "embed"]

BATCH = 128  # texts in one request
Observe: TypeAlias = Callable[[int, Mapping[str, str]], None]


@dataclass(slots=True)
class Embeddings:
    """A vector of floats for each text, all of one length, and what they took."""

    vectors: list[list[float]]
    usage: Usage


@runtime_checkable
class Embedder(Protocol):
    """A model that makes vectors, of one batch of texts at a time."""

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, resources: Resources, observe: Observe
    ) -> Embeddings:
        """Return the vectors of `texts`. `observe` is told status and headers of the response."""


async def embed(
    endpoint: Endpoint, texts: Sequence[str], dimensions: int | None, batch: int, resources: Resources
) -> Embeddings:
    """Return the vectors of `texts`, asked for in batches that go side by side. See `Endpoint.embed`."""
    if isinstance(texts, str) or not all(isinstance(text, str) and text for text in texts):
        raise UserError(f"{endpoint.name}: embed takes a list of texts, none of them empty")
    if batch < 1 or (dimensions is not None and dimensions < 1):
        raise UserError(f"{endpoint.name}: batch and dimensions must be at least 1")
    parts = [texts[at : at + batch] for at in range(0, len(texts), batch)]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_one(endpoint, part, dimensions, resources)) for part in parts]
    except BaseExceptionGroup as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from error.__cause__
    usage, vectors = Usage(), list[list[float]]()
    for task in tasks:
        vectors += task.result().vectors
        usage.add(task.result().usage)
    return Embeddings(vectors, usage)


async def _one(
    endpoint: Endpoint, texts: Sequence[str], dimensions: int | None, resources: Resources
) -> Embeddings:
    """Ask for one batch, again as the endpoint's policy says."""
    embedder = endpoint.target
    if not isinstance(embedder, Embedder):
        raise UserError(f"{endpoint.name}: this kind of model makes no embeddings")
    attempts = Attempts(endpoint.retry)
    cost = sum(len(text) for text in texts) // 4 + 1
    retry = False
    while True:
        scheduler = endpoint.scheduler()
        permit = await scheduler.admit(cost, retry=retry)
        usage: Usage | None = None
        try:
            made = await embedder.embed(texts, dimensions, resources, partial(scheduler.observe, permit))
            usage = made.usage
            return made
        except EndpointError as error:
            wait = attempts.wait_after(error)
            if wait is None:
                raise
        finally:
            scheduler.settle(permit, usage)
        await asyncio.sleep(wait)
        retry = True
