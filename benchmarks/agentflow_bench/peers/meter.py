"""Runs a command's function in this process and tells what it took: `meter.py OUT MODULE:FUNCTION ARGS…`.

OUT becomes `{"cpu_s", "import_s", "peak_mb", "wall_s", "status"}`: processor seconds of the
whole process, and those until the module was there; the peak of its memory. Needs nothing but
Python, so that any interpreter can run it.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
import resource
import sys
import time
from pathlib import Path

__all__ = ["main", "peak_mb", "used"]


def used() -> float:
    """Return the processor seconds of this process until now."""
    taken = resource.getrusage(resource.RUSAGE_SELF)
    return taken.ru_utime + taken.ru_stime


def peak_mb(line: str = "VmHWM") -> float:
    """Return the peak of this process's memory in MB, or, of the line `VmRSS`, what it has now."""
    # Not ru_maxrss, which keeps the peak of the process that this one was forked from.
    found = re.search(rf"{line}:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1.024 / 1000 if found else 0.0


def main() -> int:
    """Run the command, and write the figures whatever comes of it."""
    out, target, *sys.argv[1:] = sys.argv[1:]
    module, _, name = target.partition(":")
    sys.path[:1] = []  # this file's folder
    status = 70  # unless it ends by itself
    began, imported = time.monotonic(), 0.0
    try:
        command = getattr(importlib.import_module(module), name)
        imported = used()
        found = command()
        status = int((asyncio.run(found) if inspect.iscoroutine(found) else found) or 0)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        figures = {
            "cpu_s": used(),
            "import_s": imported,
            "peak_mb": peak_mb(),
            "wall_s": time.monotonic() - began,
            "status": status,
        }
        Path(out).write_text(json.dumps(figures))
    return status


if __name__ == "__main__":
    sys.exit(main())
