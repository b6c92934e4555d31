"""Play: one run of a tournament, piece by piece of work, without rounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar, cast

from agentflow.errors import EndpointError, LimitExceeded, RemoteProtocolError, RunError
from agentflow.runtime.context import Context
from agentflow.runtime.ledger import decode
from agentflow.tournament.agenda import TRIES, Agenda, Choice
from agentflow.tournament.agents import Board, Halt, Look, Make, Reject, Study
from agentflow.tournament.book import Book
from agentflow.tournament.entry import Done, Entry, Pick, Task
from agentflow.tournament.judging import Judgement, Match, Mode, judged
from agentflow.tournament.pairing import Pairs
from agentflow.tournament.picture import cut, title_of
from agentflow.tournament.report import EXPERT, Outcome, Standing, StopReason, TournamentReport
from agentflow.tournament.tournament import Tournament
from agentflow_protocols.chat import Json, Usage

__all__ = ["Play", "late", "until"]

Item = TypeVar("Item")

_Ready: TypeAlias = Callable[[], Coroutine[object, object, None]]
_SHOWN = 5  # items below the best k in a picture of the ladder
_TITLE = 80  # columns of an item's title there
_FAULT = 300  # characters of what went wrong that a report tells
_ANEW = 2  # how often a match that failed is played anew
_ENDING = 0.02  # the share of a limit of time that is kept for the report
_LEAST = 0.25  # seconds that are kept at least
_FAILURES = 3  # of an agent's endpoint in a row: then the run fails


@dataclass(frozen=True, slots=True)
class _Worked:
    """What an agent's work returned."""

    made: list[Json] | None = None
    text: str | None = None
    reject: str | None = None
    halt: str | None = None


