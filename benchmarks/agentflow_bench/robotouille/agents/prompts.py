"""What models are told: the kitchen's rules, and what each agent's replies must look like (`prompts.txt`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["prompt", "user_text"]

_FILE = Path(__file__).with_name("prompts.txt")


def prompt(name: str) -> str:
    """Return a text of `prompts.txt`: `role`, `rules`, `recipes`, `actions`, `reflect`, or a format."""
    return _texts()[name]


def user_text(kind: str, *, complete: bool = False) -> str:
    """Return what a model is told before the first observation.

    `complete` asks for a whole plan in each reasoning, of which the first action is done.
    """
    names = [kind, *(["complete"] if complete else []), "rules", "recipes"]
    if kind in ("io", "io-cot"):
        names.append("actions")
    return "\n\n".join(map(prompt, names))


@cache
def _texts() -> Mapping[str, str]:
    parts = re.split(r"^=== (.+)\n", _FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
