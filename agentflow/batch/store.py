"""What a batch knows of its prompts: a step each in its journal, looked up and never loaded whole.

A prompt's key is its line's number, and its step is done only for the record that the line
held: another record on that line is another prompt. `LINE/N` is turn N of a prompt that has several.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentflow.errors import UserError
from agentflow.runtime.journal import Journal, RunEndFact, RunFact, StepFact
from agentflow.runtime.ledger import decode, encode
from agentflow_protocols.chat import Json

__all__ = ["Known", "Store"]


@dataclass(slots=True)
class Known:
    """What is known of one prompt: how it ended, if it did, and the turns that were answered."""

    hash: str
    status: str  # `ok`, `failed`, `running`
    added: bytes | None  # what its line gets; while it is running, the parcel that it is part of
    turns: list[tuple[str, bytes]] = field(default_factory=list)  # the hash of the record, the reply


class Store:
    """The prompts of one start, in a journal that is open."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self.run = run
        self._page = f"{run} lines"  # a page of its own: it is looked up, and not loaded with the run

    async def status(self) -> str | None:
        """Return how the last sitting of this start ended; None when there was none."""
        record = (await self._journal.load(self.run)).get(self.run)
        return record.row.status if record else None

    def begin(self, name: str, version: str, input: Mapping[str, Json]) -> None:
        """Put down that a sitting of this start begins."""
        data = _json(dict(input), "the batch's input")
        self._journal.put(RunFact(self.run, None, None, "batch", name, data, version, time.time()))

    def end(self, status: str, report: object, error: str | None = None) -> None:
        """Put down how it ended."""
        output = None if report is None else _json(report, "the batch's report")
        self._journal.put(RunEndFact(self.run, status, output, error, time.time()))

    async def known(self, first: int, last: int) -> dict[int, Known]:
        """Return what is known of the prompts on lines `first` to `last`."""
        found: dict[int, Known] = {}
        for step in await self._journal.steps(self._page, _key(first), f"{_key(last)}~"):
            number, _, turn = step.key.partition("/")
            line = int(number)
            if not turn:
                found[line] = Known(step.input_hash, step.status, step.output)
            elif line in found:
                found[line].turns.append((step.input_hash, step.output or b"null"))
        return found

    def asked(self, line: int, record: str) -> None:
        """Put down that the prompt is about to be sent."""
        self._put(_key(line), "running", record, None, time.time())

    def handed(self, line: int, record: str, parcel: str) -> None:
        """Put down that the prompt is part of a parcel that goes to a provider's batch API."""
        self._put(_key(line), "running", record, encode(parcel, "a parcel"), time.time())

    def turn(self, line: int, number: int, record: str, reply: Json) -> None:
        """Put down the answer to turn `number` of the prompt."""
        self._put(f"{_key(line)}/{number:04d}", "ok", record, _json(reply, "a turn"), 0.0)

    def done(self, line: int, record: str, added: Mapping[str, Json], *, failed: bool, began: float) -> None:
        """Put down what the prompt's line gets, an answer or an error. `began` is seconds since 1970."""
        data = _json(dict(added), "an answer")
        self._put(_key(line), "failed" if failed else "ok", record, data, began)

    def note(self, key: str, value: Json) -> None:
        """Put down something about the start as a whole."""
        self._put(f"note/{key}", "ok", "", encode(value, key), 0.0)

    async def notes(self, prefix: str) -> dict[str, Json]:
        """Return what was put down about the start, under keys that begin with `prefix`."""
        first = f"note/{prefix}"
        steps: Sequence[StepFact] = await self._journal.steps(self._page, first, f"{first}~")
        return {step.key.removeprefix("note/"): decode(step.output) for step in steps}  # type: ignore[misc]

    async def barrier(self) -> None:
        """Wait until all that was put down is durable."""
        await self._journal.barrier()

    def _put(self, key: str, status: str, record: str, output: bytes | None, began: float) -> None:
        now = time.time()
        fact = StepFact(self._page, key, status, None, record, output, None, 1, began or now, now)
        self._journal.put(fact)


def _json(value: object, what: str) -> bytes:
    """Return `value` as JSON; half a surrogate pair, which JSON's bytes can't hold, as a question mark."""
    try:
        return encode(value, what)
    except UserError:
        try:
            return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        except (TypeError, ValueError):
            pass
        raise


def _key(line: int) -> str:
    return f"{line:012d}"
