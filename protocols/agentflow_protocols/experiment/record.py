"""A record: one prompt of an experiment, as its line says it, and who it is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from agentflow_protocols.chat.messages import Json

__all__ = [
    "ADDED",
    "KEYS",
    "Record",
    "Values",
    "canonical",
    "carried",
    "identity",
    "is_output",
    "split",
    "without_nan",
]

Values: TypeAlias = dict[str, Json]

ADDED: tuple[str, ...] = (
    "error",
    "usage",
    "cost",
    "finish_reason",
    "latency_s",
    "attempts",
    "endpoint",
    "timestamp_received",
)
"""What agentflow adds to a completed record beyond what prompto writes."""

KEYS: tuple[str, ...] = (
    *("prompt", "api", "model_name", "id", "parameters", "group", "mode", "safety_filter"),
    *("expected_response", "multimedia"),
)
"""The keys of a prompt that have a meaning."""

_REPLACED = frozenset({"timestamp_sent", "response", "match", "includes"})
_REPLACED_BY_API: Mapping[str, frozenset[str]] = {
    "gemini": _REPLACED | {"safety_attributes"},
    "vertexai": _REPLACED | {"safety_attributes"},
    "huggingface-tgi": _REPLACED | {"model"},
    "quart": _REPLACED | {"model"},
}
_KNOWN = _REPLACED | set(ADDED)
_KNOWN_BY_API = {api: names | set(ADDED) for api, names in _REPLACED_BY_API.items()}


@dataclass(slots=True)
class Record:
    """One prompt. `line` counts from 1, `values` are the line's keys in order, `notes` say
    what was repaired in reading it."""

    line: int
    values: Values
    notes: tuple[str, ...] = ()

    @property
    def api(self) -> str:
        """The api's name; empty where the record has none."""
        value = self.values.get("api")
        return value if isinstance(value, str) else ""

    @property
    def model(self) -> str:
        """The model's name; empty where the record has none."""
        value = self.values.get("model_name")
        return value if isinstance(value, str) else ""

    @property
    def group(self) -> str | None:
        """The group's name, None without one."""
        value = self.values.get("group")
        return None if value is None or value == "" else str(value)

    @property
    def parameters(self) -> Values:
        """The parameters, empty where the record has none."""
        value = self.values.get("parameters")
        return {str(name): item for name, item in value.items()} if isinstance(value, Mapping) else {}

    @property
    def id(self) -> Json:
        """The record's `id`, of any kind; None without one."""
        return self.values.get("id")

    @property
    def hash(self) -> str:
        """Who this prompt is: 32 hex digits, the same for any order of keys and after a run."""
        return blake2b(canonical(identity(self.values)).encode(), digest_size=16).hexdigest()


def canonical(value: Json) -> str:
    """Return the one JSON text of `value`: keys sorted, no spaces, ASCII, no NaN."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(without_nan(value), sort_keys=True, separators=(",", ":"))


def without_nan(value: Json) -> Json:
    """Return `value` as plain lists and dicts, with null for NaN and the infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): without_nan(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_nan(item) for item in value]
    return value


def is_output(values: Mapping[str, Json]) -> bool:
    """Return whether `values` are a completed record: asked, and answered or failed."""
    return "response" in values and ("timestamp_sent" in values or isinstance(values.get("error"), Mapping))


def split(values: Mapping[str, Json], output: bool) -> tuple[Values, Values]:
    """Return the keys of the input, and those that a run has added, each in order.

    `timestamp_sent` and `response` are always a run's. Where `values` are an `output`, so is all
    after `timestamp_sent` but the keys of prompts; without it, known names after `response` are.
    """
    first = "timestamp_sent" if "timestamp_sent" in values else "response"
    names = _known(values)
    kept: Values = {}
    added: Values = {}
    passed = any_name = False
    for name, value in values.items():
        if output and name == first:
            passed, any_name = True, name == "timestamp_sent" and "prompt" in kept
        taken = name in ("timestamp_sent", "response") or (
            passed and (name in names or (any_name and name not in KEYS))
        )
        (added if taken else kept)[name] = value
    return kept, added


def carried(added: Values, values: Mapping[str, Json]) -> Values:
    """Return what of an earlier run's `added` to `values` neither prompto nor agentflow writes."""
    names = _known(values)
    return {name: value for name, value in added.items() if name not in names}


def identity(values: Mapping[str, Json]) -> Values:
    """Return the keys that make a prompt what it is: those of the input that no run replaces."""
    kept, _ = split(values, is_output(values))
    replaced = _replaced(values)
    return {name: value for name, value in kept.items() if name not in replaced}


def _known(values: Mapping[str, Json]) -> frozenset[str]:
    """Return the names that prompto or agentflow add to a record of its api."""
    return _KNOWN_BY_API.get(str(values.get("api")), _KNOWN)


def _replaced(values: Mapping[str, Json]) -> frozenset[str]:
    return _REPLACED_BY_API.get(str(values.get("api")), _REPLACED)
