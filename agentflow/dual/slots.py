"""Slots: what slow processes have written for the fast one; typed, with history and a time to live."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import pydantic

from agentflow.errors import UserError

__all__ = ["Entry", "Slot", "Slots"]

T = TypeVar("T")

_KEPT = 50  # entries of a slot


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A value of a slot: what it is, from when it is (`based_on`, a tick), when it came, who wrote it."""

    value: T
    version: int
    based_on: int
    applied: int
    source: str


class Slot(Generic[T]):
    """One place with a type. A value lives `ttl` ticks from the tick that it is based on, or for ever.

    An empty value (`[]`, `""`) is a value: it clears what was there before. What is based on an older
    tick than the value that stands never takes its place.
    """

    def __init__(self, kind: object, *, ttl: int | None = None) -> None:
        if ttl is not None and ttl < 1:
            raise UserError(f"a slot's ttl is ticks, 1 or more, not {ttl}")
        self.kind = kind
        self.ttl = ttl
        self._adapter: pydantic.TypeAdapter[object] = pydantic.TypeAdapter(kind)  # type: ignore[arg-type]
        self._entry: Entry[T] | None = None
        self.history: deque[Entry[T]] = deque(maxlen=_KEPT)

    def read(self, value: object) -> T:
        """Return a value of the slot's type. Raises `UserError`, which says what is wrong with it."""
        try:
            return cast("T", self._adapter.validate_python(value))
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{f'{place}: ' if place else ''}{first['msg']}") from None

    def put(self, value: T, *, based_on: int, tick: int, source: str) -> Entry[T]:
        """Write a value that `read` has given."""
        version = 1 if self._entry is None else self._entry.version + 1
        self._entry = Entry(value, version, based_on, tick, source)
        self.history.append(self._entry)
        return self._entry

    @property
    def entry(self) -> Entry[T] | None:
        """What was written last, whether it still lives or not."""
        return self._entry

    def diff(self) -> list[str]:
        """Return what the last value changed in the one before, as lines with `-` and `+`."""
        last = list(self.history)[-2:]
        texts = [self._lines(entry) for entry in last]
        before, after = texts if len(texts) == 2 else ([], *(texts or [[]]))
        return [line for line in difflib.ndiff(before, after) if line[0] in "-+"]

    def _lines(self, entry: Entry[T]) -> list[str]:
        if isinstance(entry.value, str):
            return entry.value.splitlines()
        return self._adapter.dump_json(entry.value, indent=1, fallback=repr).decode().splitlines()

    def at(self, tick: int) -> Entry[T] | None:
        """Return what holds at a tick: None before the first value, and after the last one's time."""
        entry = self._entry
        if entry is None or (self.ttl is not None and tick - entry.based_on > self.ttl):
            return None
        return entry


class Slots(Mapping[str, Slot[object]]):
    """The slots of one game, by name."""

    def __init__(self, slots: Mapping[str, object]) -> None:
        self._slots: dict[str, Slot[object]] = {
            name: Slot(each.kind, ttl=each.ttl) if isinstance(each, Slot) else Slot(each)
            for name, each in slots.items()
        }

    def __getitem__(self, name: str) -> Slot[object]:
        return self._slots[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def values_at(self, tick: int) -> dict[str, object]:
        """Return the values that hold at a tick, by name."""
        entries = {name: slot.at(tick) for name, slot in self._slots.items()}
        return {name: entry.value for name, entry in entries.items() if entry is not None}
