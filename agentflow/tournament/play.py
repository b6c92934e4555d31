"""Play: one run of a tournament, match by match, without rounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from agentflow.errors import EndpointError, LimitExceeded
from agentflow.tournament.book import Book, Entry, Pick
from agentflow.tournament.judging import Match, Mode, Verdict, judged
from agentflow.tournament.pairing import Pairs, ladder, swiss
from agentflow.tournament.report import Outcome, StopReason, TournamentReport
from agentflow.tournament.tournament import Board, Tournament

if TYPE_CHECKING:
    import numpy

    from agentflow.runtime.context import Context

__all__ = ["Play"]

Item = TypeVar("Item")

_ANEW = 2  # how often a match that failed is played anew
_BARREN = 3  # a maker that has made nothing new so often in a row is asked no more
_MATCHES_EACH = 15
_DRAWS_PICK, _DRAWS_STOP, _DRAWS_MAKE = 0, 1, 2  # streams of chance


class Play(Generic[Item]):
    """What is under way, and what is next."""

    def __init__(self, said: Tournament[Item], context: Context[object]) -> None:
        self._said = said
        self._context = context
        self.book = Book(said, context.ledger)
        self._pairs = Pairs(said.parallel_rematch)
        self._waiting: deque[Pick] = deque()  # picked before a crash
        self._failed: deque[Pick] = deque()  # to be played anew
        self._unread: deque[Entry[Item]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._matches = 0  # under way
        self._makes = 0
        self._making = 0
        self._tickets = 0
        self._barren = dict.fromkeys(said.makers, 0)
        self._changed = asyncio.Event()
        self._reason: StopReason | None = None
        self._fault: Exception | None = None
        self._looked = 0

    async def work(self, items: Sequence[Item]) -> TournamentReport[Item]:
        """Play to the end."""
        running, failed = self.book.restore()
        self._waiting.extend(running)
        self._failed.extend(pick for pick in failed if pick.anew < _ANEW)
        for item in items:
            self.add(item, "given")
        self.book.duplicates += len(items) - sum(
            each.source == "given" for each in self.book.entries.values()
        )
        self._looked = self.book.counts["judged"] - 1
        self._unread = deque(
            entry for entry in self.book.entries.values() if not entry.notes and entry.withdrawn is None
        )
        try:
            async with asyncio.TaskGroup() as group:
                await self._dispatch(group)
                for task in self._tasks:
                    task.cancel()
        finally:
            self._context.state.live = None
        if self._fault is not None:
            raise self._fault
        return self._report(self._reason or "no pairs")

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        while not self._over():
            while len(self._tasks) < self._said.concurrency and (work := self._next()) is not None:
                task = group.create_task(self._guarded(work))
                self._tasks.add(task)
                task.add_done_callback(self._done)
            if self._over():
                break
            if not self._tasks:
                played_out = self.book.posterior.playing >= 2 and self._left() <= 0
                self._reason = "max_matches" if played_out else "no pairs"
                break
            await self._changed.wait()
            self._changed.clear()
            self._look()

    def _over(self) -> bool:
        return self._reason is not None or self._fault is not None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except LimitExceeded:
            self._reason = self._reason or "budget"
        except Exception as error:
            self._fault = self._fault or error

    # What is next.

    def _next(self) -> Coroutine[object, object, None] | None:
        try:
            self._context.budget.check()
        except LimitExceeded:
            self._reason = "budget"
            return None
        if self._waiting:
            return self._match(self._waiting.popleft())
        if self._said.review is not None and self._unread:
            return self._review(self._unread.popleft())
        if (kind := self._to_make()) is not None:
            return self._make(kind)
        while self._failed:
            failed = self._failed.popleft()
            if not self._gone(failed):
                return self._match(self._begin(failed.first, failed.second, failed.mode, failed))
        pick = self._pick()
        if pick is not None:
            return self._match(pick)
        return None

    def _gone(self, pick: Pick) -> bool:
        return any(self.book.entries[name].withdrawn is not None for name in (pick.first, pick.second))

    def _begin(self, first: str, second: str, mode: Mode, instead: Pick | None = None) -> Pick:
        """Pick a match; all that its judge will be shown is fixed here, and a fact."""
        notes = [len(self.book.entries[name].notes) for name in (first, second)]
        goal = len(self.book.goals) - 1
        pick = Pick(self.book.picks + 1, first, second, mode, goal, notes[0], notes[1])
        if instead is not None:
            pick = replace(pick, anew=instead.anew + 1, instead=instead.number)
        self.book.begin(pick)
        return pick

    def _left(self) -> int:
        most = self._said.max_matches
        if most is None:
            most = _MATCHES_EACH * self.book.posterior.playing
        counts = self.book.counts
        return most - counts["judged"] - counts["void"] - self._matches - len(self._failed)

    def _chance(self, stream: int, number: int) -> numpy.random.Generator:
        import numpy as np

        return np.random.default_rng([self._said.seed, stream, number])

    def _pick(self) -> Pick | None:
        if self._left() <= 0:
            return None
        posterior, k = self.book.posterior, self._said.k
        chance = self._chance(_DRAWS_PICK, self.book.picks + 1)
        if self._said.objective == "top_k":
            pair = ladder(posterior, k, chance, self._pairs)
        else:
            pair = swiss(posterior, chance, self._pairs)
        if pair is None:
            return None
        mode: Mode = "single"
        if self._said.debate is not None and set(pair) <= set(posterior.ranking()[:k]):
            mode = "debate"
        return self._begin(*pair, mode)

    def _to_make(self) -> str | None:
        playing = self.book.posterior.playing
        kinds = [kind for kind in self._said.makers if self._barren[kind] < _BARREN]
        if playing < 2:
            kinds = [kind for kind in kinds if kind == "generate"]
        room = self._said.most_items - len(self.book.entries) - self._making
        if not kinds or room <= 0 or (self._left() <= 0 and playing >= 2):
            return None
        if playing < 2:
            return kinds[0] if not self._making else None
        self._tickets += 1
        weights = [self._said.weights.get(kind, 0.0) for kind in ("match", *kinds)]
        at = float(self._chance(_DRAWS_MAKE, self._tickets).random()) * sum(weights)
        for kind, weight in zip(("match", *kinds), weights, strict=True):
            at -= weight
            if at < 0:
                return None if kind == "match" else kind
        return None

    # Work.

    def _match(self, pick: Pick) -> Coroutine[object, object, None]:
        self._pairs.begin(pick.first, pick.second)  # now, before the next is picked
        self._matches += 1
        return self._ended(pick)

    async def _ended(self, pick: Pick) -> None:
        try:
            outcome = await self._played(pick)
            self.book.end(pick, outcome)
        finally:
            self._matches -= 1
            self._pairs.end(pick.first, pick.second)
        if outcome in ("timed out", "failed") and pick.anew < _ANEW:
            self._failed.append(pick)
        self._context.emit(
            "match",
            {
                "number": pick.number,
                "first": pick.first,
                "second": pick.second,
                "mode": pick.mode,
                "outcome": outcome,
            },
        )

    async def _played(self, pick: Pick) -> Outcome:
        first, second = self.book.entries[pick.first], self.book.entries[pick.second]
        match = Match(
            pick.number,
            self.book.goals[pick.goal],
            first.item,
            second.item,
            pick.mode,
            tuple(first.notes[: pick.first_notes]),
            tuple(second.notes[: pick.second_notes]),
        )
        judge = self._said.judge
        if pick.mode == "debate" and self._said.debate is not None:
            judge = self._said.debate

        async def ask(context: Context[object], input: None) -> str | None:
            return await judged(judge, context, match)

        await self._context.ledger.barrier()  # the pick is known before anybody is asked
        own = asyncio.timeout(self._said.match_timeout)
        try:
            async with own:
                verdict = (await self._context.run(ask, None, key=f"match-{pick.number}")).output
        except TimeoutError:
            if not own.expired():
                raise
            return "timed out"
        except EndpointError:
            if pick.anew >= _ANEW:
                raise
            return "failed"
        return "void" if verdict is None else cast("Verdict", verdict)

    async def _review(self, entry: Entry[Item]) -> None:
        review = self._said.review
        if review is None:
            return
        goal = self.book.goals[-1]

        async def read(context: Context[object], input: None) -> str:
            return await review(context, entry.item, goal)

        key = f"review-{list(self.book.entries).index(entry.id) + 1}-{len(self.book.goals)}"
        self.book.note(entry.id, (await self._context.run(read, None, key=key)).output)

    def _make(self, kind: str) -> Coroutine[object, object, None]:
        self._making += 1
        return self._made(kind)

    async def _made(self, kind: str) -> None:
        """Let new items be made. What a crash cut short is not gone on with: the board is another by then."""
        ledger, maker = self._context.ledger, self._said.makers[kind]
        self._makes += 1
        while ledger.find(f"make/{self._makes}") is not None:
            self._makes += 1
        key, source = f"make/{self._makes}", f"{kind}/{self._makes}"
        ledger.put(key, None, status="running")
        board = Board(self.book.goals[-1], self.book.ranking())

        async def make(context: Context[object], input: None) -> list[object]:
            return list(await maker(context, board))

        try:
            made = (await self._context.run(make, None, key=key.replace("/", "-"))).output
        finally:
            self._making -= 1
        before = len(self.book.entries)
        for item in made:
            self.add(cast("Item", item), source)
        new = len(self.book.entries) - before
        ledger.put(key, str(new).encode())
        self._barren[kind] = 0 if new else self._barren[kind] + 1

    # From outside, too.

    def add(self, item: Item, source: str) -> str:
        """Take in an item that plays at once; return its id."""
        entry = self.book.add(item, source)
        if entry is None:
            return self.book.id_of(item)
        self._unread.append(entry)
        self._context.emit("item", {"id": entry.id, "source": source})
        self.wake()
        return entry.id

    def stop(self) -> None:
        """End it; matches that are under way don't count."""
        self._reason = self._reason or "stopped"
        self.wake()

    def wake(self) -> None:
        """Look again at what is next."""
        self._changed.set()

    # The end.

    def settled(self, number: int) -> float:
        """Return which share of the best k is expected to be truly among them."""
        playing = self.book.posterior.playing
        k = max(1, min(self._said.k, playing - 1))
        return 1.0 if playing < 2 else self.book.posterior.overlap(k, self._chance(_DRAWS_STOP, number))

    def _look(self) -> None:
        judged = self.book.counts["judged"]
        if self._said.objective != "top_k" or self._said.stop_overlap is None or self._reason is not None:
            return
        step = max(1, self.book.posterior.playing // 8)
        looked, self._looked = self._looked, judged
        if judged // step == looked // step or judged == 0:
            return
        if self.settled(judged) >= self._said.stop_overlap:
            self._reason = "settled"

    def _report(self, reason: StopReason) -> TournamentReport[Item]:
        book = self.book
        bias = book.posterior.bias
        modes = [mode for mode in ("single", "debate") if book.sharpness[mode].matches]
        return TournamentReport(
            book.goals[-1],
            book.ranking(),
            reason,
            self.settled(book.counts["judged"]),
            (bias.mean, bias.deviation),
            {mode: book.sharpness[mode].mean for mode in modes},
            book.counts["judged"],
            book.counts["void"],
            book.counts["timed out"],
            book.counts["failed"],
            book.duplicates,
            [book.standing(each) for each in book.entries.values() if each.withdrawn is not None],
            list(book.played),
        )
