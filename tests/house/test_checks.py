"""Lint, format, types and layers: pytest is the only check that one has to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--cache-dir", ".import_linter_cache"],
    ],
    ids=["ruff", "format", "mypy", "layers"],
)
def test_checks(command: list[str]) -> None:
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "protocols", "benchmarks"))
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
