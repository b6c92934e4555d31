"""A terminal in which a line is typed while text comes, and calls run, above it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from agentflow._cli.typed import TypedLines
from agentflow.runtime.clock import current_clock
from agentflow.runtime.ending import end_all

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.formatted_text import StyleAndTextTuples

__all__ = ["Screen"]

_REFRESH_S = 0.2  # how often the seconds of a running call are drawn anew


class Screen:
    """Lines that are typed, as an async iterator; what is typed stays while other things are shown.

    `running` returns what is under way, a line each. Ends with Ctrl-D or Ctrl-C. Use it as
    `async with Screen(running) as screen: async for line in screen`.
    """

    def __init__(self, running: Callable[[], list[str]]) -> None:
        self._running = running
        self.typed = TypedLines()
        self._partial = ""
        self._stack = ExitStack()
        self._reader: asyncio.Task[None] | None = None
        self._prompt: PromptSession[str] | None = None

    async def __aenter__(self) -> Screen:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.input import create_input
        from prompt_toolkit.patch_stdout import patch_stdout

        self._stack.enter_context(current_clock().external())
        self._stack.enter_context(patch_stdout())
        # Keys are read raw throughout, also between two prompts and while something is shown above one:
        # the terminal's own line editing would swallow a Ctrl-D that is pressed just then.
        keys = create_input()
        keys.cooked_mode = keys.raw_mode  # type: ignore[method-assign]
        self._stack.enter_context(keys.raw_mode())
        self._prompt = PromptSession(
            self._message, refresh_interval=_REFRESH_S, erase_when_done=True, input=keys
        )
        self._reader = asyncio.create_task(self._read(self._prompt), name="prompt")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_line()
        if self._reader is not None:
            await end_all((self._reader,))
        self._stack.close()

    def __aiter__(self) -> TypedLines:
        return self.typed

    def write(self, text: str) -> None:
        """Show text that comes in pieces; its last line stands above the prompt until it is whole."""
        from agentflow._cli.say import write_text

        whole, newline, self._partial = (self._partial + text).rpartition("\n")
        if newline:
            write_text(whole + newline)
        if self._prompt is not None:
            self._prompt.app.invalidate()

    def end_line(self) -> None:
        """End the line that is being written."""
        if self._partial:
            self.write("\n")

    async def _read(self, prompt: PromptSession[str]) -> None:
        from agentflow._cli.say import write_text

        try:
            while True:
                line = await prompt.prompt_async()
                self.end_line()
                write_text(f"> {line}\n")
                self.typed.put(line)
        except (EOFError, KeyboardInterrupt):
            self.typed.put(None)

    def _message(self) -> StyleAndTextTuples:
        """Return what stands before the cursor: the open line, what is under way, the prompt.

        (A toolbar is not shown by terminals that do not tell where their cursor is.)
        """
        shown: StyleAndTextTuples = [("", _printable(self._partial) + "\n")] if self._partial else []
        shown += [("ansibrightblack", _printable(line) + "\n") for line in self._running()]
        return [*shown, ("", "> ")]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
