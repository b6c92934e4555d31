"""The sources of the research brief: text files in a folder."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("research") / "sources"


def list_sources() -> list[str]:
    """Return the names of all sources."""
    return sorted(file.stem for file in _FOLDER.glob("*.txt"))


def read_source(name: str) -> str:
    """Return the text of a source.

    Args:
        name: Its name, as `list_sources` tells it.
    """
    if name not in list_sources():
        raise ValueError(f"no source is called {name!r}")
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
