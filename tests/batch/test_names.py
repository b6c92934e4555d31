"""Names of files that are no text."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from agentflow.testing import LoopbackServer
from tests.batch.conftest import AGENTFLOW, Lab, asks


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
def test_a_name_that_is_no_utf_8(lab: Lab, server: LoopbackServer) -> None:
    name = os.fsdecode(b"quiz\xff.jsonl")
    lab.write(asks(1), name=name)
    command = [*AGENTFLOW, "batch", name]
    done = subprocess.run(command, cwd=lab.folder, env=dict(os.environ), capture_output=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert b"the name is no UTF-8" in done.stderr
    assert not server.requests