class Play(Generic[Item]):
    """What is under way, and what is next."""

    def __init__(self, said: Tournament[Item], context: Context[object], ending: float = _ENDING) -> None:
        self._until = until(context, ending)
        self._closed = False
        self._said = said
        self._context = context
        self.book = Book(said, context.ledger)
        self._pairs = Pairs(said.parallel_rematch)
        self.agenda = Agenda(said, self.book, self._pairs)
        self._waiting: deque[_Ready] = deque()  # begun before a crash
        self._failed: deque[Pick] = deque()  # to be played anew
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._reason: StopReason | None = None
        self._fault: Exception | None = None
        self._looked = 0

    def restore(self, items: Sequence[Item]) -> None:
        """Read what the journal knows, and take in the items that it does not."""
        running, failed, tasks = self.book.restore()
        self._charge()
        for pick in running:
            self.book.tallies["match"].under_way += 1
            self._waiting.append(self._match(pick))
        for task, board in tasks:
            self.book.started(task)
            self._waiting.append(partial(self._task, task, board))
        self._failed.extend(pick for pick in failed if pick.anew < _ANEW)
        for item in items:
            self.add(item, "given")
        self.book.duplicates += len(items) - sum(
            each.source == "given" for each in self.book.entries.values()
        )
        self._looked = self.book.counts["judged"] - 1
        if self.book.halted is not None:
            self._reason = "unsafe"
        elif self.book.stopped:
            self._reason = "stopped"

    def _charge(self) -> None:
        """Count again what was spent before a crash on what has ended, so that limits hold over both runs."""
        state = self._context.state
        for kind, count in (("match", self.book.picks), ("task", self.book.tasks)):
            for number in range(1, count + 1):
                fact = state.ledger.find(f"{kind}/{number}")
                record = state.records.get(f"{state.id}/{kind}-{number}")
                if fact is None or fact.status != "ok" or record is None or record.row.output is None:
                    continue  # what goes on counts itself
                told = cast("Mapping[str, object]", decode(record.row.output))
                usage = Usage(**cast("Mapping[str, int]", told["usage"]))
                if usage.requests:
                    state.budget.charge(usage, cast("float | None", told["cost"]))
                for _ in range(usage.requests - 1):  # a turn each
                    state.budget.charge(Usage(), 0.0)

    async def work(self) -> TournamentReport[Item]:
        """Play to the end."""
        async with asyncio.TaskGroup() as group:
            await self._dispatch(group)
            for each in self._tasks:
                each.cancel()
        if self._fault is not None:
            raise self._fault
        return self.report()

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        self._look()
        self._fill(group)
        while not self._over():
            if await late(self._changed, self._until):
                self._reason = self._reason or "budget"
            self._changed.clear()
            self._fill(group)

    def _fill(self, group: asyncio.TaskGroup) -> None:
        """Let work begin while somebody is free."""
        while not self._over() and len(self._tasks) < self._said.concurrency:
            if (work := self._next()) is None:
                break
            self._tasks.add(group.create_task(self._guarded(work, group)))
        if not self._over() and not self._tasks:
            played_out = self.book.posterior.playing >= 2 and self.agenda.left() <= 0
            self._reason = "settled" if self.agenda.sure() else "max_matches" if played_out else "no pairs"
        if self._over():
            self._changed.set()

    def _over(self) -> bool:
        return self._reason is not None or self._fault is not None

    async def _guarded(self, work: _Ready, group: asyncio.TaskGroup) -> None:
        """Work, and choose at once what follows: a choice rests on the ends before it, and no others."""
        try:
            await work()
        except LimitExceeded:
            self._reason = self._reason or "budget"
        except Exception as error:
            self._fault = self._fault or error
        self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self._look()
        self._fill(group)

    # What is next.

    def _next(self) -> _Ready | None:
        try:
            self._context.budget.check()
        except LimitExceeded:
            self._reason = "budget"
            return None
        if self._waiting:
            return self._waiting.popleft()
        while self._failed:
            failed = self._failed.popleft()
            if not self._gone(failed):
                return self._match(self.book.begin(failed.first, failed.second, failed.mode, failed))
        choice = self.agenda.next(len(self._failed))
        if choice is None:
            return None
        if choice.agent == "match":
            return self._match(self.book.begin(*choice.pair, self._mode(choice.pair)))
        return self._begin(choice)

    def _gone(self, pick: Pick) -> bool:
        return any(self.book.entries[name].withdrawn is not None for name in (pick.first, pick.second))

    def _mode(self, pair: tuple[str, str]) -> Mode:
        best = self.book.posterior.ranking()[: self._said.k]
        return "debate" if self._said.debate is not None and set(pair) <= set(best) else "single"

    # Matches.

    def _match(self, pick: Pick) -> _Ready:
        self._pairs.begin(pick.first, pick.second)  # now, before the next is picked
        return partial(self._ended, pick)

    async def _ended(self, pick: Pick) -> None:
        ended = False
        try:
            outcome, said, tokens = await self._played(pick)
            self.book.end(pick, outcome, said, tokens)
            ended = True
        finally:
            self._pairs.end(pick.first, pick.second)
            if not ended:
                self.book.tallies["match"].under_way -= 1
        if outcome in ("timed out", "failed") and pick.anew < _ANEW:
            self._failed.append(pick)
        told: dict[str, Json] = {"number": pick.number, "first": pick.first, "second": pick.second}
        self._context.emit("match", {**told, "mode": pick.mode, "outcome": outcome})

    async def _played(self, pick: Pick) -> tuple[Outcome, str, int]:
        match = self._shown(pick)
        judge = self._said.judge
        if pick.mode == "debate" and self._said.debate is not None:
            judge = self._said.debate

        async def ask(context: Context[object], input: None) -> Judgement:
            return await judged(judge, context, match)

        await self._context.ledger.barrier()  # the pick is known before anybody is asked
        own = asyncio.timeout(self._said.match_timeout)
        try:
            async with own:
                result = await self._context.run(ask, None, key=f"match-{pick.number}")
        except TimeoutError:
            if not own.expired():
                raise
            return "timed out", "", 0
        except EndpointError:
            if pick.anew >= _ANEW:
                raise
            return "failed", "", 0
        except RemoteProtocolError:  # it was asked again already
            return "void", "", 0
        except LimitExceeded:
            if self._spent():
                raise
            return "void", "", 0
        verdict = result.output.verdict
        return "void" if verdict is None else verdict, result.output.said, result.usage.total_tokens

    def _shown(self, pick: Pick) -> Match[Item]:
        first, second = self.book.entries[pick.first], self.book.entries[pick.second]
        return Match(
            pick.number,
            self.book.goals[pick.goal],
            first.item,
            second.item,
            pick.mode,
            self._texts(first, pick.first_notes),
            self._texts(second, pick.second_notes),
            advice=self.book.advice(pick.seq),
        )

    def _texts(self, entry: Entry[Item], known: int) -> tuple[str, ...]:
        """Return what a judge reads of an item: the last review by each agent, and all by persons."""
        notes = [note for note in entry.notes[:known] if note.by not in self._said.memos]
        last = {note.by: number for number, note in enumerate(notes)}
        return tuple(
            note.text for number, note in enumerate(notes) if note.by == EXPERT or last[note.by] == number
        )

    # Agents' work.

    def _begin(self, choice: Choice) -> _Ready:
        task = self.book.begin_task(choice.agent, choice.about)
        return partial(self._task, task, self.book.board(task))

    async def _task(self, task: Task, board: Board[Item]) -> None:
        """Let an agent work, and put down all that comes of it."""

        made: list[Item] = []

        async def work(context: Context[object], input: None) -> _Worked:
            return await self._worked(context, task, board, made)

        self._tell(task, "began")
        await self._context.ledger.barrier()
        done = Done()
        fault: Exception | None = None
        try:
            result = await self._context.run(work, None, key=f"task-{task.number}")
        except (EndpointError, RemoteProtocolError, LimitExceeded) as error:
            if isinstance(error, LimitExceeded) and self._spent():
                raise
            fault = error
            done.failed = " ".join(f"{type(error).__name__}: {error}".split())[:_FAULT]
            done.unanswered = isinstance(error, EndpointError)
            self._fail(task, done)
        else:
            worked = result.output
            done.tokens, done.reject, done.halt = result.usage.total_tokens, worked.reject, worked.halt
            if isinstance(self._said.agents[task.agent], Study):
                done.advice = worked.text
            else:
                done.note = worked.text
            made = made or [self.book.read(value) for value in worked.made or ()]
        new = self.book.end_task(task, done, made)
        if fault is not None and self._down(task, fault):
            raise fault
        if done.halt is not None:
            self._reason = self._reason or "unsafe"
        self._tell(task, "failed" if fault else "ended", new)

    def _spent(self) -> bool:
        """Return whether a limit of the run is reached, not one that a judge or an agent has for itself."""
        deadline = self._context.deadline
        try:
            self._context.budget.check()
        except LimitExceeded:
            return True
        return deadline is not None and self._context.clock.time() >= deadline

    def _down(self, task: Task, fault: Exception) -> bool:
        """Return whether an agent has failed too often for the run to go on."""
        agent = self._said.agents[task.agent]
        needed = isinstance(fault, EndpointError) or (isinstance(agent, Study) and agent.on_goal)
        return needed and self.book.tallies[task.agent].failures >= _FAILURES

    def _fail(self, task: Task, done: Done) -> None:
        agent, tally = self._said.agents[task.agent], self.book.tallies[task.agent]
        if isinstance(agent, Look) and agent.gate and tally.failed_at.get(task.about, 0) + 1 >= TRIES:
            done.reject = f"{task.agent} could not review it"

    def _tell(self, task: Task, state: str, made: int = 0) -> None:
        told: dict[str, Json] = {"number": task.number, "agent": task.agent, "about": task.about}
        self._context.emit("task", {**told, "state": state, "made": made})

    async def _worked(
        self, context: Context[object], task: Task, board: Board[Item], made: list[Item]
    ) -> _Worked:
        agent = self._said.agents[task.agent]
        if isinstance(agent, Make):
            made += await agent.work(context, board)
            return _Worked([self.book.plain(item) for item in made])
        said: str | Reject | Halt
        if isinstance(agent, Look):
            said = await agent.work(context, self._looked_at(task, board), board)
        else:
            said = await agent.work(context, board)
        if isinstance(said, Reject):
            return _Worked(reject=said.why)
        if isinstance(said, Halt):
            return _Worked(halt=said.why)
        return _Worked(text=str(said))

    def _looked_at(self, task: Task, board: Board[Item]) -> Standing[Item]:
        for standing in board.ranking:
            if standing.id == task.about:
                return standing
        return self.book.standing(self.book.entries[task.about])

    # From outside, too.

    def opened(self) -> Book[Item]:
        """Return the book, for a person to write in. RunError when it has ended."""
        if self._closed:
            raise RunError(f"{self._said.name} has ended: what comes now changes nothing")
        return self.book

    def close(self) -> None:
        """Let nobody change it any more."""
        self._closed = True
        self._context.state.live = None

    def add(self, item: Item, source: str) -> str:
        """Take in an item; return its id."""
        entry = self.book.add(item, source)
        if entry is None:
            return self.book.id_of(item)
        self._context.emit("item", {"id": entry.id, "source": source})
        self.wake()
        return entry.id

    def stop(self) -> None:
        """End it; what is under way doesn't count."""
        if self._reason is None:
            self.book.stop()
            self._reason = "stopped"
        self.wake()

    def wake(self) -> None:
        """Look again at what is next."""
        self._changed.set()

    # The end.

    def _look(self) -> None:
        judged = self.book.counts["judged"]
        step = max(1, self.book.posterior.playing // 8)
        looked, self._looked = self._looked, judged
        if judged // step != looked // step:
            self._context.emit("ladder", self._ladder())
        if self._reason is None and self.agenda.ended():
            self._reason = "settled"

    def _ladder(self) -> dict[str, Json]:
        """Return a picture of how it stands, for who looks on."""
        known = self.book.posterior
        shown: list[Json] = []
        for name in known.ranking()[: self._said.k + _SHOWN]:
            quality = known.quality(name)
            low, high = quality.interval()
            entry = self.book.entries[name]
            row: dict[str, Json] = {"id": name, "quality": quality.mean, "low": low, "high": high}
            title = cut(title_of(entry.item), _TITLE)
            shown.append({**row, "matches": quality.matches, "source": entry.source, "title": title})
        judged = self.book.counts["judged"]
        told: dict[str, Json] = {"judged": judged, "left": self.agenda.left(), "k": self._said.k}
        settled = None if self._said.stop is None else self.book.settled
        told |= {"playing": known.playing, "settled": settled, "bias": known.bias.mean}
        return {**told, "ranking": shown}

    def report(self) -> TournamentReport[Item]:
        """Return how it stands, with why it ended."""
        book = self.book
        bias = book.posterior.bias
        modes = [mode for mode in ("single", "debate") if book.sharpness[mode].matches]
        return TournamentReport(
            book.goals[-1],
            book.ranking(),
            self._reason or "no pairs",
            book.settled_now(),
            (bias.mean, bias.deviation),
            {mode: book.sharpness[mode].mean for mode in modes},
            book.counts["judged"],
            book.counts["void"],
            book.counts["timed out"],
            book.counts["failed"],
            book.duplicates,
            [book.standing(each) for each in book.entries.values() if each.withdrawn is not None],
            list(book.played),
            self.agenda.work({}),
            {name: tally.fault for name, tally in book.tallies.items() if tally.fault is not None},
            book.advice(),
            list(book.history),
            book.halted,
            self._debates_pay(),
        )

    def _debates_pay(self) -> float | None:
        """Return how likely debates pay; None while one kind of judging is not known, or has no tokens."""
        costs = {mode: tally.tokens / (tally.calls or 1) for mode, tally in self.book.modes.items()}
        if not all(costs.values()):
            return None
        sharpness = self.book.sharpness
        return sharpness["debate"].pays(sharpness["single"], costs["debate"] / costs["single"])


async def late(changed: asyncio.Event, until: float | None) -> bool:
    """Wait until something has changed, at most until a time of the clock; return whether that has come."""
    try:
        async with asyncio.timeout_at(until):
            await changed.wait()
    except TimeoutError:
        return True
    return False


def until(context: Context[object], ending: float = _ENDING) -> float | None:
    """Return when work has to end, such that this share of what time is left remains; None for no limit."""
    if context.deadline is None:
        return None
    left = max(0.0, context.deadline - context.clock.time())
    return context.deadline - min(left / 2, max(_LEAST, left * ending))
