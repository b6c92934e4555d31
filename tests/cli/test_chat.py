"""`agentflow chat` on a real terminal: typing, calls in the background, interrupts."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKFLOW = """\
agentflow: 1
name: kitchen
endpoints: {main: {model: "scripted:replies.yaml"}}
tools: {boil: {python: "tools:boil"}}
agents: {cook: {endpoint: main, tools: [boil]}}
agent: {use: cook, input: "Cook."}
"""
TOOLS = """\
import asyncio


async def boil(pot: str) -> str:
    await asyncio.sleep(30)
    return f"{pot} boils"
"""
REPLIES = """\
- {when: "Only one", text: "Only one, then.", calls: []}
- {when: "Soup", calls: [{name: boil, arguments: {pot: big}}, {name: boil, arguments: {pot: small}}]}
- {when: "Hello", text: "Good day."}
"""
ENV = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(sys.path),
    "PYTHONUNBUFFERED": "1",
    "TERM": "xterm",
    "COLUMNS": "100",
    "LINES": "30",
    "PROMPT_TOOLKIT_NO_CPR": "1",
}
COMMAND = [sys.executable, "-c", "from agentflow._cli import main; main()", "chat", "w.yaml"]


class Terminal:
    """A process on a terminal of its own, and what it has shown."""

    def __init__(self, folder: Path) -> None:
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            COMMAND, cwd=folder, env=ENV, stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)
        self.raw = b""

    def type(self, text: str) -> None:
        os.write(self.main, text.encode())

    def until(self, pattern: str, seconds: float = 20) -> str:
        """Read until what was shown matches, and return it without control codes."""
        ends = time.monotonic() + seconds
        while not re.search(pattern, self.text, re.DOTALL):
            left = ends - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.text[-2000:]!r}"
            if select.select([self.main], [], [], left)[0]:
                try:
                    self.raw += os.read(self.main, 65536)
                except OSError:
                    ends = 0
        return self.text

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r", "", self.raw.decode("utf-8", "replace"))

    def close(self) -> int:
        try:
            code = self.process.wait(timeout=20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            os.close(self.main)
        return code


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "w.yaml").write_text(WORKFLOW)
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "replies.yaml").write_text(REPLIES)
    made = Terminal(tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_calls_are_shown_while_a_person_types_and_a_line_interrupts(terminal: Terminal) -> None:
    terminal.until(r"\n>")
    terminal.type("Hello\r")
    terminal.until(r"Good day\.")
    terminal.type("Soup\r")
    terminal.until(r"boil\(big\)  +\d.*boil\(small\)  +\d")  # under the prompt, with their seconds
    terminal.type("Only o")
    before = len(terminal.raw)
    terminal.until(r"Only o")
    terminal.type("ne pot.\r")
    terminal.until(r"Only one, then\.")
    assert len(terminal.raw) > before
    terminal.type("/quit\r")
    assert terminal.close() == 0


def test_ctrl_d_ends_the_talk_and_its_calls(terminal: Terminal) -> None:
    terminal.until(r"\n>")
    terminal.type("Soup\r")
    terminal.until(r"boil\(big\)")
    terminal.type("\x04")
    assert terminal.close() == 0
