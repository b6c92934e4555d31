"""A record as what to ask a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentflow_protocols.chat.messages import Json, Message, Settings
from agentflow_protocols.experiment.apis import Api, api_of
from agentflow_protocols.experiment.check import blocking
from agentflow_protocols.experiment.content import read_prompt
from agentflow_protocols.experiment.media import Media
from agentflow_protocols.experiment.problem import ExperimentError
from agentflow_protocols.experiment.record import Record

__all__ = ["Ask", "ask_of"]

_CATEGORIES = ("DANGEROUS_CONTENT", "HATE_SPEECH", "HARASSMENT", "SEXUALLY_EXPLICIT")
_THRESHOLDS = {
    "none": "BLOCK_NONE",
    "few": "BLOCK_ONLY_HIGH",
    "some": "BLOCK_MEDIUM_AND_ABOVE",
    "default": "BLOCK_MEDIUM_AND_ABOVE",
    "most": "BLOCK_LOW_AND_ABOVE",
}


@dataclass(slots=True)
class Ask:
    """What to ask, and how.

    Each of `turns` is added to the conversation and sent with all before it: one for a text or a
    list of messages, one each for a list of texts (`as_list`: the response is a list of its
    replies). With mode `completion` the one message's text is what the model goes on with.
    `samples` answers are wanted of each request. `media` are to be loaded, see `with_media`.
    """

    api: str
    model: str
    mode: Literal["chat", "completion"]
    turns: list[list[Message]]
    settings: Settings = field(default_factory=Settings)
    samples: int = 1
    media: list[Media] = field(default_factory=list)
    as_list: bool = False


def ask_of(record: Record) -> Ask:
    """Return what `record` asks. Raises ExperimentError with the first problem of one that can't be asked."""
    found = blocking(record)
    if found:
        raise ExperimentError(found[0])
    api = api_of(record.api)
    prompt = read_prompt(record.values["prompt"], record.api, api)
    if prompt.problems:
        raise ExperimentError(prompt.problems[0])
    plain = isinstance(record.values["prompt"], str)
    told = record.values.get("mode")
    mode: Literal["chat", "completion"] = api.modes[0]
    if len(api.modes) > 1 and told is not None:
        mode = "completion" if told == "completion" else "chat"
    return Ask(
        api=record.api,
        model=record.model,
        mode=mode if plain else "chat",
        turns=prompt.turns,
        settings=_settings(record, api),
        samples=_samples(record.parameters, api),
        media=prompt.media,
        as_list=prompt.as_list,
    )


def _settings(record: Record, api: Api) -> Settings:
    """Return the parameters verbatim, as `extra`: the api's own names, where its dialect puts them."""
    parameters: Mapping[str, Json] = record.parameters
    if api.under == "generationConfig":
        parameters = {_camel(name): value for name, value in parameters.items()}
    extra: dict[str, Json] = dict(parameters) if api.under is None else {}
    if api.under is not None and parameters:
        extra[api.under] = parameters
    if api.safety:
        threshold = _THRESHOLDS[str(record.values.get("safety_filter") or "default")]
        extra["safetySettings"] = [
            {"category": f"HARM_CATEGORY_{category}", "threshold": threshold} for category in _CATEGORIES
        ]
    return Settings(extra=extra or None)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _samples(parameters: Mapping[str, Json], api: Api) -> int:
    value = parameters.get(api.several) if api.several is not None else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1
