"""Calling a step's function as its options say: again where it fails, each time within its time-out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentflow.errors import UserError
from agentflow.plan.call import Callee, child_of
from agentflow.plan.node import Node
from agentflow.plan.retrying import Tries

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Attempts"]


class Attempts:
    """Calls the steps of one running plan."""

    def __init__(self, context: Context[object]) -> None:
        self._context = context

    async def value(
        self, node: Node, callee: Callee, args: Sequence[object], kwargs: dict[str, object]
    ) -> object:
        """Call the step's function, again as its policy says, each time within its time-out."""
        said = node.step.said
        if said.retries is None and said.timeout is None:
            return callee.check(node.key, await self._called(node, callee, args, kwargs, 1))
        tries = Tries(said.retries)
        while True:
            try:
                async with asyncio.timeout(said.timeout) as bound:
                    value = await self._called(node, callee, args, kwargs, tries.number)
                return callee.check(node.key, value)
            except Exception as error:
                fault: Exception = error
                if isinstance(error, TimeoutError) and bound.expired():
                    fault = TimeoutError(f"not done within {said.timeout:g} s")
                wait = None if isinstance(error, UserError) else tries.wait_after(fault)
                if wait is None:
                    if fault is error:
                        raise
                    raise fault from None
            await asyncio.sleep(wait)

    async def _called(
        self, node: Node, callee: Callee, args: Sequence[object], kwargs: dict[str, object], number: int
    ) -> object:
        if callee.child:
            job, input = child_of(node.key, callee, args, kwargs)
            key = node.key if number == 1 else f"{node.key}/{number}"
            return (await self._context.run(job, input, key=key)).output  # type: ignore[arg-type]
        if callee.is_async:
            return await callee.call(args, kwargs)  # type: ignore[misc]
        return await callee.call_in_thread(self._context, args, kwargs)
