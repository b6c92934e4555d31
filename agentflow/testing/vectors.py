"""Vectors of texts without a model: a hashed bag of words, the same everywhere and always."""

from __future__ import annotations

import hashlib
import math
import re

__all__ = ["bag_of_words"]

_WORD = re.compile(r"\w+")


def bag_of_words(text: str, dimensions: int | None = None) -> list[float]:
    """Return a vector of length 1 with `dimensions` places (64 by default): texts of like words are near."""
    size = dimensions or 64
    vector = [0.0] * size
    for word in _WORD.findall(text.lower()) or [text]:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0 if digest[4] & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if not length:
        vector[0] = length = 1.0
    return [value / length for value in vector]
