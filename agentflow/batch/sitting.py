"""One sitting over a batch: it takes up what earlier ones left, asks the rest, and writes what comes.

An answer is durable in the journal before its line is written, and its line is written
before it is counted. A crash at any point loses no answer; what was under way is asked again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from agentflow.batch.adopt import adopt
from agentflow.batch.asking import Asker, Outcome, failure
from agentflow.batch.completed import CompletedFile, count_lines, fitting, look_up, write_in_order
from agentflow.batch.deferred import DeferredLane
from agentflow.batch.lane import Lane, LaneKey
from agentflow.batch.lines import read_pages
from agentflow.batch.place import Place
from agentflow.batch.progress import Progress
from agentflow.batch.store import Known, Store
from agentflow.batch.survey import Survey, survey
from agentflow.endpoints.http_model import HttpModel
from agentflow.errors import LimitExceeded, QuotaExhausted, UserError
from agentflow.runtime.journal import Journal, RunRow
from agentflow_protocols.experiment import Problem, Record, rate_problems

if TYPE_CHECKING:
    from agentflow.batch.batch import Batch
    from agentflow.runtime.context import Context

__all__ = ["Sitting", "take_up"]

_ROOM = 128  # prompts of a lane that wait for their turn to be sent
_FLIGHTS = 1_000
_REFUSALS = 3  # 401 or 403 in a row, with no answer before, that end a lane
_REVOKED = 20  # 401 in a row, after answers, that do


async def take_up(batch: Batch, journal: Journal) -> tuple[Place, Store]:
    """Return the start to go on with, or a new one, and what is known of its prompts."""
    site, mode = batch.site, batch.options.resume
    last = None if mode == "fresh" else site.last()
    if last is None:
        place = site.begin()
        return place, Store(journal, _next(place.run, await journal.runs()))
    mine = [row for row in await journal.runs() if _is_of(last.run, row)]
    same = site.same_input(last)
    if not mine:  # prompto's, or ours that ended before it began
        if not same and mode != "resume":
            place = site.begin()
            return place, Store(journal, place.run)
        store = Store(journal, last.run)
        sources = sorted(last.completed.parent.glob(f"*-completed-{last.name}.jsonl"))
        await adopt(sources or [f for f in (last.completed,) if f.exists()], last.input, store)
        return last, store
    newest = mine[0]
    if same:
        site.drop_input(last)
        return last, Store(journal, newest.id)
    if newest.status == "succeeded" and mode != "resume" and not site.keeps:
        place = site.begin()
        return place, Store(journal, _next(place.run, await journal.runs()))
    return await _changed(batch, journal, last, newest.id, _next(last.run, mine))


async def _changed(batch: Batch, journal: Journal, place: Place, old: str, new: str) -> tuple[Place, Store]:
    """Take the changed input in the place of the old one; its prompts that were answered stay so."""
    await write_in_order(place, Store(journal, old), place.completed, failed=False)
    staged = batch.site.stage(place)
    store = Store(journal, new)
    await adopt([place.completed], staged, store)
    store.begin(place.name, batch.version, {})
    await store.barrier()
    staged.replace(place.input)
    batch.site.replaced(place)
    return place, store


def _is_of(run: str, row: RunRow) -> bool:
    return row.id == run or row.id.startswith(f"{run}+")


def _next(run: str, rows: Sequence[RunRow]) -> str:
    count = sum(_is_of(run, row) for row in rows)
    return f"{run}+{count}" if count else run


class Sitting:
    """The work of one sitting. Use it once."""

    def __init__(self, batch: Batch, context: Context[object], place: Place, store: Store) -> None:
        self.batch = batch
        self.place = place
        self.store = store
        self._context = context
        self._completed = CompletedFile(place.completed)
        self._known = False
        self._lanes: list[Lane] = []
        self._flights = asyncio.Semaphore(batch.options.flights or _FLIGHTS)
        self.progress = Progress(context.clock, batch.rate_of)
        self._refusals: dict[LaneKey, int] = {}
        self._served: set[LaneKey] = set()

    async def work(self) -> Progress:
        """Ask what is unanswered. Raises `UserError` before anything is sent, `RunError` for the disk."""
        found = await survey(self.place.input, self.store, self.batch.lane_of, self.batch.faults)
        if not found.prompts:
            raise UserError(
                f"{self.batch.site.file}: no prompts in it; a line is a JSON object with a `prompt`"
            )
        if wrong := rate_problems(self.batch.options.rates, found.models):
            raise UserError(f"the rates: {wrong[0]}")
        self._tell(found)
        self._known = found.answered + found.failed > 0 or self.place.completed.exists()
        askers = {key: self._asker(key) for key, lane in found.lanes.items() if lane.finished < lane.prompts}
        self.progress.begin(found, [asker.endpoint for asker in askers.values()])
        await self._reconcile(found)
        self.store.begin(self.place.name, self.batch.version, {"input": str(self.batch.site.file)})
        await self.store.barrier()
        self._log(f"{found.prompts} prompts, {found.answered} of them answered before")
        self._completed.open()
        try:
            await self._ask_all(found, askers)
        finally:
            self._completed.close()
        return self.progress

    def _tell(self, found: Survey) -> None:
        """Say what is odd about the input, before anything is asked."""
        for problem in found.problems:
            self._context.emit("batch.problem", {"line": problem.line, "message": problem.message})
        for note in found.notes:
            self._context.emit("batch.note", {"line": note.line, "message": note.message})

    def _asker(self, key: LaneKey) -> Asker:
        batch = self.batch
        endpoint = batch.endpoint_of(key)
        endpoint.check()
        if isinstance(endpoint.target, HttpModel):
            endpoint.target.transport(self._context.resources)  # what it imports is not to cost time later
        return Asker(
            endpoint,
            self.store,
            self._context.resources,
            self._context.threads,
            media=self.place.media,
            api=batch.assumed_api,
            group=key.queue,
            scorers=batch.scorers,
        )

    async def _reconcile(self, found: Survey) -> None:
        """Make the completed file hold the answers there are, and no torn or failed line."""
        lines = count_lines(self.place.completed)
        if lines is None and not found.answered and not self.place.completed.exists():
            return
        if lines != found.answered or found.failed:
            await write_in_order(self.place, self.store, self.place.completed, failed=False)

    async def _ask_all(self, found: Survey, askers: dict[LaneKey, Asker]) -> None:
        self._lanes = list(found.lanes.values())
        ticker = asyncio.create_task(self._tick(), name="batch-progress")
        try:
            async with asyncio.TaskGroup() as group:
                if found.faulty:
                    group.create_task(self._faults(), name="batch-faults")
                for key, asker in askers.items():
                    group.create_task(self._lane(found.lanes[key], asker), name=f"batch-{key.model}")
        finally:
            ticker.cancel()
            with suppress(asyncio.CancelledError):
                await ticker
        self._context.progress(self.progress.state())

    async def _tick(self) -> None:
        """Tell how far the batch is, once a second."""
        while True:
            self._context.progress(self.progress.state())
            await asyncio.sleep(1.0)
            if self._context.state.gate.closed:
                for lane in self._lanes:
                    lane.hold()

    async def _faults(self) -> None:
        """Give the lines that can't be asked their line in the output."""
        for page in read_pages(self.place.input):
            for line, known in await look_up(page, self.store):
                content = line.content
                if isinstance(content, Record):
                    if (known and known.status == "ok") or self.batch.lane_of(content) is not None:
                        continue
                    message = self.batch.faults(content)[0]
                else:
                    message = content.message
                await self._end(content, failure("ValueError", message, 0), time.time())

    async def _lane(self, lane: Lane, asker: Asker) -> None:
        """Ask the lane's prompts, a few ahead of their turn."""
        several = await self._deferred(lane, asker) if self.batch.options.deferred else None
        async with asyncio.TaskGroup() as group:
            while True:
                pages: Iterable[list[Record]] = lane.pages(self.place.input, self.batch.lane_of)
                if several is not None:
                    pages = [[record] for record in several]
                await self._read(lane, asker, pages, group)
                await self._context.state.gate.passed()
                if not lane.held:
                    return
                lane.held, self._known = False, True

    async def _read(
        self, lane: Lane, asker: Asker, pages: Iterable[list[Record]], group: asyncio.TaskGroup
    ) -> None:
        """Send what the pages hold, until they end, or the lane is stopped or held."""
        room = asyncio.Semaphore(_ROOM)
        for page in pages:
            known: dict[int, Known] = {}
            if self._known:
                known = await self.store.known(page[0].line, page[-1].line)
            for record in page:
                mine = fitting(record, known.get(record.line))
                if (mine is not None and mine.status == "ok") or record.line in lane.flying:
                    continue
                await room.acquire()
                await self._flights.acquire()
                if lane.stopped is not None or lane.held or self._context.state.gate.closed:
                    lane.held = lane.stopped is None
                    self._flights.release()
                    return
                self._send(group, lane, asker, record, mine, room)

    async def _deferred(self, lane: Lane, asker: Asker) -> list[Record]:
        """Ask the lane's prompts by the provider's batch API; return those that can't be."""

        def say(text: str) -> None:
            self.progress.says = text

        work = DeferredLane(
            lane,
            asker,
            self.place,
            self.store,
            self._context.resources,
            lane_of=self.batch.lane_of,
            end=self._end,
            say=say,
        )
        return await work.work()

    def _send(
        self,
        group: asyncio.TaskGroup,
        lane: Lane,
        asker: Asker,
        record: Record,
        known: Known | None,
        room: asyncio.Semaphore,
    ) -> None:
        """Start a prompt; its place in the room is free once it goes out, its flight once it has ended."""

        def admitted() -> None:
            if task in lane.waiting:
                lane.waiting.discard(task)
                room.release()

        def ended(_: asyncio.Task[None]) -> None:
            admitted()
            lane.flying.discard(record.line)
            self._flights.release()

        lane.flying.add(record.line)
        task = group.create_task(self._one(lane, asker, record, known, admitted))
        lane.waiting.add(task)
        task.add_done_callback(ended)

    async def _one(
        self, lane: Lane, asker: Asker, record: Record, known: Known | None, admitted: Callable[[], None]
    ) -> None:
        began = time.time()
        with ExitStack() as under_way:

            def goes() -> None:
                if record.line not in lane.sent:
                    lane.sent.add(record.line)
                    under_way.enter_context(self._context.state.gate.busy())
                    under_way.callback(lane.sent.discard, record.line)
                self.progress.sent(lane.key.queue)
                admitted()

            try:
                self._context.budget.check()
                outcome = await asker.ask(record, known, goes)
                await self._end(record, outcome, began)
            except LimitExceeded as error:
                self._stop(lane, str(error))
            else:
                self._judge_lane(lane, outcome)

    async def _end(self, content: Record | Problem, outcome: Outcome, began: float) -> None:
        """Put the outcome down, write its line, and count it, in this order."""
        line, hashed = content.line, content.hash if isinstance(content, Record) else ""
        self.store.done(line, hashed, outcome.added, failed=outcome.failed, began=began)
        await self.store.barrier()
        self._completed.add(content, outcome.added)
        if outcome.usage.requests:
            self._context.budget.charge(outcome.usage, outcome.cost)
        self.progress.count(outcome)
        if outcome.failed:
            error = outcome.added["error"]
            assert isinstance(error, dict)
            self._log(f"line {line}: {error['type']} - {error['message']}")

    def _judge_lane(self, lane: Lane, outcome: Outcome) -> None:
        """End a lane whose every further prompt would be refused, too: what is unasked costs nothing."""
        key = lane.key
        if outcome.final is None:
            if not outcome.failed:
                self._refusals[key] = 0
                self._served.add(key)
            return
        served = key in self._served
        if not served or outcome.final.status == 401:
            self._refusals[key] = self._refusals.get(key, 0) + 1
        most = _REVOKED if served else _REFUSALS
        if isinstance(outcome.final, QuotaExhausted) or self._refusals.get(key, 0) >= most:
            self._stop(lane, str(outcome.final))

    def _stop(self, lane: Lane, why: str) -> None:
        if lane.stopped is None:
            lane.stop(why)
            self.progress.stopped = why
            self._log(f"no more of {lane.key.model}: {why}")
            self._context.emit("batch.stopped", {"model": lane.key.model, "message": why})

    def _log(self, message: str) -> None:
        """Write a line of the log, as prompto has it. A full disk ends the log, not the batch."""
        path = self.place.log
        if path is None:
            return
        text = " ".join(message.split())
        with suppress(OSError), open(path, "a", encoding="utf-8") as log:
            log.write(f"{datetime.now():%d-%m-%Y, %H:%M}: {text}\n")
