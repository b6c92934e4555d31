"""Literals that look like keys. They are refused, and never shown."""

from __future__ import annotations

import math
import re
from collections import Counter

__all__ = ["looks_secret", "names_secret"]

_KNOWN = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{12,}|\bBearer\s+(?!\{\{)[A-Za-z0-9._~+/-]{8,}|\bBasic\s+[A-Za-z0-9+/]{12,}={0,2}"
    r"|\b(?:ghp|gho|ghs|ghu|github_pat|glpat|hf|gsk|xai|xox[abprs])[-_][A-Za-z0-9_-]{10,}"
    r"|\bAKIA[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_WORD = re.compile(r"[A-Za-z0-9+_=-]{32,}")
_NAME = re.compile(r"(?:^|[-_])(?:authorization|api[-_]?key|token|secret|password|cookie)$", re.IGNORECASE)


def looks_secret(text: str) -> bool:
    """Return whether `text` holds a known form of key, or a long random word."""
    return _KNOWN.search(text) is not None or any(_random(word) for word in _WORD.findall(text))


def names_secret(name: str) -> bool:
    """Return whether a header or field called `name` usually holds a secret."""
    return _NAME.search(name) is not None


def _random(word: str) -> bool:
    digits = sum(c.isdigit() for c in word)
    if digits < 4 or digits == len(word) or not any(c.isalpha() for c in word):
        return False
    counts = Counter(word)
    entropy = -sum(n / len(word) * math.log2(n / len(word)) for n in counts.values())
    return entropy >= (3.0 if re.fullmatch(r"[0-9a-f]+", word) else 3.7) and not re.search(
        r"[a-z]{5,}[-_]", word
    )
