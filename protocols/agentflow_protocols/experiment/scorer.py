"""Scorers: what an answer is worth, by the record's own `expected_response`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.problem import ExperimentError, kind_of, nearest, shown

__all__ = ["SCORERS", "Scorer", "scorer"]

Scorer = Callable[[Mapping[str, Json]], bool]
"""Takes a completed record and returns the value of the scorer's key.

Raises ExperimentError for a record without what it needs."""


def _match(values: Mapping[str, Json]) -> bool:
    response, expected = _both(values, "match")
    return response == expected


def _includes(values: Mapping[str, Json]) -> bool:
    response, expected = _both(values, "includes")
    if isinstance(response, list | tuple):
        return expected in response
    if not isinstance(response, str):
        return False
    if not isinstance(expected, str):
        raise ExperimentError(
            f"`includes` needs text as `expected_response`, where {kind_of(expected)} stands"
        )
    return expected in response


def _both(values: Mapping[str, Json], name: str) -> tuple[Json, Json]:
    if values.get("expected_response") is None:
        raise ExperimentError(f"`{name}` needs the key `expected_response`, which the record has not")
    return values.get("response"), values["expected_response"]


SCORERS: Mapping[str, Scorer] = MappingProxyType({"match": _match, "includes": _includes})
"""The scorers by name, which is also the key that they write."""


def scorer(name: str) -> Scorer:
    """Return the scorer called `name`. Raises ExperimentError for an unknown one."""
    if name not in SCORERS:
        raise ExperimentError(
            f"no scorer {shown(name)}{nearest(name, SCORERS)}; there are {', '.join(SCORERS)}"
        )
    return SCORERS[name]
