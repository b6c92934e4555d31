"""A co-scientist that is killed (kill -9) and goes on: nothing that has ended is asked for twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def killed(folder: Path, *kills: int) -> list[tuple[Counter[str], str]]:
    """Return, for each kill, how often each question was answered, and the report."""
    command = [sys.executable, str(HERE / "killed_lab.py"), str(folder), *map(str, kills)]
    paths = [str(HERE.parent), *(path for path in sys.path if path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(Counter(line["asked"]), line["report"]) for line in lines]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_killed_at_a_call_it_ends_with_the_report_of_a_run_that_nobody_killed(tmp_path: Path) -> None:
    (usual, report), *others = killed(tmp_path, 0, 9, 31, 90)
    assert "## Overview" in report
    for asked, told in others:
        assert told == report
        assert not usual - asked
        # What was being asked is asked again: one call, or two assumptions that are checked side by side.
        assert (asked - usual).total() <= 2
