"""End tasks and wait until nothing of them is left, however often we are cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TypeVar

__all__ = ["end_all"]

T = TypeVar("T")


async def end_all(tasks: Iterable[asyncio.Task[T]]) -> None:
    """Cancel `tasks` and return when all have ended.

    A cancellation of the caller that comes meanwhile is passed on to the tasks again,
    which cuts short what they await while they end, and raised in the end.
    """
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    cancelled = False
    while left:
        try:
            _, left = await asyncio.wait(left)
        except asyncio.CancelledError:
            cancelled = True
            left = {task for task in left if not task.done()}
            for task in left:
                task.cancel()
    if cancelled:
        raise asyncio.CancelledError
