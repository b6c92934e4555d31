"""What differs between providers on the wire: addresses, headers, bodies, replies.

A dialect is a value of functions from `agentflow_protocols.chat`, which do no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from agentflow_protocols.chat import (
    anthropic,
    anthropic_reply,
    embeddings,
    gemini,
    gemini_embeddings,
    gemini_reply,
    ollama,
    ollama_reply,
    openai,
    openai_reply,
    quart,
    responses,
    responses_reply,
)
from agentflow_protocols.chat.anthropic_batches import AnthropicBatches
from agentflow_protocols.chat.batches import BatchApi
from agentflow_protocols.chat.capabilities import Capabilities
from agentflow_protocols.chat.gemini_batches import GeminiBatches
from agentflow_protocols.chat.messages import ChatRequest, Delta, Reply, Usage
from agentflow_protocols.chat.mistral_batches import MistralBatches
from agentflow_protocols.chat.openai_batches import OpenAIBatches
from agentflow_protocols.chat.server_error import ServerError, parse_error

__all__ = [
    "AZURE",
    "AZURE_RESPONSES",
    "CHAT_COMPLETIONS",
    "GENERATE_CONTENT",
    "MESSAGES",
    "MISTRAL",
    "OLLAMA",
    "OPENAI",
    "QUART",
    "RESPONSES",
    "VERTEX",
    "Dialect",
    "Encode",
    "ReplyReader",
    "Vectors",
    "azure_place",
    "bearer",
    "ollama_place",
]


class ReplyReader(Protocol):
    """Reads one streamed reply: `feed` until `done` or the stream's end, then `finish`."""

    @property
    def done(self) -> bool:
        """Whether nothing more is to be read."""

    @property
    def fault(self) -> Exception | None:
        """What was malformed, None for a stream that only ended too soon."""

    def feed(self, chunk: bytes) -> list[Delta]:
        """Return what `chunk` adds to the reply."""

    def end(self) -> list[Delta]:
        """Say that the stream has ended; return what that adds."""

    def finish(self) -> Reply:
        """Return the whole reply. Raises `ErrorReply` or `RemoteProtocolError`."""


class Encode(Protocol):
    """Write the body of a request."""

    def __call__(
        self, request: ChatRequest, model: str, *, stream: bool, capabilities: Capabilities
    ) -> bytes:
        """Return the body. Raises `LocalProtocolError` for what the endpoint can't take."""


@dataclass(slots=True, frozen=True)
class Vectors:
    """How a provider is asked for vectors of texts: `path(model)`, `encode(texts, model, dimensions)`,
    and `parse(body, count)`, which may raise `RemoteProtocolError`."""

    path: Callable[[str], str]
    encode: Callable[[Sequence[str], str, int | None], bytes]
    parse: Callable[[bytes, int], tuple[list[list[float]], Usage]]


_VECTORS = Vectors(lambda model: "/embeddings", embeddings.encode_embeddings, embeddings.parse_embeddings)


@dataclass(slots=True, frozen=True)
class Dialect:
    """How a provider is spoken to.

    `path(request, model, stream)` goes behind the base address; `headers(key)` are the
    dialect's own, with the key where there is one; `parse_error` reads the body of a refusal;
    `vectors` is None where the provider makes no embeddings, `batches` where it has no batch API.
    """

    name: str
    path: Callable[[ChatRequest, str, bool], str]
    headers: Callable[[str | None], dict[str, str]]
    encode: Encode
    reader: Callable[[], ReplyReader]
    parse_reply: Callable[[bytes], Reply]
    parse_error: Callable[[bytes], ServerError] = parse_error
    vectors: Vectors | None = _VECTORS
    batches: BatchApi | None = None


def bearer(key: str | None) -> dict[str, str]:
    """Return the header that most providers take a key in."""
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def _path(request: ChatRequest, model: str, stream: bool) -> str:
    return "/chat/completions" if request.prompt is None else "/completions"


CHAT_COMPLETIONS = Dialect(
    "chat-completions",
    _path,
    bearer,
    openai.encode_request,
    openai_reply.ReplyParser,
    openai_reply.parse_reply,
)


def _anthropic_headers(key: str | None) -> dict[str, str]:
    return {"anthropic-version": "2023-06-01", **({} if key is None else {"x-api-key": key})}


