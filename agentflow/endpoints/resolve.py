"""From a model string to a Model. What lies in higher layers is loaded by name, when it is used."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from agentflow.endpoints.dialect import CHAT_COMPLETIONS, Dialect, azure_place, ollama_place
from agentflow.endpoints.http_model import Credentials, HttpModel
from agentflow.endpoints.model import Model
from agentflow.endpoints.providers import PROVIDERS, read_key
from agentflow.endpoints.transport import Timeouts, Transport
from agentflow.endpoints.vertex import GoogleCredentials, vertex_place
from agentflow.errors import UserError
from agentflow_protocols.chat.capabilities import Capabilities

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["SCHEMES", "Address", "nearest", "resolve_model"]

SCHEMES: Mapping[str, str] = MappingProxyType(
    {
        "builtin": "agentflow.builtin:open_model",
        "in-flight": "agentflow.local.llama:open_in_flight",
        "local": "agentflow.local:open_model",
        "scripted": "agentflow.builtin.scripted:open_model",
    }
)
"""Schemes of models that are no HTTP provider, each with the factory that is given the rest."""

_PLACES: Mapping[str, Callable[[str, Dialect], tuple[str, Dialect]]] = MappingProxyType(
    {
        "azure": azure_place,
        "azure-responses": azure_place,
        "ollama": ollama_place,
        "vertexai": vertex_place,
    }
)


@dataclass(slots=True, frozen=True)
class Address:
    """Everything that says which model is meant, and how it is reached."""

    model: str
    base_url: str | None = None
    api_key: str | None = None
    api_key_env: str | None = None
    http_client: AsyncClient | Transport | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    capabilities: Capabilities | None = None


def resolve_model(address: Address) -> Model:
    """Return the model that `address` names. Nothing is sent, and no key is read yet.

    Raises `UserError` for an unknown provider or scheme, naming the nearest.
    """
    scheme, colon, rest = address.model.partition(":")
    if colon and scheme in SCHEMES:
        module, _, factory = SCHEMES[scheme].partition(":")
        make = getattr(importlib.import_module(module), factory)
        if scheme == "local":
            own = {"timeouts": address.timeouts, "capabilities": address.capabilities}
            return cast("Callable[..., Model]", make)(rest, **own)
        return cast("Callable[[str], Model]", make)(rest)
    provider = PROVIDERS.get(scheme) if colon else None
    if provider is None and address.base_url is None:
        raise UserError(_unknown(address.model, scheme if colon else None))
    name = rest if provider is not None else address.model
    if not name:
        raise UserError(f"model `{address.model}` names no model: write `{scheme}:NAME`")
    base_url = address.base_url or (provider.base_url if provider else "")
    dialect = provider.dialect if provider else CHAT_COMPLETIONS
    if not base_url and provider is not None and scheme != "vertexai":
        raise UserError(f"{address.model}: give base_url, such as https://NAME{provider.hosts[0]}")
    if provider is not None and scheme in _PLACES:
        base_url, dialect = _PLACES[scheme](base_url, dialect)
    _check_base(address.model, base_url)
    variable = address.api_key_env
    credentials: Credentials | None = None
    if variable is None and address.api_key is None and provider is not None and provider.owns(base_url):
        variable = provider.api_key_env
        if scheme == "vertexai":
            credentials, variable = GoogleCredentials(address.model), None

    def key() -> str | None:
        if address.api_key is not None:
            return address.api_key
        return None if variable is None else read_key(variable, address.model)

    return HttpModel(
        address.model,
        name,
        base_url,
        key,
        capabilities=address.capabilities or (provider.capabilities if provider else Capabilities()),
        timeouts=address.timeouts,
        http_client=address.http_client,
        dialect=dialect,
        credentials=credentials,
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean `x`?` for the nearest of `known`, or nothing when none is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{found[0]}`?" if found else ""


def _unknown(model: str, scheme: str | None) -> str:
    known = sorted([*PROVIDERS, *SCHEMES])
    if scheme is None:
        return f"model `{model}` names no provider: write `openai:{model}`, or give base_url"
    listed = ", ".join(known)
    return f"model `{model}`: unknown provider `{scheme}` (known: {listed}){nearest(scheme, known)}"


def _check_base(model: str, base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise UserError(f"{model}: base_url `{base_url[:100]}` is no http(s) address such as https://host/v1")
    if parts.username or parts.query or parts.fragment:
        raise UserError(f"{model}: base_url may have no user name, query or fragment (keys: api_key_env)")
