"""Providers as data: where they are, which variable holds their key, what they can do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from agentflow.endpoints.dialect import (
    AZURE,
    AZURE_RESPONSES,
    CHAT_COMPLETIONS,
    GENERATE_CONTENT,
    MESSAGES,
    MISTRAL,
    OLLAMA,
    OPENAI,
    QUART,
    RESPONSES,
    VERTEX,
    Dialect,
)
from agentflow.errors import UserError
from agentflow_protocols.chat.capabilities import Capabilities

__all__ = ["PROVIDERS", "Provider", "find_variable", "read_key", "read_variables"]


@dataclass(slots=True, frozen=True)
class Provider:
    """A provider of models under `NAME:` in a model string.

    With `hosts` each customer has a host of their own, whose name ends so, and `base_url`
    is empty: the user gives it. A local server's address is the one that it starts with.
    """

    base_url: str
    api_key_env: str | None
    capabilities: Capabilities = field(default_factory=Capabilities)
    dialect: Dialect = CHAT_COMPLETIONS
    hosts: tuple[str, ...] = ()

    def owns(self, base_url: str) -> bool:
        """Return whether `base_url` is at this provider's own host, which may have its key."""
        if not self.hosts:
            return urlsplit(base_url)[:2] == urlsplit(self.base_url)[:2]
        parts = urlsplit(base_url)
        return parts.scheme == "https" and (parts.hostname or "").lower().endswith(self.hosts)


_PLAIN = Capabilities(files=False, strict_tools=False)
_OPENAI = Capabilities(max_tokens_field="max_completion_tokens", developer_role=True)
_ENGINE = replace(_PLAIN, prefill="continue", tells_stop=True)
_VERTEX_HOSTS = ("-aiplatform.googleapis.com", "aiplatform.googleapis.com")
_AZURE_HOSTS = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "anthropic": Provider(
            "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", Capabilities(cache_control=True), MESSAGES
        ),
        "azure": Provider(
            "",
            "AZURE_OPENAI_API_KEY",
            replace(_OPENAI, files=False, developer_role=False, reserves_tokens=True),
            AZURE,
            _AZURE_HOSTS,
        ),
        "azure-responses": Provider(
            "", "AZURE_OPENAI_API_KEY", replace(_OPENAI, reserves_tokens=True), AZURE_RESPONSES, _AZURE_HOSTS
        ),
        "cerebras": Provider(
            "https://api.cerebras.ai/v1",
            "CEREBRAS_API_KEY",
            Capabilities(
                images=False,
                files=False,
                max_tokens_field="max_completion_tokens",
                reserves_tokens=True,
            ),
        ),
        "deepseek": Provider(
            "https://api.deepseek.com/beta",  # the same API with `prefix`
            "DEEPSEEK_API_KEY",
            replace(_PLAIN, images=False, json_schema=False, prefill="prefix"),
        ),
        "gemini": Provider(
            "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY", dialect=GENERATE_CONTENT
        ),
        "gemini-openai": Provider(
            "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", _PLAIN
        ),
        "groq": Provider(
            "https://api.groq.com/openai/v1",
            "GROQ_API_KEY",
            replace(_PLAIN, max_tokens_field="max_completion_tokens", prefill="trailing"),
            OPENAI,  # whose batch API it has as well
        ),
        "llamacpp": Provider(
            "http://127.0.0.1:8080/v1", None, replace(_PLAIN, grammar=True, prefill="trailing")
        ),
        "mistral": Provider(
            "https://api.mistral.ai/v1",
            "MISTRAL_API_KEY",
            replace(_PLAIN, stream_usage=False, prefill="prefix"),
            MISTRAL,
        ),
        "ollama": Provider("http://127.0.0.1:11434", None, _PLAIN, OLLAMA),
        "ollama-openai": Provider("http://127.0.0.1:11434/v1", None, _PLAIN),
        "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY", _OPENAI, OPENAI),
        "openai-responses": Provider("https://api.openai.com/v1", "OPENAI_API_KEY", _OPENAI, RESPONSES),
        "openrouter": Provider(
            "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", Capabilities(cache_control=True)
        ),
        "quart": Provider(
            "http://127.0.0.1:5000", None, replace(_PLAIN, images=False, json_schema=False), QUART
        ),
        "sglang": Provider("http://127.0.0.1:30000/v1", None, _ENGINE),
        "tgi": Provider("http://127.0.0.1:3000/v1", None, _PLAIN),
        "together": Provider("https://api.together.xyz/v1", "TOGETHER_API_KEY", _PLAIN),
        "vertexai": Provider("", "VERTEXAI_ACCESS_TOKEN", dialect=VERTEX, hosts=_VERTEX_HOSTS),
        "vllm": Provider("http://127.0.0.1:8000/v1", None, _ENGINE),
        "xai": Provider("https://api.x.ai/v1", "XAI_API_KEY", replace(_PLAIN, strict_tools=True)),
    }
)


def read_key(variable: str, wanted_by: str) -> str:
    """Return the key in the environment, or in a `.env` file in the current folder.

    Raises `UserError`, naming `variable`, when neither has it.
    """
    key = find_variable(variable)
    if not key:
        raise UserError(
            f"{wanted_by}: no API key: set the environment variable {variable} (or put it in .env)"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"{wanted_by}: the API key in {variable} holds spaces or other characters no key has")
    return key


def find_variable(variable: str) -> str:
    """Return a variable of the environment, or of a `.env` file in the current folder; empty without it."""
    return os.environ.get(variable, "").strip() or read_variables(Path(".env")).get(variable, "")


def read_variables(path: Path) -> dict[str, str]:
    """Return the variables in a `.env` file: `NAME=value` lines, quotes and `export` allowed."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    values: dict[str, str] = {}
    for line in lines:
        name, sign, value = line.strip().removeprefix("export ").partition("=")
        if not sign or name.startswith("#"):
            continue
        value = value.strip()
        if value[:1] in ("'", '"') and value.find(value[0], 1) > 0:
            value = value[1 : value.find(value[0], 1)]
        else:
            value = value.split(" #")[0].rstrip()
        values[name.strip()] = value
    return values