MESSAGES = Dialect(
    "messages",
    lambda request, model, stream: "/messages",
    _anthropic_headers,
    anthropic.encode_messages,
    anthropic_reply.message_reader,
    anthropic_reply.parse_message,
    vectors=None,
    batches=AnthropicBatches(),
)


def _google_headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"x-goog-api-key": key}


GENERATE_CONTENT = Dialect(
    "generate-content",
    gemini.content_path,
    _google_headers,
    gemini.encode_content,
    gemini_reply.content_reader,
    gemini_reply.parse_content,
    gemini_reply.parse_content_error,
    Vectors(
        gemini_embeddings.embed_contents_path,
        gemini_embeddings.encode_embed_contents,
        gemini_embeddings.parse_embed_contents,
    ),
    GeminiBatches(),
)


def _vertex_path(request: ChatRequest, model: str, stream: bool) -> str:
    name = model if "/" in model else f"publishers/google/models/{model}"
    return gemini.content_path(request, name, stream)


VERTEX = replace(
    GENERATE_CONTENT, name="vertex", path=_vertex_path, headers=bearer, vectors=None, batches=None
)


RESPONSES = Dialect(
    "responses",
    lambda request, model, stream: "/responses",
    bearer,
    responses.encode_response,
    responses_reply.response_reader,
    responses_reply.parse_response,
    batches=OpenAIBatches(),
)
OPENAI = replace(CHAT_COMPLETIONS, name="openai", batches=OpenAIBatches())
MISTRAL = replace(CHAT_COMPLETIONS, name="mistral", batches=MistralBatches())


OLLAMA = Dialect(
    "ollama",
    ollama.ollama_path,
    bearer,
    ollama.encode_ollama,
    ollama_reply.ollama_reader,
    ollama_reply.parse_ollama,
    vectors=Vectors(
        lambda model: "/api/embed", embeddings.encode_embeddings, ollama_reply.parse_ollama_embed
    ),
)


def ollama_place(base_url: str, dialect: Dialect) -> tuple[str, Dialect]:
    """Return the address of an Ollama server itself, though that of one of its APIs is given."""
    return re.sub(r"/(?:v1|api)?/*$", "", base_url), dialect


QUART = Dialect(
    "quart",
    lambda request, model, stream: "/generate",
    bearer,
    quart.encode_generate,
    quart.GeneratedReader,
    quart.parse_generated,
    vectors=None,
)


def _azure_headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"api-key": key}


_AZURE_BATCHES = OpenAIBatches(most_requests=100_000, prefix="")
AZURE = replace(CHAT_COMPLETIONS, name="azure", headers=_azure_headers, batches=_AZURE_BATCHES)
AZURE_RESPONSES = replace(RESPONSES, name="azure-responses", headers=_azure_headers, batches=_AZURE_BATCHES)


def azure_place(base_url: str, dialect: Dialect) -> tuple[str, Dialect]:
    """Return the base address of an Azure resource and how it is spoken to there.

    `https://RESOURCE.openai.azure.com` stands for its v1 API. With `?api-version=DATE` it
    stands for the older API, in which the deployment is part of the path.
    """
    try:
        parts = urlsplit(base_url)
        query = dict(parse_qsl(parts.query))
        path = re.sub(r"(?:/openai)?(?:/deployments(?:/[^/]*)?)?/?$", "", parts.path)
        if parts.path.rstrip("/").endswith("/v1"):
            return base_url, dialect
        version = query.pop("api-version", "")
        if query or (version and dialect is not AZURE):
            return base_url, dialect
        root = urlunsplit((parts.scheme, parts.netloc, f"{path}/openai", "", ""))
    except ValueError:  # no address, which whoever uses it says
        return base_url, dialect
    if not version:
        return f"{root}/v1", dialect
    dated = f"api-version={quote(version)}"

    def deployed(model: str, path: str) -> str:
        return f"/deployments/{quote(model)}{path}?{dated}"

    older = replace(
        dialect,
        path=lambda request, model, stream: deployed(model, _path(request, model, stream)),
        vectors=replace(_VECTORS, path=lambda model: deployed(model, "/embeddings")),
        batches=replace(_AZURE_BATCHES, query=dated),
    )
    return root, older
