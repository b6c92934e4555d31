"""The apis of an experiment, as data: forms of prompts, places of parameters, names of variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from agentflow_protocols.experiment.problem import ExperimentError, nearest, shown

__all__ = ["APIS", "Api", "Variable", "api_of", "variable_suffix", "variables"]

Variable = Literal["endpoint", "key", "location", "project", "version"]
"""What an environment variable says of a server."""

_SUFFIX = re.compile("[-/.: ]")


@dataclass(slots=True, frozen=True)
class Api:
    """What holds of an api.

    `roles` are those of messages, none where a prompt can't be a list of them; `system_first`
    where only the first message may be the system's; `texts` where a list of texts can be asked.
    `field` is the message's key of its content. `under` is the key of the body that parameters
    go under (none: they are keys of the body); `several` the parameter that asks for several answers.
    `modes` are those that can be chosen, the default first.
    """

    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    required: tuple[Variable, ...] = ()
    roles: tuple[str, ...] = ()
    system_first: bool = False
    texts: bool = True
    field: str = "content"
    under: str | None = None
    several: str | None = None
    modes: tuple[Literal["chat", "completion"], ...] = ("chat",)
    safety: bool = False


def _names(**values: str) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({name: tuple(value.split()) for name, value in values.items()})


_GEMINI = ("system", "user", "model")
_OPENAI = ("system", "user", "assistant")

_APIS: Mapping[str, Api] = MappingProxyType(
    {
        "openai": Api(
            _names(key="OPENAI_API_KEY", endpoint="OPENAI_BASE_URL"),
            ("key",),
            _OPENAI,
            several="n",
            modes=("chat", "completion"),
        ),
        "azure-openai": Api(
            _names(
                key="AZURE_OPENAI_API_KEY",
                endpoint="AZURE_OPENAI_API_ENDPOINT",
                version="AZURE_OPENAI_API_VERSION",
            ),
            ("key", "endpoint"),
            _OPENAI,
            several="n",
            modes=("chat", "completion"),
        ),
        "anthropic": Api(
            _names(key="ANTHROPIC_API_KEY", endpoint="ANTHROPIC_BASE_URL"),
            ("key",),
            _OPENAI,
            system_first=True,
        ),
        "gemini": Api(
            _names(key="GEMINI_API_KEY", endpoint="GEMINI_BASE_URL GOOGLE_GEMINI_BASE_URL"),
            ("key",),
            _GEMINI,
            system_first=True,
            field="parts",
            under="generationConfig",
            several="candidate_count",
            safety=True,
        ),
        "vertexai": Api(
            _names(
                key="VERTEXAI_ACCESS_TOKEN",
                endpoint="VERTEXAI_BASE_URL GOOGLE_VERTEX_BASE_URL",
                project="VERTEXAI_PROJECT_ID",
                location="VERTEXAI_LOCATION_ID",
            ),
            (),
            _GEMINI,
            system_first=True,
            field="parts",
            under="generationConfig",
            several="candidate_count",
            safety=True,
        ),
        "ollama": Api(_names(endpoint="OLLAMA_API_ENDPOINT"), ("endpoint",), _OPENAI, under="options"),
        "huggingface-tgi": Api(
            _names(endpoint="HUGGINGFACE_TGI_API_ENDPOINT", key="HUGGINGFACE_TGI_API_KEY"),
            ("endpoint",),
            several="n",
            modes=("completion", "chat"),
        ),
        "quart": Api(_names(endpoint="QUART_API_ENDPOINT"), ("endpoint",), texts=False, under="options"),
        "test": Api(),
    }
)

APIS: tuple[str, ...] = tuple(_APIS)
"""The names of the apis, as records say them."""


def api_of(name: object) -> Api:
    """Return what holds of the api called `name`. Raises ExperimentError for an unknown one."""
    api = _APIS.get(name) if isinstance(name, str) else None
    if api is None:
        raise ExperimentError(f"unknown api {shown(name)}{nearest(name, APIS)}; there are {', '.join(APIS)}")
    return api


def variables(api: str, name: Variable, model: str = "") -> tuple[str, ...]:
    """Return the environment variables that may say the `name` of an api's server; the first one wins.

    Those with the model's suffix come first. None where the api has no such variable.
    """
    plain = api_of(api).variables.get(name, ())
    suffix = f"_{variable_suffix(model)}" if model else ""
    return (*(f"{variable}{suffix}" for variable in plain), *plain) if suffix else plain


def variable_suffix(model: str) -> str:
    """Return a model's name as a variable's name ends in it: `-`, `/`, `.`, `:` and spaces are `_`."""
    return _SUFFIX.sub("_", model)
