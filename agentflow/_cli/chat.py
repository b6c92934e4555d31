"""`agentflow chat`: talk with a workflow's agent, seeing its calls and interrupting it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentflow._cli.options import Inputs, Model, NoColor, Quiet, WorkflowFile
from agentflow._cli.say import as_text, note, print_data, print_error
from agentflow.errors import AgentflowError, RunError, UserError

if TYPE_CHECKING:
    from agentflow._cli.keyboard import Keyboard
    from agentflow.agent import Agent
    from agentflow.runtime import Limits, Run, Runtime
    from agentflow_protocols.chat import Json, Message

__all__ = ["chat"]


def chat(
    file: WorkflowFile,
    inputs: Inputs = None,
    model: Model = None,
    journal: Annotated[Path | None, typer.Option("--journal", metavar="FILE", help="A journal.")] = None,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Talk with the agent of a workflow. A line typed while it works interrupts it; /quit ends."""
    from agentflow._cli.run import given_inputs
    from agentflow.runtime.loop import new_loop, run_in
    from agentflow.workflow import load

    workflow = load(file, model=model)
    workflow.check_endpoints()
    inputs_now = workflow.read_inputs(given_inputs(workflow, inputs), partial=True)
    talk = _Talk(workflow.agent(inputs_now), workflow.limits, quiet)
    run_in(lambda: new_loop("wall"), talk.run(journal))


@dataclass(slots=True)
class _Talk:
    """A conversation: what the agent is, and what was said."""

    agent: Agent[object, Json]
    limits: Limits | None
    quiet: bool
    history: list[Message] = field(default_factory=list)
    quits: bool = False

    async def run(self, journal: Path | None) -> None:
        """Talk until `/quit` or the end of input."""
        from agentflow._cli.keyboard import Keyboard
        from agentflow.runtime import Runtime

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
                else:
                    await run.interrupt(line, priority="now")
            except RunError:  # it has just ended: the line is the next turn's
                keyboard.put_back(line)
                return None
        return None


async def _print(run: Run[Json], quiet: bool) -> bool:
    """Print the text as it comes, and calls as they start and finish; return whether there was text."""
    from agentflow._cli.view import call_label
    from agentflow_protocols.trace import (
        ApprovalNeeded,
        ModelCalled,
        RunFinished,
        TextDelta,
        ToolCalled,
        ToolFinished,
    )

    said = fresh = False
    async for event in run:
        if isinstance(event, TextDelta):
            _write(event.text)
            said = fresh = True
        elif isinstance(event, ApprovalNeeded | ModelCalled | ToolCalled | ToolFinished | RunFinished):
            if fresh:
                _write("\n")
                fresh = False
            if isinstance(event, ToolCalled):
                note(f"  > {call_label(event.name, event.arguments)}", quiet=quiet)
            elif isinstance(event, ApprovalNeeded):
                note(f"  ? {event.name} waits: /approve {event.call} or /deny {event.call} WHY", quiet=quiet)
            elif isinstance(event, ToolFinished):
                note(f"  < {event.name} {event.status} after {event.seconds:.1f} s", quiet=quiet)
    return said


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
