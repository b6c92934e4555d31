"""How far trials are, in one line on stderr: redrawn in a terminal, now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time

from agentflow._cli.say import error_line
from agentflow_bench.trials.row import Row
from agentflow_bench.trials.summary import Tally

__all__ = ["Progress"]

_FAULTS = 3  # that are told; the rows have all
_PLAIN_S = 10.0  # between two lines where there is no terminal


class Progress:
    """Shows how many are done, how many were right, and what was spent."""

    def __init__(self, count: int, *, label: str = "", quiet: bool = False) -> None:
        self.tally = Tally()
        self._count = count
        self._label = f"{label}: " if label else ""
        self._quiet = quiet
        self._drawn = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last = time.monotonic()

    def take(self, row: Row) -> None:
        """Take a row in, and show where things stand now and then."""
        self.tally.take(row)
        if row.error is not None and self.tally.failed <= _FAULTS:
            self._say(f"{row.id}: {row.error}")
        now = time.monotonic()
        if now - self._last >= (0.1 if self._drawn else _PLAIN_S):
            self._last = now
            self._show()

    def end(self) -> None:
        """Show the last state."""
        self._show()
        if self._drawn and not self._quiet:
            sys.stderr.write("\n")

    def _say(self, line: str) -> None:
        start = "\r\x1b[2K" if self._drawn else ""
        sys.stderr.write(f"{start}{error_line(line)}\n")

    def _show(self) -> None:
        if self._quiet:
            return
        tally = self.tally
        share = "nothing answered yet" if tally.share is None else f"{tally.share:.1%} right"
        parts = [f"{tally.n:,} of {self._count:,}", share, f"{tally.tokens:,} tokens"]
        if tally.cost:
            parts.append(f"${tally.cost:.4f}")
        if tally.failed:
            parts.append(f"{tally.failed} failed")
        line = self._label + " · ".join(parts)
        sys.stderr.write(f"\r\x1b[2K{line}" if self._drawn else f"{line}\n")
        sys.stderr.flush()
