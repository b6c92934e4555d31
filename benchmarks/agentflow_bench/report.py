"""What a suite found, as a table, as Markdown, as JSON; and two of them compared."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agentflow._cli.say import as_json as as_json_text
from agentflow.errors import UserError
from agentflow_bench.measure import Figure, Suite
from agentflow_bench.runner import Outcome

__all__ = ["as_json", "as_markdown", "as_table", "command_line", "compare", "environment", "write_results"]

_PACKAGES = ("agentflow-async", "pydantic", "aiohttp", "httpx2", "typer")
_VERDICT = {True: "kept", False: "MISSED"}


def environment() -> dict[str, str | int]:
    """Return what the figures were measured on: Python, packages, machine, commit."""
    found: dict[str, str | int] = {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = _commit()
    if commit:
        found["commit"] = commit
    return found


def as_json(suite: Suite, outcomes: Sequence[Outcome], command: str) -> dict[str, object]:
    """Return the whole result as JSON."""
    return {
        "suite": suite.name,
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "ok": all(outcome.ok for outcome in outcomes),
        "measures": [
            {
                "name": outcome.measure.name,
                "what": outcome.measure.what,
                "seconds": round(outcome.seconds, 3),
                "skipped": outcome.skipped,
                "error": outcome.error,
                "figures": [_figure_json(figure) for figure in outcome.figures],
            }
            for outcome in outcomes
        ],
    }


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Return the figures as aligned columns of text."""
    return _columns([("measure", "figure", "value", "bar", ""), *_rows(outcomes)])


def as_markdown(result: dict[str, object], outcomes: Sequence[Outcome]) -> str:
    """Return a report: how it was measured, on what, and every figure with its bar."""
    about = result["environment"]
    assert isinstance(about, dict)
    lines = [
        f"# {result['suite']}",
        "",
        f"`{result['command']}`, {result['date']}; " + ", ".join(f"{k} {v}" for k, v in about.items()) + ".",
        "",
        "| measure | figure | value | bar | |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in _rows(outcomes)),
        "",
        *(f"- **{outcome.measure.name}**: {outcome.measure.what}" for outcome in outcomes),
        "",
    ]
    return "\n".join(lines)


def write_results(folder: Path, result: dict[str, object], outcomes: Sequence[Outcome]) -> list[Path]:
    """Write `SUITE.md` and `SUITE.json` into `folder` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, text in (
        ("md", as_markdown(result, outcomes)),
        ("json", json.dumps(result, indent=2, ensure_ascii=False) + "\n"),
    ):
        path = folder / f"{result['suite']}.{ending}"
        path.write_text(text)
        written.append(path)
    return written


def compare(before: Path, after: Path, *, as_data: bool = False) -> str:
    """Return a table of the figures of two JSON results and how much each changed, or that as JSON.

    Raises `UserError` for a file that is none.
    """
    old, new = _figures(before), _figures(after)
    if as_data:
        keys = dict.fromkeys([*old, *new])
        return as_json_text(
            [{"measure": k[0], "figure": k[1], "before": old.get(k), "after": new.get(k)} for k in keys]
        )
    rows = [("measure", "figure", before.stem, after.stem, "change")]
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        change = ""
        if a and b is not None and math.isfinite(a) and math.isfinite(b):
            change = f"{(b / a - 1) * 100:+.1f} %"
        rows.append((*key, "-" if a is None else f"{a:.4g}", "-" if b is None else f"{b:.4g}", change))
    return _columns(rows)


def command_line() -> str:
    """Return the command that this process runs, as one would type it; of a folder elsewhere, its name."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv]
    return shlex.join(words)


def _figures(path: Path) -> dict[tuple[str, str], float]:
    if path.suffix == ".jsonl":
        raise UserError(f"{path}: rows are compared with rows, two .jsonl files of one bench")
    try:
        data = json.loads(path.read_text("utf-8"))
        if isinstance(data, dict) and "measures" not in data and "bench" in data:
            raise UserError(f"{path}: trials are compared by their rows, in {path.stem}.jsonl beside it")
        return {
            (measure["name"], figure["name"]): float(figure["value"])
            for measure in data["measures"]
            for figure in measure["figures"]
        }
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: no result of `agentflow bench`") from None


def _figure_json(figure: Figure) -> dict[str, object]:
    bar = None if figure.bar is None else {"sense": figure.bar.sense, "limit": figure.bar.limit}
    return {
        "name": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "bar": bar,
        "met": figure.met,
        "note": figure.note,
    }


def _rows(outcomes: Iterable[Outcome]) -> Iterable[tuple[str, str, str, str, str]]:
    for outcome in outcomes:
        name = outcome.measure.name
        if outcome.skipped is not None:
            yield name, "", "", "", f"skipped: {outcome.skipped}"
        if outcome.error is not None:
            yield name, "", "", "", f"FAILED: {outcome.error}"
        for figure in outcome.figures:
            verdict = "" if figure.bar is None else _VERDICT[figure.met]
            told = ", ".join(text for text in (verdict, figure.note) if text)
            value = f"{figure.value:.4g} {figure.unit}".strip()
            yield name, figure.name, value, str(figure.bar or ""), told


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else ""
