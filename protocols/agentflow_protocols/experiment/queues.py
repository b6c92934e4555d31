"""Queues and their rates: which prompts share a limit of queries a minute. prompto's rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from agentflow_protocols.experiment.problem import kind_of, nearest, shown
from agentflow_protocols.experiment.record import Record

__all__ = ["queue_of", "rate_of", "rate_problems"]


def queue_of(record: Record, *, parallel: bool, rates: Mapping[str, object]) -> str:
    """Return the key of the queue that `record` waits in; empty for the one queue without `parallel`.

    The key is the group, else the api; where `rates` have a rate for the model there,
    `KEY-MODEL`.
    """
    if not parallel:
        return ""
    key = record.group or record.api
    inner = rates.get(key)
    return f"{key}-{record.model}" if isinstance(inner, Mapping) and record.model in inner else key


def rate_of(queue: str, rates: Mapping[str, object], most: float | None) -> float | None:
    """Return the queries a minute of a queue; `most` where `rates` say none. None: no limit is given."""
    found = most
    for key, value in rates.items() if queue else ():
        if isinstance(value, Mapping):
            for model, rate in value.items():
                if queue == (key if model == "default" else f"{key}-{model}") and _is_rate(rate):
                    found = float(rate)
        elif key == queue and _is_rate(value):
            found = float(value)  # type: ignore[arg-type]
    return found


def rate_problems(rates: object, seen: Collection[tuple[str | None, str, str]]) -> list[str]:
    """Return what is wrong with rates: other kinds, rates that are not above 0, keys that fit nothing.

    `seen` are (group, api, model) of the prompts; without any, keys are not looked at.
    """
    if not isinstance(rates, Mapping):
        return [f"the rates are {kind_of(rates)}; an object must stand there"]
    models: dict[str, set[str]] = {}
    for group, api, model in seen:
        models.setdefault(group or api, set()).add(model)
    found: list[str] = []
    for key, value in rates.items():
        if seen and key not in models:
            near = nearest(key, models)
            found.append(f"the rate of {shown(key)} fits no prompt{near}; there are {_some(models)}")
        if not isinstance(value, Mapping):
            found += _rate_fault(f"the rate of {shown(key)}", value, "a number, or an object of models,")
            continue
        for model, rate in value.items():
            found += _rate_fault(f"the rate of {shown(model)} in {shown(key)}", rate, "a number")
            there = models.get(str(key), set())
            if there and model != "default" and model not in there:
                near = nearest(model, (*there, "default"))
                found.append(
                    f"the rate of {shown(model)} in {shown(key)} fits no prompt{near}; "
                    f"there are {_some(there)}"
                )
    return found


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _rate_fault(what: str, value: object, allowed: str) -> list[str]:
    if _is_rate(value):
        return []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [f"{what} is {value}; a rate is above 0 queries a minute"]
    return [f"{what} is {kind_of(value)}; {allowed} must stand there"]


def _some(names: Iterable[str]) -> str:
    every = sorted(names)
    more = f" and {len(every) - 8} more" if len(every) > 8 else ""
    return ", ".join(shown(name) for name in every[:8]) + more
