"""What a worker of a team may do beside its task: report, and ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from agentflow.errors import RunError
from agentflow.runtime.inbox import Interrupt
from agentflow.runtime.ledger import decode
from agentflow.team.crew import Task
from agentflow.tools import Tool
from agentflow_protocols.chat import Json

if TYPE_CHECKING:
    from agentflow.runtime.context import Context
    from agentflow.runtime.state import RunState

__all__ = ["DUTIES", "duties"]

Deps = TypeVar("Deps")

DUTIES = ("report", "ask")
ANSWER_S = 3600.0  # seconds that a worker waits for an answer
_OVER = "the leader has ended: nobody hears this"


def duties(leader: RunState, worker: str, task: Task) -> Sequence[Tool[..., object]]:
    """Return the tools of a worker at a task; what it says by them interrupts the leader's run."""

    async def say(context: Context[Deps], kind: str, text: Json) -> bool:
        """Interrupt the leader, once a call; False when it has ended."""
        said = f"{kind}/{context.call}"
        if context.ledger.recall(said) is None:
            line = json.dumps({"task": task.id, kind: text}, ensure_ascii=False)
            interrupt = Interrupt(f"agent.{worker}", line)
            await leader.inbox.room(interrupt)
            try:
                leader.put(interrupt)
            except RunError:
                return False
            context.ledger.put(said, b"{}")
            await context.ledger.barrier()
        return True

    async def report(context: Context[Deps], arguments: dict[str, Json]) -> str:
        return "reported" if await say(context, "report", arguments["text"]) else _OVER

    async def ask(context: Context[Deps], arguments: dict[str, Json]) -> str:
        name = f"answer/{context.call}"
        answer = context.state.signal_of(name)
        task.asked.add(name)
        if not answer.done():
            if not await say(context, "question", arguments["question"]):
                return _OVER
            task.questions.append(name)
            try:
                await asyncio.wait((answer,))
            finally:
                if name in task.questions:
                    task.questions.remove(name)
        return str(decode(answer.result()))

    text: Json = {"type": "string"}
    return (
        Tool.from_schema(
            "report",
            "Tell your leader at once of something that matters before your task is done.",
            {"properties": {"text": text}, "required": ["text"], "additionalProperties": False},
            report,
            reply="wait",
            idempotent=True,
        ),
        Tool.from_schema(
            "ask",
            "Ask your leader something that you need for your task. The answer comes as the result.",
            {"properties": {"question": text}, "required": ["question"], "additionalProperties": False},
            ask,
            reply="interrupt",
            idempotent=True,
            timeout=ANSWER_S,
        ),
    )
