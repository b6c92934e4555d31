"""Models that need no server: scripted replies, and rule-based planners."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from agentflow.endpoints.resolve import nearest
from agentflow.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentflow.endpoints.model import Model

__all__ = ["open_model"]

_MODELS = {"planner": "agentflow.builtin.planner:PlannerModel"}


def open_model(name: str) -> Model:
    """Return the model `builtin:NAME`. Raises `UserError` for a name that is unknown."""
    if name not in _MODELS:
        known = ", ".join(sorted(_MODELS))
        raise UserError(f"model `builtin:{name}` is unknown (known: {known}){nearest(name, _MODELS)}")
    module, _, cls = _MODELS[name].partition(":")
    make = getattr(importlib.import_module(module), cls)
    return cast("Callable[[], Model]", make)()
