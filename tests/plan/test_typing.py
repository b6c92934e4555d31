"""A step's type is what its function, agent, team or batch gives, and mypy refuses a wrong input."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("typed_plans.py")


def test_mypy_knows_what_steps_give() -> None:
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "protocols", "benchmarks"))
    done = subprocess.run(
        [Path(sys.executable).parent / "mypy", "--no-error-summary", FILE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    found = {int(line) for line in re.findall(rf"{FILE.name}:(\d+): error", done.stdout)}
    lines = FILE.read_text().splitlines()
    assert found == {n for n, line in enumerate(lines, 1) if line.endswith("# refused")}, done.stdout
    assert done.stdout.count(": error") == len(found)
