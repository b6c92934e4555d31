"""Templates of judges and rephrasers, and the settings of the models that are asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter

from agentflow_protocols.chat.messages import Json
from agentflow_protocols.experiment.apis import api_of
from agentflow_protocols.experiment.problem import ExperimentError, kind_of, nearest, shown
from agentflow_protocols.experiment.record import Values

__all__ = ["fill", "id_text", "model_settings", "pick", "prefixed"]

_PLACE = re.compile(r"\{(\w+)\}")


def fill(template: str, texts: Mapping[str, str]) -> str:
    """Return `template` with `texts` in their places `{NAME}`; braces inside the texts stay.

    Where the template is a format string of just these places, `{{` and `}}` are braces, as for
    prompto. Else (JSON in a template, say) all but the places stands as it is.
    """
    try:
        fields = [(name, form) for _, name, form, _ in Formatter().parse(template) if name is not None]
        if all(name in texts and not form for name, form in fields):
            return template.format(**texts)
    except ValueError:
        pass  # braces of its own
    return _PLACE.sub(lambda place: texts.get(place[1], place[0]), template)


def model_settings(data: object, wanted: Sequence[str] | None, what: str) -> dict[str, Values]:
    """Return the settings `{name: {api, model_name, parameters}}` of a `what`, those `wanted` in order.

    Raises ExperimentError with all that is wrong with them.
    """
    if not isinstance(data, Mapping):
        raise ExperimentError(f"the settings of a {what} are {kind_of(data)}; an object must stand there")
    found: list[str] = []
    for name, settings in data.items():
        if wanted is None or name in wanted:
            found += _faults(f"the {what} {shown(name)}", settings)
    if found:
        raise ExperimentError("; ".join(found))
    every = {str(name): dict(settings) for name, settings in data.items() if isinstance(settings, Mapping)}
    return every if wanted is None else pick(every, wanted, what)


def pick(every: Mapping[str, Values], wanted: Iterable[str], what: str) -> dict[str, Values]:
    """Return the entries that are `wanted`, in that order. Raises ExperimentError for an unknown name."""
    out: dict[str, Values] = {}
    for name in wanted:
        if name not in every:
            there = ", ".join(every) or "none"
            raise ExperimentError(f"no {what} {shown(name)}{nearest(name, every)}; there are {there}")
        out[name] = every[name]
    return out


def id_text(values: Mapping[str, Json]) -> str:
    """Return a record's id as text, `NA` without one."""
    value = values.get("id")
    return "NA" if value is None else str(value)


def prefixed(values: Mapping[str, Json]) -> Values:
    """Return `values` with `input-` before each key."""
    return {f"input-{name}": value for name, value in values.items()}


def _faults(what: str, settings: object) -> list[str]:
    if not isinstance(settings, Mapping):
        return [f"{what} is {kind_of(settings)}; an object must stand there"]
    found = [f"{what} has no `{key}`" for key in ("api", "model_name", "parameters") if key not in settings]
    if "api" in settings:
        try:
            api_of(settings["api"])
        except ExperimentError as error:
            found.append(f"{what}: {error}")
    if "model_name" in settings and not isinstance(settings["model_name"], str):
        found.append(f"{what} has {kind_of(settings['model_name'])} as `model_name`; text must stand there")
    if "parameters" in settings and not isinstance(settings["parameters"], Mapping):
        found.append(
            f"{what} has {kind_of(settings['parameters'])} as `parameters`; an object must stand there"
        )
    return found
