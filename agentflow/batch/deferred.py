"""Prompts by a provider's batch API: handed in as parcels, collected when the provider has answered.

A parcel is put down before it is handed in, and looked for by its name after a crash, so that
none is paid for twice. The prompts in it are not asked otherwise until it has been collected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agentflow.batch.asking import Asker, Outcome
from agentflow.batch.completed import fitting
from agentflow.batch.lane import Lane, LaneOf
from agentflow.batch.lines import read_lines
from agentflow.batch.place import Place, filing
from agentflow.batch.store import Known, Store
from agentflow.endpoints import Deferred
from agentflow.errors import EndpointError, EndpointUnavailable, RunError
from agentflow.runtime.ledger import decode
from agentflow.runtime.resources import Resources
from agentflow_protocols.experiment import Record

__all__ = ["DeferredLane", "Parcel"]

_SOON_S = 0.5  # until the first look at a parcel; each is 1.5 times as far from the next, up to
_LATE_S = 60.0

End = Callable[[Record, Outcome, float], Awaitable[None]]
"""Told a prompt, what came of it, and when it was begun."""


@dataclass(slots=True)
class Parcel:
    """Some prompts that go to the provider together. `remote` is the provider's id, once there is one."""

    name: str
    first: int
    last: int
    count: int
    handed: float
    remote: str | None = None
    collected: bool = False


