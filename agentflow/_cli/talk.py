"""A talk with an agent in the terminal: lines in, text out, calls shown while they run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from agentflow._cli.keyboard import Keyboard
from agentflow._cli.say import as_text, note, print_data, print_error
from agentflow._cli.screen import Screen
from agentflow._cli.view import Board, call_label, seconds_text
from agentflow.errors import AgentflowError, RunError, UserError
from agentflow.runtime import Limits, Run, Runtime
from agentflow_protocols.trace import (
    ApprovalNeeded,
    ModelCalled,
    RunFinished,
    TextDelta,
    ToolCalled,
    ToolFinished,
    ToolProgress,
)

if TYPE_CHECKING:
    from agentflow.agent import Agent
    from agentflow.team import Team
    from agentflow_protocols.chat import Json, Message

__all__ = ["Talk"]

Console: TypeAlias = Keyboard | Screen
_SHOWN = 8  # calls shown below the prompt


@dataclass(slots=True)
class Talk:
    """A conversation: what the agent is, and what was said. `drawn`: on a terminal that can be drawn on."""

    agent: Agent[object, Json] | Team[object, Json]
    limits: Limits | None
    quiet: bool
    drawn: bool = False
    history: list[Message] = field(default_factory=list)
    quits: bool = False
    board: Board = field(default_factory=Board)

    async def run(self, journal: Path | None) -> None:
        """Talk until `/quit` or the end of input."""
        note(f"talking with {self.agent.name}; a line interrupts it, /quit ends", quiet=self.quiet)
        async with Runtime(journal) as runtime, self._console() as console:
            async for line in console:
                if line == "/quit":
                    return
                if line:
                    await self.turn(runtime, line, console)
                if self.quits:
                    return

    def _console(self) -> Console:
        return Screen(self.running) if self.drawn else Keyboard()

    def running(self) -> list[str]:
        """Return what is under way, a line each."""
        now = asyncio.get_running_loop().time()
        bars = [bar for bar in self.board.calls.values() if bar.end is None]
        lines = [
            f" {bar.label}  {seconds_text(now - bar.start)} {bar.note}".rstrip() for bar in bars[:_SHOWN]
        ]
        if len(bars) > _SHOWN:
            lines.append(f" and {len(bars) - _SHOWN} more calls")
        return lines + [f" {what}" for what in self.board.asking()]

    async def turn(self, runtime: Runtime, line: str, console: Console) -> None:
        """Let the agent answer one line."""
        self.board = Board()
        start = runtime.start(self.agent, line, history=self.history, limits=self.limits)
        async with start as run:
            typing = asyncio.create_task(self.interrupt(run, console))
            said = await self._print(run, console)
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

    async def interrupt(self, run: Run[Json], console: Console) -> None:
        """Interrupt the run with each line that is typed; `/quit` cancels it, `/approve` settles a call."""
        async for line in console:
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
                console.typed.put_back(line)
                return None
        if isinstance(console, Screen):  # Ctrl-C or Ctrl-D
            self.quits = True
            await run.cancel("the end of input")
        return None

    async def _print(self, run: Run[Json], console: Console) -> bool:
        """Print the text as it comes, and calls as they start and finish; return whether there was text."""
        said = False
        async for event in run:
            self.board.take(event)
            if isinstance(event, TextDelta):
                console.write(event.text)
                said = True
            elif isinstance(
                event, ApprovalNeeded | ModelCalled | ToolCalled | ToolFinished | ToolProgress | RunFinished
            ):
                console.end_line()
                told = _told(event)
                if told:
                    note(told, quiet=self.quiet)
        console.end_line()
        return said


def _told(event: object) -> str:
    """Return a call's event for a person."""
    match event:
        case ToolCalled(name=name, arguments=arguments):
            return f"  > {call_label(name, arguments)}"
        case ApprovalNeeded(name=name, call=call):
            return f"  ? {name} waits: /approve {call} or /deny {call} WHY"
        case ToolFinished(name=name, status=status, seconds=seconds):
            return f"  < {name} {status} after {seconds:.1f} s"
    return ""
