"""What a text looks like once it is normalised: the form in which tokens are recognised in values.

A tokeniser, a template or a reader may fold case, normalise Unicode or drop what can't
be seen. So a value is searched for what any of these would make a token.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate

__all__ = ["lookalikes", "skeleton"]

_UNSEEN = frozenset({"Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"})
_UNCOUNTED = "\\\u115f\u1160"  # the backslash, and fillers that are letters by name only


@lru_cache(maxsize=65_536)
def _folded(code: int) -> str:
    """Return what one character becomes: compatibility form, small letters, nothing unseen."""
    once = unicodedata.normalize("NFKD", chr(code)).casefold()
    return "".join(
        c
        for c in unicodedata.normalize("NFKD", once)
        if unicodedata.category(c) not in _UNSEEN and c not in _UNCOUNTED
    )


class _Fold(dict[int, str]):
    """A table for `str.translate` that knows ASCII and asks for the rest."""

    def __missing__(self, code: int) -> str:
        return _folded(code)


_FOLD = _Fold({code: _folded(code) for code in range(128)})


def skeleton(text: str) -> str:
    """Return `text` as it looks: backslashes, white space, marks and case do not count."""
    return text.translate(_FOLD)


@lru_cache(maxsize=64)
def _search(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that finds each place where a form begins, overlapping ones too."""
    return re.compile(f"(?={'|'.join(re.escape(skeleton(form)) for form in forms)})")


def lookalikes(text: str, forms: tuple[str, ...]) -> Iterator[int]:
    """Yield the offsets just past each first character of what looks like one of `forms`.

    Linear in `text`; offsets ascend, each one once.
    """
    firsts = {case for form in forms for case in (form[0].lower(), form[0].upper())}
    if text.isascii() and all(map(str.isascii, firsts)) and not any(first in text for first in firsts):
        return
    looks = skeleton(text)
    starts = [found.start() for found in _search(forms).finditer(looks)]
    if not starts:
        return
    wanted = iter(starts)
    start = next(wanted)
    for index, end in enumerate(accumulate(len(_FOLD[ord(character)]) for character in text)):
        if start < end:
            yield index + 1
            while start < end:
                following = next(wanted, None)
                if following is None:
                    return
                start = following
