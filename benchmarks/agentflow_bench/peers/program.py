"""A child process whose time and memory are taken: a peer's command, a driver of ours, agentflow's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentflow_bench.peers.environment import Absent, python_of

__all__ = ["Metered", "drive", "figures_of", "metered", "plain_environment"]

_HERE = Path(__file__).parent
# The only network of a measure is this machine's own: anything else is refused at once.
_OFFLINE = {
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
    "TELEMETRY_ENABLED": "false",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "CURATOR_VIEWER": "0",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TQDM_DISABLE": "1",
    "OPENAI_API_KEY": "sk-none",
}


@dataclass(frozen=True, slots=True)
class Metered:
    """What a command took: processor and wall seconds, the peak of memory; and what it said."""

    cpu_s: float
    import_s: float
    peak_mb: float
    wall_s: float
    status: int
    out: str


def plain_environment(url: str, **more: str) -> dict[str, str]:
    """Return the variables of a child process whose OpenAI is at `url`."""
    kept = {name: value for name, value in os.environ.items() if not _is_left_out(name)}
    return {**kept, **_OFFLINE, "OPENAI_BASE_URL": url, **more}


def metered(
    target: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    python: Path | None = None,
    cwd: Path | None = None,
    timeout: float = 300.0,
) -> Metered:
    """Run `MODULE:FUNCTION` as a command under the meter; `python` is this interpreter, or a peer's.

    Raises `RuntimeError` when it takes longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "meter.json"
        command = [str(python or sys.executable), str(_HERE / "meter.py"), str(figures), target, *arguments]
        done = _run(command, environment, cwd, timeout)
        if not figures.exists():
            raise RuntimeError(f"{target}: exit code {done.returncode}: {_last(done.stderr)}")
        found = json.loads(figures.read_text())
    if found["status"] not in (0, 1):
        raise RuntimeError(f"{target}: exit code {found['status']}: {_last(done.stderr)}")
    return Metered(**found, out=done.stdout)


def drive(
    peer: str,
    driver: str,
    arguments: Sequence[object],
    environment: Mapping[str, str],
    timeout: float = 300.0,
) -> dict[str, float]:
    """Run one of our drivers with a peer's interpreter and return the figures that it prints.

    Raises `Absent` when the peer is not here, or does not run here.
    """
    command = [str(python_of(peer)), str(_HERE / f"{driver}.py"), *map(str, arguments)]
    try:
        return figures_of(command, environment, timeout)
    except RuntimeError as error:
        raise Absent(f"does not run here: {error}") from None


def figures_of(
    command: list[str], environment: Mapping[str, str], timeout: float = 300.0
) -> dict[str, float]:
    """Run a command whose last line on stdout is JSON, and return that. Raises `RuntimeError`."""
    with tempfile.TemporaryDirectory() as home:
        done = _run(command, {**environment, "HOME": home}, Path(home), timeout)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(_last(done.stderr))
    figures: dict[str, float] = json.loads(lines[-1])
    return figures


def _run(
    command: list[str], environment: Mapping[str, str], cwd: Path | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{Path(command[1]).name} {command[2]}: not within {timeout:.0f} s") from None


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


def _is_left_out(name: str) -> bool:
    upper = name.upper()
    # A command that compiles its modules anew each time is not what a user has.
    return upper == "PYTHONDONTWRITEBYTECODE" or upper.endswith(
        ("_PROXY", "_BASE_URL", "_API_KEY", "_ENDPOINT")
    )