class DeferredLane:
    """The work of one lane by the batch API of its provider."""

    def __init__(
        self,
        lane: Lane,
        asker: Asker,
        place: Place,
        store: Store,
        resources: Resources,
        *,
        lane_of: LaneOf,
        end: End,
        say: Callable[[str], None],
    ) -> None:
        self._lane = lane
        self._asker = asker
        self._deferred = Deferred(asker.endpoint)
        self._place = place
        self._store = store
        self._resources = resources
        self._lane_of = lane_of
        self._end = end
        self._say = say
        self._key = "-".join(part for part in (lane.key.queue, lane.key.api, lane.key.model) if part)

    async def work(self) -> list[Record]:
        """Hand in what is unanswered, and collect all; return the prompts that have several turns."""
        parcels = [Parcel(**note) for note in (await self._store.notes(self._prefix)).values()]  # type: ignore[arg-type]
        waiting = [await self._found(parcel) for parcel in parcels if not parcel.collected]
        others = await self._hand_in(waiting, len(parcels))
        async with asyncio.TaskGroup() as group:
            for parcel in waiting:
                group.create_task(self._collect(parcel), name=f"parcel-{parcel.name}")
        return others

    @property
    def _prefix(self) -> str:
        return f"parcel/{self._key}/"

    def _spool(self, parcel: str) -> Path:
        number = parcel.rpartition("/")[2]
        safe = "".join(c if c.isalnum() or c in "-._" else "_" for c in self._key)
        folder = self._place.completed.parent
        return folder / f"{self._place.run}-parcel-{safe}-{number}.jsonl"

    def _note(self, parcel: Parcel) -> None:
        self._store.note(f"{self._prefix}{parcel.name.rpartition('/')[2]}", asdict(parcel))

    async def _found(self, parcel: Parcel) -> Parcel:
        """Return a parcel of an earlier sitting with its id; without one it is looked for, or handed in."""
        if parcel.remote is not None:
            return parcel
        if not self._deferred.named:
            raise RunError(
                f"{self._asker.endpoint.name}: a crash came while a batch was handed in, and this provider"
                " does not tell whether it has it: look there, then begin anew with --fresh"
            )
        parcel.remote = await self._deferred.find(parcel.name, self._resources)
        if parcel.remote is None:
            await self._submit(parcel)
        else:
            self._note(parcel)
            await self._store.barrier()
        return parcel

    async def _hand_in(self, waiting: list[Parcel], number: int) -> list[Record]:
        """Make parcels of the prompts that no parcel has, and add them to `waiting`."""
        others: list[Record] = []
        parcel: _Open | None = None
        names = {parcel.name for parcel in waiting}
        for page in self._lane.pages(self._place.input, self._lane_of):
            known = await self._store.known(page[0].line, page[-1].line)
            for record in page:
                mine = fitting(record, known.get(record.line))
                if mine is not None and (mine.status == "ok" or _parcel_of(mine) in names):
                    continue
                line = await self._line(record)
                if line is None:
                    others.append(record)
                elif line:
                    if parcel is not None and not parcel.takes(line, self._deferred):
                        waiting.append(await self._seal(parcel))
                        parcel = None
                    if parcel is None:
                        number += 1
                        name = f"{self._store.run}/{self._key}/{number:04d}"
                        parcel = _Open(name, self._spool(name))
                    parcel.add(record, line)
        if parcel is not None:
            waiting.append(await self._seal(parcel))
        return others

    async def _line(self, record: Record) -> bytes | None:
        """Return a prompt's line for the provider; None for several turns, nothing when it has ended."""
        request = await self._asker.request_of(record)
        if request is None:
            return None
        if isinstance(request, Outcome):
            await self._end(record, request, time.time())
            return b""
        return self._deferred.line(str(record.line), request)

    async def _seal(self, opened: _Open) -> Parcel:
        """Put a parcel down, then hand it in."""
        parcel = opened.close()
        for line, record in opened.lines:
            self._store.handed(line, record, parcel.name)
        self._note(parcel)
        await self._store.barrier()
        await self._submit(parcel)
        return parcel

    async def _submit(self, parcel: Parcel) -> None:
        spool = self._spool(parcel.name)
        parcel.remote = await self._deferred.submit(spool, self._resources, name=parcel.name)
        self._note(parcel)
        await self._store.barrier()
        self._say(f"{parcel.count} prompts handed in to {self._asker.endpoint.name} as {parcel.remote}")

    async def _collect(self, parcel: Parcel) -> None:
        """Wait until the provider has answered, and take the answers."""
        assert parcel.remote is not None
        pause = _SOON_S
        while not (state := await self._deferred.state(parcel.remote, self._resources)).ended:
            self._say(f"{self._asker.endpoint.name} has answered {state.done} of {state.total}")
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _LATE_S)
        known = await self._store.known(parcel.first, parcel.last)
        left = dict(self._members(parcel, known))
        if state.fault:
            why: EndpointError = EndpointUnavailable(f"{self._asker.endpoint.name}: {state.fault}")
        else:
            why = EndpointUnavailable(f"{self._asker.endpoint.name}: the batch had no result for this prompt")
            async with self._deferred.results(parcel.remote, self._resources) as results:
                async for custom_id, result in results:
                    offset = left.pop(int(custom_id), None) if custom_id.isdigit() else None
                    if offset is not None:
                        await self._take(int(custom_id), offset, result, parcel)
        for line, offset in left.items():
            await self._take(line, offset, why, parcel)
        parcel.collected = True
        self._note(parcel)
        await self._store.barrier()
        with filing():
            self._spool(parcel.name).unlink(missing_ok=True)

    def _members(self, parcel: Parcel, known: dict[int, Known]) -> Iterator[tuple[int, int]]:
        """Yield the parcel's prompts that have no answer yet: their lines, and where those begin."""
        for line in read_lines(self._place.input, number=self._lane.number, offset=self._lane.offset):
            if line.number > parcel.last:
                return
            mine = fitting(line.content, known.get(line.number))
            if mine is not None and mine.status == "running" and _parcel_of(mine) == parcel.name:
                yield line.number, line.offset

    async def _take(self, number: int, offset: int, result: object, parcel: Parcel) -> None:
        line = next(read_lines(self._place.input, number=number, offset=offset))
        assert isinstance(line.content, Record)
        outcome = self._asker.taken(line.content, result, parcel.handed)  # type: ignore[arg-type]
        await self._end(line.content, outcome, parcel.handed)


class _Open:
    """A parcel that is being filled."""

    def __init__(self, name: str, spool: Path) -> None:
        self.name = name
        self.lines: list[tuple[int, str]] = []
        self._bytes = 0
        self._spool = spool
        with filing():
            spool.write_bytes(b"")

    def takes(self, line: bytes, deferred: Deferred) -> bool:
        """Return whether there is room for a line."""
        return len(self.lines) < deferred.most_requests and self._bytes + len(line) + 1 <= deferred.most_bytes

    def add(self, record: Record, line: bytes) -> None:
        """Add a prompt."""
        self.lines.append((record.line, record.hash))
        self._bytes += len(line) + 1
        with filing(), open(self._spool, "ab") as spool:
            spool.write(line + b"\n")

    def close(self) -> Parcel:
        """Return the parcel."""
        lines = self.lines
        return Parcel(self.name, lines[0][0], lines[-1][0], len(lines), time.time())


def _parcel_of(known: Known) -> str | None:
    if known.status != "running" or known.added is None:
        return None
    name = decode(known.added)
    return name if isinstance(name, str) else None
