"""Reading what a model answered: a plan, or reasoning and an action."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["FINISH", "Answer", "read_actions", "read_plan", "read_react", "read_reflection"]

FINISH = "Finish"

_REASONING = re.compile(r"^\s*Reasoning:", re.MULTILINE)
_ACTION = re.compile(r"^[ \t]*Action:(.*)$", re.MULTILINE)
_REFLECTION = re.compile(r"^\s*Reflection:(.*)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """Reasoning and an action; `fault` says what is missing."""

    reasoning: str = ""
    action: str = ""
    fault: str | None = None


def read_react(text: str) -> Answer:
    """Return what a reply says: its reasoning, and the first line that begins with `Action:`."""
    reasoning = _REASONING.search(text)
    if reasoning is None:
        return Answer(fault="The reasoning is malformed: it must begin with `Reasoning:`.")
    action = _ACTION.search(text, reasoning.end())
    if action is None or not action[1].strip():
        return Answer(fault="The action is malformed: a line must begin with `Action:` and name one.")
    return Answer(text[reasoning.end() : action.start()].strip(), action[1].strip())


def read_plan(text: str) -> list[str] | None:
    """Return the lines after `Plan:`, blank ones too; None where there is none."""
    _, found, rest = text.partition("Plan:")
    first, _, more = rest.partition("\n")
    if not found or not rest.strip():
        return None
    return [line.strip() for line in ([first] if first.strip() else []) + more.split("\n")]


def read_actions(text: str) -> list[str] | None:
    """Return what stands in the lines that begin with `Action:`, None where there are none."""
    return [found[1].strip() for found in _ACTION.finditer(text)] or None


def read_reflection(text: str) -> str:
    """Return what comes after `Reflection:`, or all where nothing is called so."""
    found = _REFLECTION.search(text)
    return (found[1] if found else text).strip()
