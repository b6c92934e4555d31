"""The tools of the release check: programs that look at a folder, and what makes and removes it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from agentflow import tool

_CODE = """\
def add(a: int, b: int) -> int:
{left}    return a {sign} b
"""
_TEST = """\
import unittest

from adder import add


class Add(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)
"""


def make_project(version: str, broken: bool = False) -> str:
    """Make a small project in a new folder, and return the folder.

    Args:
        version: The version that its changelog tells of.
        broken: Whether its test fails, and its changelog is of an older version.
    """
    folder = Path(tempfile.mkdtemp(prefix="release-"))
    sign, left = ("-", "    # breakpoint()\n") if broken else ("+", "")
    (folder / "adder.py").write_text(_CODE.format(sign=sign, left=left))
    (folder / "test_adder.py").write_text(_TEST)
    (folder / "CHANGELOG.md").write_text(f"# {'0.9.0' if broken else version}\n\n- It adds.\n")
    return str(folder)


def remove_project(folder: str) -> str:
    """Remove a folder that `make_project` made."""
    if not Path(folder).name.startswith("release-") or not (Path(folder) / "adder.py").is_file():
        raise ValueError(f"{folder} is no folder of make_project")
    shutil.rmtree(folder)
    return folder


run_tests = tool.process(
    [sys.executable, "-B", "-m", "unittest", "discover", "-s", "{folder}"],
    name="run_tests",
    description="Run the tests of a project. Fails when one of them does.",
    parameters={"folder": "The project's folder."},
)
find_breakpoints = tool.process(
    ["grep", "-rn", "-F", "--include=*.py", "breakpoint()", "{folder}"],
    name="find_breakpoints",
    description="List breakpoints that were left in a project's code.",
    parameters={"folder": "The project's folder."},
    ok_exit=(0, 1),  # 1: there is nothing
)
find_version = tool.process(
    ["grep", "-n", "-F", "# {version}", "{folder}/CHANGELOG.md"],
    name="find_version",
    description="Find a version in a project's changelog. Fails when it is not there.",
    parameters={"folder": "The project's folder.", "version": "Such as 1.2.0."},
)
_pack = tool.process(
    ["tar", "-cf", "{folder}/release.tar", "-C", "{folder}", "adder.py", "CHANGELOG.md"],
    name="pack",
    description="Pack a project into an archive.",
    parameters={"folder": "The project's folder."},
)


async def pack(folder: str) -> str:
    """Pack a project into an archive, and return the archive.

    Args:
        folder: The project's folder.
    """
    await _pack(None, {"folder": folder})
    return f"{folder}/release.tar"


checksum = tool.process(
    ["cksum", "{file}"],
    name="checksum",
    description="Return the checksum of a file.",
    parameters={"file": "The file."},
)
