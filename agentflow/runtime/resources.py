"""What is open and must be closed: HTTP sessions, model servers, tool processes.

A Runtime owns one `Resources`; an Endpoint used on its own owns another.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar, cast

__all__ = ["Closable", "Resources"]


class Closable(Protocol):
    """Anything with an async `aclose`."""

    async def aclose(self) -> None:
        """Release everything; may be called once."""


T = TypeVar("T", bound=Closable)


class Resources:
    """Open things by key, closed together, the newest first."""

    def __init__(self) -> None:
        self._open: dict[Hashable, Closable] = {}

    def get(self, key: Hashable, factory: Callable[[], T]) -> T:
        """Return what is open under `key`, made by `factory` the first time."""
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = factory()
        return cast("T", found)

    async def aclose(self) -> None:
        """Close everything. The first error is raised after all were closed."""
        errors: list[Exception] = []
        while self._open:
            _, thing = self._open.popitem()
            try:
                await thing.aclose()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
