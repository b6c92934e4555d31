"""Timing two things against each other on a machine that other work shares.

Both are run in turn, in one process, several times; the ratio is the median of the
ratios of neighbours, which a slow minute of the machine does not move much.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

__all__ = ["Contest", "interleave", "process_seconds"]


@dataclass(frozen=True, slots=True)
class Contest:
    """Seconds of `ours` and of `theirs` (medians), and the median ratio of the two."""

    ours: float
    theirs: float
    ratio: float


def interleave(ours: Callable[[], float], theirs: Callable[[], float], repeats: int) -> Contest:
    """Run both `repeats` times in turn; each returns its seconds. One first turn is not counted."""
    ours(), theirs()
    pairs = [(ours(), theirs()) if i % 2 else (theirs(), ours())[::-1] for i in range(repeats)]
    return Contest(median(a for a, _ in pairs), median(b for _, b in pairs), median(a / b for a, b in pairs))


def process_seconds(code: str) -> float:
    """Return the wall seconds that a new Python process takes for `code`.

    Raises `RuntimeError` with the last line that a failing one printed.
    """
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise RuntimeError(f"exit code {done.returncode}: {lines[-1]}")
    return seconds
