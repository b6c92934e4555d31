"""A terminal of our own: what a command draws in it, and what it prints."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

__all__ = ["in_terminal"]


def in_terminal(command: Sequence[str], folder: Path) -> tuple[str, str]:
    """Run a command whose stderr is a terminal of 30 lines; return what is drawn there, and its stdout."""
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        environment.pop(name, None)
    shown = b""
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=secondary, text=True
    ) as process:
        os.close(secondary)
        try:
            while piece := os.read(primary, 65536):
                shown += piece
        except OSError:
            pass  # its side was closed: it has ended
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait() == 0
    os.close(primary)
    return shown.decode(errors="replace"), printed
