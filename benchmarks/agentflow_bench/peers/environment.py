"""A peer's virtual environment, in the user's cache folder: made once, by pip, within a time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from agentflow.local.store import folder

__all__ = ["PEERS", "Absent", "python_of", "versions"]

PEERS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "httpx": ("httpx", "aiohttp"),
        "prompto": ("prompto[openai]==0.2.1",),
        "litellm": ("litellm",),
        "curator": ("bespokelabs-curator",),
        "langgraph": ("langgraph", "langgraph-checkpoint-sqlite"),
    }
)
"""What each peer needs; the first is the peer itself."""

_MADE = ".versions"
_WHY = ".why"
_MINUTES = 8


class Absent(Exception):
    """A peer is not here; the message says why."""


def python_of(name: str) -> Path:
    """Return the interpreter of a peer's environment, which is made if it is not there.

    Raises `Absent` where it can't be made; that is tried once, until the environment's folder is removed.
    """
    home = folder().parent / "peers" / name
    python = home / "bin" / "python"
    if (home / _MADE).exists():
        return python
    if (home / _WHY).exists():
        raise Absent((home / _WHY).read_text())
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        _run([sys.executable, "-m", "venv", str(home)], 120)
        _run([str(python), "-m", "pip", "install", "-q", *PEERS[name]], _MINUTES * 60)
        frozen = _run([str(python), "-m", "pip", "freeze"], 120)
    except Absent as why:
        home.mkdir(parents=True, exist_ok=True)
        (home / _WHY).write_text(str(why))
        raise
    (home / _MADE).write_text(frozen)
    return python


def versions() -> dict[str, str]:
    """Return the version of each peer that is installed."""
    found = {}
    for name, (wanted, *_) in PEERS.items():
        package = wanted.partition("[")[0].partition("=")[0]
        listed = folder().parent / "peers" / name / _MADE
        for line in listed.read_text().splitlines() if listed.exists() else ():
            if line.startswith(f"{package}=="):
                found[package] = line.partition("==")[2]
    return found


def _run(command: list[str], seconds: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Absent(f"does not install here: not within {seconds / 60:.0f} minutes") from None
    except OSError as error:
        raise Absent(f"does not install here: {error.strerror}") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Absent(f"does not install here: {(errors or ['pip failed'])[-1].removeprefix('ERROR: ')}")
    return done.stdout
