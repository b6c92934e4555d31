"""What is wrong with the functions and templates of a `dual:` section, told without running any."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agentflow.workflow.modules import fault
from agentflow.workflow.templates import Names, template_faults
from agentflow_protocols.workflow import Parsed, Problem

__all__ = ["BRIEF", "dual_faults"]

BRIEF = frozenset({"history", "messages", "rebase", "seen", "slots", "tick", "why"})
"""What `brief.x` may be in the prompt of a slow process."""


def dual_faults(parsed: Parsed, names: Names, folder_of: Callable[..., Path]) -> Iterator[Problem]:
    """Yield what is wrong with the functions and templates of a file's `dual:`, without running any."""
    use = parsed.merged.get("dual")
    if not isinstance(use, dict):
        return
    for place, name in _functions(use):
        path = ("dual", *place)
        found = fault(name, folder_of(parsed, *path)) if name.count(":") == 1 else None
        if found:
            yield parsed.report(path, found)
    for path, value in _templates(use):
        known = {**names, "brief": BRIEF} if path[-1] == "prompt" else names
        for message, find in template_faults(value, known):
            yield parsed.report(("dual", *path), message, find=find)


def _functions(use: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name in ("environment", "fast", "events", "state", "draw"):
        if isinstance(value := use.get(name), str):
            yield (name,), value
    slow = use.get("slow")
    for section, name in (("stale", "keys"), ("policy", "allowed")):
        body = use.get(section)
        if isinstance(body, dict) and isinstance(value := body.get(name), str):
            yield (section, name), value
    for name, body in slow.items() if isinstance(slow, dict) else ():
        if isinstance(body, dict) and isinstance(value := body.get("function"), str):
            yield ("slow", str(name), "function"), value


def _templates(use: Mapping[str, object]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(seed := use.get("seed"), str):
        yield ("seed",), seed
    given, slow = use.get("with"), use.get("slow")
    for name, value in given.items() if isinstance(given, dict) else ():
        if isinstance(value, str):
            yield ("with", str(name)), value
    for name, body in slow.items() if isinstance(slow, dict) else ():
        if isinstance(body, dict) and isinstance(prompt := body.get("prompt"), str):
            yield ("slow", str(name), "prompt"), prompt
