"""The example: killed half way by its own script, gone on with, and judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples/batch/main.py"


def test_it_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE), "--rate", "1200"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "answered 24 of 24" in done.stdout
    assert "one line each: True" in done.stdout
    assert "right, says the scorer: 24 of 24" in done.stdout
