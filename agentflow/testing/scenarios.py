"""Replies of the server's command line, made from the request."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from agentflow.builtin.scripted import ScriptedCall
from agentflow.endpoints.resolve import nearest
from agentflow.errors import UserError
from agentflow.testing.answers import Answer
from agentflow_protocols.chat.messages import Json

__all__ = ["SCENARIOS", "scenario", "text", "tool_then_answer"]

Scenario = Callable[[Mapping[str, Json]], Answer]


def text(body: Mapping[str, Json]) -> Answer:
    """Answer with a sentence."""
    return "All is done, and everything went as it should."


def tool_then_answer(body: Mapping[str, Json]) -> Answer:
    """Call the request's first tool with `{}`; after its result, answer with a sentence."""
    messages = body.get("messages")
    tools = body.get("tools")
    last = messages[-1] if isinstance(messages, Sequence) and messages else None
    answered = isinstance(last, Mapping) and last.get("role") == "tool"
    first = tools[0] if isinstance(tools, Sequence) and tools else None
    if answered or not isinstance(first, Mapping) or not isinstance(first.get("function"), Mapping):
        return text(body)
    function = cast("Mapping[str, Json]", first["function"])
    return ScriptedCall(str(function.get("name")))


SCENARIOS: Mapping[str, Scenario] = {"text": text, "tool-then-answer": tool_then_answer}


def scenario(name: str) -> Scenario:
    """Return a built-in scenario, or the function that `module:function` names.

    Raises `UserError` when there is none.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    module, colon, function = name.partition(":")
    if not colon:
        known = ", ".join(sorted(SCENARIOS))
        raise UserError(
            f"no scenario `{name}` (known: {known}, or module:function){nearest(name, SCENARIOS)}"
        )
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"scenario `{name}`: {error}") from None
    return cast("Scenario", found)
