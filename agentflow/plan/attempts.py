"""Calling a step's function as its options say: again where it fails, each time within its time-out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentflow.errors import ToolFailed, UserError
from agentflow.plan.call import BEGUN, Callee, child_of
from agentflow.plan.node import Node
from agentflow.plan.retrying import Tries

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.runtime.journal import RunRecord

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
        if callee.child and (number := self._earlier(node, callee)) is not None:
            return callee.check(node.key, await self._called(node, callee, args, kwargs, number))
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

    def _earlier(self, node: Node, callee: Callee) -> int | None:
        """Return which run of a step ended well in an earlier process, None when none did.

        Raises `ToolFailed` where the last one was under way, and the tool must not be run twice.
        """
        records = self._context.state.records
        last: RunRecord | None = None
        number = 1
        while (record := records.get(f"{self._context.run_id}/{_key(node, number)}")) is not None:
            if record.row.status == "succeeded":
                return number
            last, number = record, number + 1
        if last is not None and _once(node, callee) and last.row.status != "failed" and BEGUN in last.steps:
            name = callee.tool.name if callee.tool is not None else node.key
            raise ToolFailed(
                f"tool {name} was under way when the process ended, and whether it happened is unknown: look,"
                " and let it run again by `idempotent=True`, or go on without it by `on_error`"
            )
        return None

    async def _called(
        self, node: Node, callee: Callee, args: Sequence[object], kwargs: dict[str, object], number: int
    ) -> object:
        if callee.child:
            job, input = child_of(node.key, callee, args, kwargs, once=_once(node, callee))
            key = _key(node, number)
            return (await self._context.run(job, input, key=key)).output  # type: ignore[arg-type]
        if callee.is_async:
            return await callee.call(args, kwargs)  # type: ignore[misc]
        return await callee.call_in_thread(self._context, args, kwargs)


def _key(node: Node, number: int) -> str:
    """Return the key of a step's run of this number, from 1."""
    return node.key if number == 1 else f"{node.key}/{number}"


def _once(node: Node, callee: Callee) -> bool:
    """Return whether a step calls a tool that must not be run twice."""
    said = node.step.said.idempotent
    return callee.tool is not None and not (callee.tool.options.idempotent if said is None else said)
