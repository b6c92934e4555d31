"""What a command says: data on stdout, everything else on stderr, one line each."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping

__all__ = [
    "as_json",
    "as_text",
    "error_line",
    "fancy",
    "note",
    "print_data",
    "print_error",
    "seconds_text",
    "table",
    "write_text",
]


def print_data(text: str) -> None:
    """Print data on stdout, and see it off: a broken pipe must show here."""
    write_text(text if text.endswith("\n") else text + "\n")


def write_text(text: str) -> None:
    """Write text on stdout at once, and never fail for its characters.

    What the encoding lacks is escaped. A terminal gets no control codes from data; a
    pipe gets the data as it is.
    """
    out = sys.stdout
    if out.isatty():
        text = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding))
    out.flush()


def as_json(value: object) -> str:
    """Return `value` as indented JSON; a number that JSON lacks (NaN) is null."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, indent=2, default=str)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(child) for key, child in value.items()}
    return [_finite(child) for child in value] if isinstance(value, list | tuple) else value


def as_text(value: object) -> str:
    """Return an output for a person: text as it is, else JSON."""
    return value if isinstance(value, str) else as_json(value)


def note(text: str, *, quiet: bool = False) -> None:
    """Print progress or a remark on stderr."""
    if not quiet:
        sys.stderr.write(text if text.endswith("\n") else text + "\n")
        sys.stderr.flush()


def print_error(text: str) -> None:
    """Print an error on stderr as a single line, without control codes."""
    note(f"error: {error_line(text)}")


def seconds_text(seconds: float) -> str:
    """Return seconds for a person: `3.2 s`, or `2 h 5 min` for long ones."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, _ = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def error_line(text: str) -> str:
    """Return `text` as one printable line."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in line)


def fancy(no_color: bool) -> bool:
    """Return whether stderr is a terminal on which to draw."""
    plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return sys.stderr.isatty() and not plain


def table(rows: Iterable[Mapping[str, object]], columns: Iterable[str]) -> str:
    """Return rows as aligned columns of text under their names."""
    names = list(columns)
    lines = [[name.upper() for name in names]]
    lines += [
        [error_line(str(row.get(name, "") if row.get(name) is not None else "-")) for name in names]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
