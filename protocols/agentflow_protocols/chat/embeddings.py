"""Embeddings in OpenAI's form, which most servers take: requests out, vectors in. Sans-IO."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence

from pydantic_core import from_json, to_json

from agentflow_protocols.chat.messages import Json, Usage
from agentflow_protocols.errors import RemoteProtocolError

__all__ = ["encode_embeddings", "parse_embeddings"]


def encode_embeddings(texts: Sequence[str], model: str, dimensions: int | None = None) -> bytes:
    """Return the JSON body that asks `model` for a vector of each text."""
    whole = [text.encode("utf-8", "replace").decode() for text in texts]  # without half characters
    body: dict[str, Json] = {"model": model, "input": whole}
    if dimensions is not None:
        body["dimensions"] = dimensions
    return to_json(body)


def parse_embeddings(body: bytes, count: int) -> tuple[list[list[float]], Usage]:
    """Return the vectors in the order of the texts, and the usage.

    Accepted beyond the standard: vectors in base64 (32-bit floats), rows without an index.
    Raises `RemoteProtocolError` for anything but `count` vectors of one length.
    """
    try:
        data = from_json(body)
    except ValueError:
        raise RemoteProtocolError("the answer is no JSON") from None
    rows = data.get("data") if isinstance(data, Mapping) else None
    if not isinstance(rows, list) or len(rows) != count:
        got = len(rows) if isinstance(rows, list) else "none"
        raise RemoteProtocolError(f"{count} vectors were asked for, {got} came")
    vectors: list[list[float] | None] = [None] * count
    for place, row in enumerate(rows):
        index = row.get("index", place) if isinstance(row, Mapping) else None
        if not isinstance(index, int) or not 0 <= index < count or vectors[index] is not None:
            raise RemoteProtocolError(f"row {place} of the vectors has no place of its own")
        vectors[index] = _vector(row.get("embedding"), place)
    whole = [vector for vector in vectors if vector is not None]
    if len({len(vector) for vector in whole}) > 1:
        raise RemoteProtocolError("the vectors differ in length")
    usage = data.get("usage")
    tokens = usage.get("prompt_tokens") or usage.get("total_tokens") if isinstance(usage, Mapping) else 0
    return whole, Usage(input_tokens=int(tokens) if isinstance(tokens, int | float) else 0, requests=1)


def _vector(value: object, place: int) -> list[float]:
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
            return list(struct.unpack(f"<{len(data) // 4}f", data))
        except (ValueError, struct.error):
            raise RemoteProtocolError(f"row {place} of the vectors is no base64 of floats") from None
    if not isinstance(value, list) or not value:
        raise RemoteProtocolError(f"row {place} of the vectors has none")
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
        raise RemoteProtocolError(f"row {place} of the vectors holds what is no number")
    return [float(number) for number in value]
