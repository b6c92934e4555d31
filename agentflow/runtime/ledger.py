"""One run's page of the journal: what it did before, and what it puts down now.

Keys are names, and each is used once a run. A step found again with another
input is an error that names the JSON paths that differ, never their values.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import TypeVar

import pydantic
import pydantic_core

from agentflow.errors import RunError, UserError
from agentflow.runtime.journal import Fact, Journal, RunRecord, StepFact

__all__ = ["Ledger", "decode", "digest", "encode", "paths_that_differ"]

T = TypeVar("T")

_ADAPTERS: dict[object, pydantic.TypeAdapter[object]] = {}


def encode(value: object, what: str) -> bytes:
    """Return `value` as JSON; UserError that names `what` when it has no JSON form."""
    try:
        return pydantic_core.to_json(value)
    except pydantic_core.PydanticSerializationError as error:
        raise UserError(f"{what} can't be put into the journal: {error}") from None


def decode(data: bytes | None, kind: object = None) -> object:
    """Read JSON as a value of type `kind`, or as plain JSON when that is None."""
    if data is None:
        return None
    if kind is None:
        try:
            return pydantic_core.from_json(data)
        except ValueError:  # it reads less deep than it writes
            return json.loads(data)
    adapter = _ADAPTERS.get(kind)
    if adapter is None:
        adapter = _ADAPTERS[kind] = pydantic.TypeAdapter(kind)  # type: ignore[arg-type]
    try:
        return adapter.validate_json(data)
    except pydantic.ValidationError as error:
        if error.errors(include_url=False)[0]["type"] != "json_invalid":
            raise
        return adapter.validate_python(json.loads(data))


def digest(*parts: bytes | str) -> str:
    """Return a short hash of `parts`, in order."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


def paths_that_differ(old: object, new: object, path: str = "$", limit: int = 5) -> list[str]:
    """Return the JSON paths at which `old` and `new` differ, at most `limit`."""
    if type(old) is type(new) and isinstance(old, dict) and isinstance(new, dict):
        pairs = [(f"{path}.{k}", old.get(k, _MISSING), new.get(k, _MISSING)) for k in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list):
        size = max(len(old), len(new))
        padded = [values + [_MISSING] * (size - len(values)) for values in (old, new)]
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(*padded, strict=True))]
    else:
        return [] if type(old) is type(new) and old == new else [path]
    found: list[str] = []
    for where, a, b in pairs:
        if a is _MISSING or b is _MISSING:
            found.append(where)
        else:
            found += paths_that_differ(a, b, where, limit)
        if len(found) >= limit:
            break
    return found[:limit]


_MISSING = object()


class Ledger:
    """A run's steps, by key. Without a journal it only sees that keys are used once."""

    __slots__ = ("_claimed", "_journal", "_steps", "recorded", "run", "signals")

    def __init__(self, run: str, journal: Journal | None, record: RunRecord | None = None) -> None:
        self.run = run
        self.recorded = record is not None
        self._journal = journal
        self._steps: Mapping[str, StepFact] = record.steps if record else {}
        self.signals: dict[str, bytes] = dict(record.signals) if record else {}
        self._claimed: set[str] = set()

    @property
    def durable(self) -> bool:
        """Whether there is a journal."""
        return self._journal is not None

    def claim(self, key: str) -> None:
        """Take `key` for this run; UserError when it was taken before."""
        if key in self._claimed:
            raise UserError(f"step {key!r} is used twice in run {self.run}: give each step a key of its own")
        self._claimed.add(key)

    def find(self, key: str) -> StepFact | None:
        """Return what is known of a step, finished or not."""
        return self._steps.get(key)

    def recall(self, key: str, input_hash: str = "", new_input: bytes | None = None) -> StepFact | None:
        """Return a finished step; UserError when it was finished with another input."""
        step = self._steps.get(key)
        if step is None or step.status != "ok":
            return None
        if input_hash and step.input_hash and step.input_hash != input_hash:
            self._refuse(step, new_input)
        return step

    def _refuse(self, step: StepFact, new_input: bytes | None) -> None:
        where = ""
        if step.input is not None and new_input is not None:
            paths = paths_that_differ(json.loads(step.input), json.loads(new_input))
            where = f" at {', '.join(paths)}" if paths else ""
        raise UserError(
            f"step {step.key!r} of run {self.run} was recorded with another input{where}:"
            " give it the same input, another key, or start a new run"
        )

    def put(
        self,
        key: str,
        output: bytes | None,
        *,
        input: bytes | None = None,
        input_hash: str = "",
        status: str = "ok",
        error: str | None = None,
        started: float = 0.0,
    ) -> None:
        """Put a step down. `started` is seconds since 1970."""
        if self._journal is not None:
            now = time.time()
            self._journal.put(
                StepFact(self.run, key, status, input, input_hash, output, error, 1, started or now, now)
            )

    def put_fact(self, fact: Fact) -> None:
        """Put another kind of fact down."""
        if self._journal is not None:
            self._journal.put(fact)

    async def barrier(self) -> None:
        """Wait until all that was put down is durable: before any outside effect."""
        if self._journal is not None:
            await self._journal.barrier()

    async def step_durations(self, kind: str, name: str) -> Mapping[str, float]:
        """Return the learned mean seconds of each step of earlier runs of this kind and name."""
        return {} if self._journal is None else await self._journal.step_durations(kind, name)

    async def artifact(self, name: str) -> bytes:
        """Return an artifact's data; RunError when there is none of this name."""
        data = await self._journal.artifact(self.run, name) if self._journal is not None else None
        if data is None:
            raise RunError(f"run {self.run} has no artifact {name!r}")
        return data
