"""A talk with an agent in the terminal: lines in, text out, calls told as they start and end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agentflow._cli.keyboard import Keyboard
from agentflow._cli.say import as_text, note, print_data, print_error, write_text
from agentflow._cli.view import call_label
from agentflow.errors import AgentflowError, RunError, UserError
from agentflow.runtime import Limits, Run, Runtime
from agentflow_protocols.trace import (
    ApprovalNeeded,
    ModelCalled,
    RunFinished,
    TextDelta,
    ToolCalled,
    ToolFinished,
)

if TYPE_CHECKING:
    from agentflow.agent import Agent
    from agentflow_protocols.chat import Json, Message

__all__ = ["Talk"]


@dataclass(slots=True)
class Talk:
    """A conversation: what the agent is, and what was said."""

    agent: Agent[object, Json]
    limits: Limits | None
    quiet: bool
    history: list[Message] = field(default_factory=list)
    quits: bool = False

    async def run(self, journal: Path | None) -> None:
        """Talk until `/quit` or the end of input."""
        note(f"talking with {self.agent.name}; a line interrupts it, /quit ends", quiet=self.quiet)
        async with Runtime(journal) as runtime:
            with Keyboard() as keyboard:
                async for line in keyboard:
                    if line == "/quit":
                        return
                    if line:
                        await self.turn(runtime, line, keyboard)
                    if self.quits:
                        return

    async def turn(self, runtime: Runtime, line: str, keyboard: Keyboard) -> None:
        """Let the agent answer one line."""
        start = runtime.start(self.agent, line, history=self.history, limits=self.limits)
        async with start as run:
            typing = asyncio.create_task(self.interrupt(run, keyboard))
            said = await _print(run, self.quiet)
            typing.cancel()
            await asyncio.wait([typing])
            try:
                output = (await run.result()).output
                if not said:
                    print_data(as_text(output))
            except UserError:
                raise
            except AgentflowError as error:
                if not self.quits:
                    print_error(str(error))
            self.history = list(run.messages)

    async def interrupt(self, run: Run[Json], keyboard: Keyboard) -> None:
        """Interrupt the run with each line that is typed; `/quit` cancels it, `/approve` settles a call."""
        async for line in keyboard:
            if line == "/quit":
                self.quits = True
                return await run.cancel("/quit")
            try:
                command, _, rest = line.partition(" ")
                if command in ("/approve", "/deny"):
                    call, _, why = rest.strip().partition(" ")
                    await (run.approve(call) if command == "/approve" else run.deny(call, why))
                elif line:
                    await run.interrupt(line, priority="now")
            except RunError:  # it has just ended: the line is the next turn's
                keyboard.put_back(line)
                return None
        return None


async def _print(run: Run[Json], quiet: bool) -> bool:
    """Print the text as it comes, and calls as they start and finish; return whether there was text."""
    said = fresh = False
    async for event in run:
        if isinstance(event, TextDelta):
            write_text(event.text)
            said = fresh = True
        elif isinstance(event, ApprovalNeeded | ModelCalled | ToolCalled | ToolFinished | RunFinished):
            if fresh:
                write_text("\n")
                fresh = False
            if isinstance(event, ToolCalled):
                note(f"  > {call_label(event.name, event.arguments)}", quiet=quiet)
            elif isinstance(event, ApprovalNeeded):
                note(f"  ? {event.name} waits: /approve {event.call} or /deny {event.call} WHY", quiet=quiet)
            elif isinstance(event, ToolFinished):
                note(f"  < {event.name} {event.status} after {event.seconds:.1f} s", quiet=quiet)
    if fresh:
        write_text("\n")
    return said
