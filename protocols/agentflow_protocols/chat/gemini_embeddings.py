"""Embeddings in Gemini's form: requests out, vectors in. Sans-IO."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from pydantic_core import to_json

from agentflow_protocols.chat.draft import items, json_object, mapping
from agentflow_protocols.chat.embeddings import parse_embeddings
from agentflow_protocols.chat.messages import Json, Usage
from agentflow_protocols.chat.narrow import body_bytes

__all__ = ["embed_contents_path", "encode_embed_contents", "parse_embed_contents"]


def embed_contents_path(model: str) -> str:
    """Return the path at which `model` is asked for vectors."""
    return f"/{quote(_full(model))}:batchEmbedContents"


def encode_embed_contents(texts: Sequence[str], model: str, dimensions: int | None = None) -> bytes:
    """Return the JSON body that asks `model` for a vector of each text, at most 100 of them."""
    size: dict[str, Json] = {} if dimensions is None else {"outputDimensionality": dimensions}
    full = _full(model)
    requests: list[Json] = [{"model": full, "content": {"parts": [{"text": text}]}, **size} for text in texts]
    return body_bytes({"requests": requests})


def parse_embed_contents(body: bytes, count: int) -> tuple[list[list[float]], Usage]:
    """Return the vectors in the order of the texts. Tokens are not told.

    Raises `RemoteProtocolError` for anything but `count` vectors of one length.
    """
    rows = [{"embedding": mapping(row).get("values")} for row in items(json_object(body).get("embeddings"))]
    return parse_embeddings(to_json({"data": rows}), count)


def _full(model: str) -> str:
    return model if "/" in model else f"models/{model}"
