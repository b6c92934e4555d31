"""prompto's apis as endpoints: where they are, and whose key goes there, by environment variables.

Each variable may carry the model's name as a suffix, which wins. A base URL of another
server takes the api's key with it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict, Unpack
from urllib.parse import quote

from agentflow.builtin.scripted import ScriptedModel, ScriptedReply
from agentflow.endpoints import Allowance, Endpoint, Model, Patience, Pool, Price, ReplyCache, Retry, Timeouts
from agentflow.endpoints.providers import read_variables
from agentflow.endpoints.vertex import vertex_address
from agentflow.errors import EndpointUnavailable, RequestRejected, UserError
from agentflow_protocols.chat import ChatRequest, Settings
from agentflow_protocols.experiment import APIS, Variable, variables

__all__ = ["Environment", "Options", "endpoint_of", "provider_of"]

# The apis whose provider goes by another name in model strings.
_PROVIDERS: Mapping[str, str] = MappingProxyType({"azure-openai": "azure", "huggingface-tgi": "tgi"})
_NEEDS_PLACE = ("azure-openai", "huggingface-tgi", "quart")
_NEEDS_KEY = ("anthropic", "azure-openai", "gemini", "openai")
# What an address that a provider's own tools take lacks of ours.
_PATHS = {"anthropic": "/v1", "gemini": "/v1beta", "huggingface-tgi": "/v1"}
_PATIENCE = Timeouts(first=600.0, idle=300.0, total=None)


class Options(TypedDict, total=False):
    """What a batch tells each endpoint that it makes."""

    requests_per_minute: float | None
    tokens_per_minute: float | None
    concurrency: int | None
    learn: bool | None
    hedge: float | None
    cache: ReplyCache | None
    settings: Settings | None
    price: Price | None
    retry: Retry | int | None
    timeouts: Timeouts | None
    allowance: Allowance | None
    pool: Pool | None
    priority: int
    patience: Patience | None
    fallback: Sequence[Endpoint]


class Environment:
    """The variables of the process, and of a `.env` file; the process's win."""

    def __init__(self, file: Path | None = None) -> None:
        self._values = {**(read_variables(file) if file is not None else {}), **os.environ}

    def get(self, api: str, what: Variable, model: str) -> str | None:
        """Return what the variables say of an api's model; None where none of them is set."""
        names = variables(api, what, model)
        return next((value for name in names if (value := self._values.get(name, "").strip())), None)


def endpoint_of(api: str, model: str, environment: Environment, **options: Unpack[Options]) -> Endpoint:
    """Return the endpoint of an api's model. Raises `UserError` for a variable that is needed and not set."""
    options.setdefault("timeouts", _PATIENCE)
    options.setdefault("learn", True)
    if api == "test":
        return Endpoint(_trial_model(), **options)
    if api not in APIS:
        raise UserError(f"api {api!r} is unknown (known: {', '.join(APIS)})")
    place = environment.get(api, "endpoint", model)
    key = environment.get(api, "key", model)
    if place is None and api in _NEEDS_PLACE:
        raise UserError(_unset(api, "endpoint", model))
    if key is None and api in _NEEDS_KEY and (place is None or api == "azure-openai"):
        raise UserError(_unset(api, "key", model))
    if place is not None:
        place = _located(api, place, environment, model)
    elif api == "vertexai":
        place = _vertex_place(environment, model)
    return Endpoint(f"{provider_of(api)}:{model}", base_url=place, api_key=key, stream=False, **options)


def provider_of(api: str) -> str:
    """Return the provider that an api's models are under in model strings."""
    return _PROVIDERS.get(api, api)


def _unset(api: str, what: Variable, model: str) -> str:
    own, *_, plain = variables(api, what, model)
    told = "address" if what == "endpoint" else what
    return f"{api}: no {told}: set the environment variable {plain} (or {own}), or put it in .env"


def _located(api: str, place: str, environment: Environment, model: str) -> str:
    """Return an address as our endpoints have it."""
    place = place.rstrip("/")
    end = _PATHS.get(api, "")
    if api == "azure-openai":
        version = environment.get(api, "version", model)
        return f"{place}?api-version={quote(version)}" if version and "?" not in place else place
    return place if not end or place.endswith(end) else place + end


def _vertex_place(environment: Environment, model: str) -> str:
    project = environment.get("vertexai", "project", model)
    location = environment.get("vertexai", "location", model) or "us-central1"
    if project is None:
        raise UserError(_unset("vertexai", "project", model))
    return vertex_address(project, location)


def _trial_model() -> Model:
    """Return prompto's `test` api: it takes a second, and fails as `parameters.raise_error` says."""

    def answer(request: ChatRequest) -> ScriptedReply:
        extra = request.settings.extra or {}
        asked = str(extra.get("raise_error", "")).lower()
        fails = (
            random.randint(1, 5) == 1
            if asked not in ("true", "yes", "false", "no")
            else asked in ("true", "yes")
        )
        if not fails:
            return ScriptedReply("This is a test response", delay=1.0)
        text = "test: this error was asked for by `raise_error`"
        passing = extra.get("raise_error_type") == "Exception"
        return ScriptedReply(error=EndpointUnavailable(text) if passing else RequestRejected(text))

    return ScriptedModel(answer, name="test")
