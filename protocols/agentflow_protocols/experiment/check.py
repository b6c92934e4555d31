"""What is wrong with a record, by prompto's table, and what looks like a slip."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from agentflow_protocols.experiment.apis import APIS, Api, api_of
from agentflow_protocols.experiment.content import read_prompt
from agentflow_protocols.experiment.problem import ExperimentError, kind_of, nearest, shown
from agentflow_protocols.experiment.record import KEYS, Record

__all__ = ["SAFETY_FILTERS", "blocking", "doubts", "problems"]

SAFETY_FILTERS = ("none", "few", "some", "default", "most")
_MEDIA = ("image", "video", "text")


def problems(record: Record) -> list[str]:
    """Return all that is wrong with a record: what keeps it from being asked first, then the rest."""
    found = blocking(record)
    try:
        api = api_of(record.values.get("api"))
    except ExperimentError:
        return found + _multimedia(record)
    if record.values.get("prompt") is not None:
        found += read_prompt(record.values["prompt"], record.api, api).problems
    if record.api == "test" and not record.model:
        found.append("`model_name` is missing")
    return found + _multimedia(record)


def blocking(record: Record) -> list[str]:
    """Return what keeps a record from being asked, beside what is wrong inside its prompt."""
    found: list[str] = []
    values = record.values
    if values.get("prompt") is None:
        found.append(_missing(record, "prompt"))
    api: Api | None = None
    if values.get("api") is None:
        found.append(f"{_missing(record, 'api')}; there are {', '.join(APIS)}")
    else:
        try:
            api = api_of(values["api"])
        except ExperimentError as error:
            found.append(str(error))
    name = values.get("model_name")
    if name is None and record.api != "test":
        found.append(_missing(record, "model_name"))
    elif name is not None and (not isinstance(name, str) or not name):
        found.append(f"`model_name` is {kind_of(name)}; the name of a model must stand there")
    parameters = values.get("parameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        found.append(f"`parameters` is {kind_of(parameters)}; an object must stand there")
    if api is not None:
        found += _choices(record, api)
    return found


def doubts(record: Record) -> list[str]:
    """Return what looks like a slip but can be asked: misspelt keys, what no api takes, null parameters."""
    found: list[str] = []
    absent = [name for name in KEYS if name not in record.values]
    for name in record.values:
        near = difflib.get_close_matches(name[:100], absent, 1, 0.85) if name not in KEYS else []
        found += [f"unknown key {shown(name)} (did you mean `{key}`?)" for key in near]
    found += [
        f"`parameters` has null as {shown(name)}: it is sent as it is"
        for name, value in record.parameters.items()
        if value is None
    ]
    if record.values.get("multimedia") is not None:
        found.append("`multimedia` is not sent; media stand in the messages of `prompt`")
    if record.values.get("mode") == "completion" and not isinstance(record.values.get("prompt"), str):
        found.append("`mode` is `completion`, but a list is asked by chat")
    return found


def _missing(record: Record, name: str) -> str:
    if name in record.values:
        return f"`{name}` is null"
    others = [key for key in record.values if key not in KEYS]
    near = difflib.get_close_matches(name, others, 1, 0.6)
    return f"`{name}` is missing{''.join(f'; there is {shown(key)}' for key in near)}"


def _choices(record: Record, api: Api) -> list[str]:
    found: list[str] = []
    options = {
        "mode": api.modes if len(api.modes) > 1 else (),
        "safety_filter": SAFETY_FILTERS if api.safety else (),
    }
    for name, allowed in options.items():
        value = record.values.get(name)
        if allowed and value is not None and value not in allowed:
            near = nearest(value, allowed)
            found.append(f"`{name}` is {shown(value)}{near}; {record.api} takes {', '.join(allowed)}")
    return found


def _multimedia(record: Record) -> list[str]:
    value = record.values.get("multimedia")
    if value is None:
        return []
    if not isinstance(value, list | tuple | Mapping):
        return [f"`multimedia` is {kind_of(value)}; an object or a list of objects must stand there"]
    found: list[str] = []
    for place, item in enumerate([value] if isinstance(value, Mapping) else value):
        path = f"`multimedia[{place}]`"
        if not isinstance(item, Mapping):
            found.append(f"{path} is {kind_of(item)}; an object must stand there")
            continue
        kind = item.get("type")
        if kind not in _MEDIA:
            told = "no `type`" if kind is None else f"the type {shown(kind)}{nearest(kind, _MEDIA)}"
            found.append(f"{path} has {told}; there are {', '.join(_MEDIA)}")
        if item.get("media") is None:
            found.append(f"{path} has no `media`")
        if kind == "video" and item.get("mime_type") is None:
            found.append(f"{path} is a video without `mime_type`")
    return found
