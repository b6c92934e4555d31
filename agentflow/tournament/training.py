"""Training: one run of a population, member by member, without generations.

Whatever happens to a member is a fact of the journal, `change/N`, with its place in one order. What comes
next follows from these alone, so that after a crash it goes on from there; each step, score and match is a
child run besides, which is not asked again what it had said.
"""

from __future__ import annotations

import asyncio
import copy
import json
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from agentflow.errors import EndpointError, LimitExceeded, RunError, UserError
from agentflow.runtime.ledger import decode, encode
from agentflow.tournament.judging import Match, Verdict, judged
from agentflow.tournament.play import late, until
from agentflow.tournament.population import Copy, EndReason, Member, Population, PopulationReport, Scored
from agentflow.tournament.posterior import Posterior
from agentflow_protocols.chat import Json

if TYPE_CHECKING:
    from agentflow.runtime.context import Context

__all__ = ["Encounter", "Training", "rated"]

Value = TypeVar("Value")
Out = TypeVar("Out")

_ANEW = 2  # how often what an endpoint failed is done anew
_HALF = 2.0  # after so many readinesses on both sides a match tells half as much
_WINDOW = 16  # matches for each member that are looked at
_LEAST = 0.05  # a match that tells less than this is not looked at


@dataclass(frozen=True, slots=True)
class Encounter:
    """A verdict on two members: their lives and their steps at the time. `order` is its place."""

    first: str
    second: str
    first_steps: int
    second_steps: int
    verdict: Verdict
    order: int


@dataclass(slots=True)
class _Job(Generic[Out]):
    """A call of the user's function, as a child run whose output is read back as its type."""

    kind: str
    call: Callable[[Context[object]], Awaitable[Out]]
    output_type: object = None

    async def __run__(self, context: Context[object], input: None, /) -> Out:
        """Make the call."""
        return await self.call(context)


class Training(Generic[Value]):
    """What is known of the members, and what is under way."""

    def __init__(self, said: Population[Value], context: Context[object]) -> None:
        self._said = said
        self._context = context
        self._members: list[Member[Value]] = []
        self._last: list[int] = []  # by member: the place of what happened to it last
        self._copies: list[Copy] = []
        self._copied_at: dict[str, tuple[str, int]] = {}  # by life: whose copy it began as, and when
        self._scores: list[Scored] = []
        self._encounters: list[Encounter] = []
        self._known: Posterior[str] | None = None  # as it was at `_known_at`
        self._known_at = 0
        self._void = 0
        self._met: set[str] = set()  # matches that are over, by what they were for
        self._seq = 0
        self._queue: deque[Member[Value]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._steps = 0
        self._stepping = 0
        self._ending = False  # no more steps: only scores that are missing
        self._changed = asyncio.Event()
        self._reason: EndReason | None = None
        self._fault: Exception | None = None

    async def work(self, values: Sequence[Value]) -> PopulationReport[Value]:
        """Train to the end."""
        self._restore()
        for value in values[len(self._members) :]:
            self._change({"member": len(self._members), "value": self._typed(value)})
        if not self._members:
            raise UserError(f"{self._said.name}: there are no members: give members=, or run it with some")
        self._line_up(self._members)
        async with asyncio.TaskGroup() as group:
            await self._dispatch(group)
            for task in self._tasks:
                task.cancel()
        if self._fault is not None:
            raise self._fault
        return self._report()

    def _line_up(self, members: Sequence[Member[Value]]) -> None:
        """Let members work: first who is amid its turn, then who has waited longest."""
        order = sorted(members, key=lambda each: (self._due(each) is None, self._last[each.number]))
        self._queue = deque(order)

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        while not self._over():
            while len(self._tasks) < self._said.concurrency and (member := self._next()) is not None:
                task = group.create_task(self._guarded(member))
                self._tasks.add(task)
                task.add_done_callback(self._done)
            if self._over():
                break
            if not self._tasks:
                if self._ending:
                    total = self._said.total_steps
                    every = total is None or self._steps < total
                    self._reason = "steps" if every else "total_steps"
                    break
                self._ending = True
                self._line_up([each for each in self._members if self._due(each) is not None])
                continue
            if await late(self._changed, until(self._context)):
                self._reason = self._reason or "budget"
            self._changed.clear()

    def _over(self) -> bool:
        return self._reason is not None or self._fault is not None

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _guarded(self, member: Member[Value]) -> None:
        try:
            await self._turn(member)
        except LimitExceeded:
            self._reason = self._reason or "budget"
        except Exception as error:
            self._fault = self._fault or error

    # What is next.

    def _next(self) -> Member[Value] | None:
        while self._queue:
            try:
                self._context.budget.check()
            except LimitExceeded:
                self._reason = "budget"
                return None
            member = self._queue.popleft()
            if self._due(member) is not None:
                return member
            if self._may_step(member):
                self._stepping += 1  # now, before the next is looked at
                return member
        return None

    def _may_step(self, member: Member[Value]) -> bool:
        said = self._said
        if self._ending or (said.steps is not None and member.steps >= said.steps):
            return False
        return said.total_steps is None or self._steps + self._stepping < said.total_steps

    def _due(self, member: Member[Value]) -> Callable[[Member[Value]], Awaitable[None]] | None:
        """Return what a member's turn still lacks, by what is known of it alone."""
        said = self._said
        last = self._ending or (said.steps is not None and member.steps >= said.steps)
        if member.fault is not None and not last:
            return self._compare
        ready = not last and member.steps > member.ready_at and self._ready(member)
        unscored = said.score is not None and member.scored_at < member.steps
        if unscored and (last or ready or member.steps % said.score_every == 0):
            return self._score
        return self._compare if ready else None

    def _ready(self, member: Member[Value]) -> bool:
        ready = self._said.ready
        return ready(member) if callable(ready) else member.steps - member.ready_at >= ready

    async def _turn(self, member: Member[Value]) -> None:
        """Let a member make a step, and do what follows from it."""
        if self._due(member) is None:
            try:
                await self._step(member)
            finally:
                self._stepping -= 1
        while (due := self._due(member)) is not None and not self._over():
            await due(member)
        self._queue.append(member)

    # Work.

    async def _step(self, member: Member[Value]) -> None:
        said, value = self._said, member.value
        key = f"step-{member.number}-{member.steps + 1}"
        try:
            job = _Job("step", lambda context: said.step(context, copy.deepcopy(value)), said.member_type)
            trained = await self._asked(job, key)
        except LimitExceeded:
            raise
        except Exception as error:
            if said.on_error == "fail":
                raise
            fault = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self._change({"failed": member.number, "fault": fault})
            return
        if trained is None:
            raise UserError(f"{said.name}: step returned None: let it return the member")
        self._change({"step": member.number, "value": trained})

    async def _score(self, member: Member[Value]) -> None:
        said = self._said
        score = said.score
        if score is None:
            return
        value = member.value
        job = _Job("score", lambda context: score(context, copy.deepcopy(value)))
        found = cast("object", await self._asked(job, f"score-{member.number}-{member.steps}"))
        if found is not None and (isinstance(found, bool) or not hasattr(found, "__float__")):
            raise UserError(f"{said.name}: a score is a number, not {str(found)[:60]!r}")
        # A NaN that was read back from the journal is None.
        number = math.nan if found is None else float(cast("float", found))
        self._change({"score": member.number, "value": number if math.isfinite(number) else None})

    async def _asked(self, job: _Job[Out], key: str) -> Out:
        for anew in range(_ANEW + 1):
            try:
                return (await self._context.run(job, None, key=f"{key}-{anew + 1}" if anew else key)).output
            except EndpointError:
                if anew == _ANEW:
                    raise
        raise AssertionError("unreachable")

    async def _compare(self, member: Member[Value]) -> None:
        """Let a member compare itself with the others, and copy one of them."""
        others = [each for each in self._members if each is not member]
        chance = random.Random(f"{self._said.seed} {member.number} {member.steps}")
        met: Member[Value] | None = None
        if self._said.judge is not None and others and member.fault is None:
            met = await self._play(chance, member, others)
        source: Member[Value] | None
        if member.fault is not None:
            source = self._one_of_the_best(chance, others)
            if source is None:
                raise RunError(f"{self._said.name}: member {member.number}: {member.fault}; none to copy yet")
        elif callable(self._said.exploit):
            number = self._said.exploit(chance, member, others)
            source = next((each for each in others if each.number == number), None)
            if number is not None and source is None:
                raise UserError(f"{self._said.name}: exploit returned {number!r}, which is no other's number")
        elif self._said.exploit == "posterior":
            source = self._by_draw(member, met)
        else:
            source = self._by_truncation(chance, member)
        if source is None:
            self._change({"ready": member.number})
            return
        value = copy.deepcopy(source.value)
        if self._said.inherit is not None:
            value = self._said.inherit(copy.deepcopy(member.value), value)
        if self._said.explore is not None:
            value = self._said.explore(chance, value)
        self._change({"ready": member.number, "from": source.number, "value": value})

    def _ranked(self) -> list[Member[Value]]:
        """Return the members that are known, best first; one whose score is none stands last."""
        if self._said.judge is not None:
            posterior = self._rated()
            return sorted(self._members, key=lambda each: -posterior.quality(each.life).mean)
        known = [each for each in self._members if each.scored_at > 0 or each.score is not None]
        return sorted(known, key=lambda each: (each.score is None, -(each.score or 0.0)))

    def _one_of_the_best(
        self, chance: random.Random, others: Sequence[Member[Value]]
    ) -> Member[Value] | None:
        judged = self._said.judge is not None
        best = [
            each
            for each in self._ranked()
            if each in others and each.fault is None and (judged or each.score is not None)
        ]
        return chance.choice(best[: self._part(len(best))]) if best else None

    def _part(self, count: int) -> int:
        return max(1, int(count * self._said.share + 0.5))

    def _by_truncation(self, chance: random.Random, member: Member[Value]) -> Member[Value] | None:
        ranked = self._ranked()
        part = self._part(len(ranked))
        if not any(each is member for each in ranked[-part:]):
            return None
        source = chance.choice(ranked[:part])
        if self._said.judge is None and (
            source.score is None or (member.score is not None and source.score <= member.score)
        ):
            return None
        return None if source is member else source

    async def _play(
        self, chance: random.Random, member: Member[Value], others: Sequence[Member[Value]]
    ) -> Member[Value] | None:
        """Play one other, as it is now; return it, None when it has become a copy meanwhile."""
        other = chance.choice(others)
        copies, version = len(other.copies), replace(other, copies=list(other.copies))
        for number in range(self._said.matches):
            pair = (member, version) if chance.random() < 0.5 else (version, member)
            await self._match(pair, f"{member.number}-{member.steps}-{number + 1}")
        posterior = self._rated()
        for each in self._members:
            each.quality = posterior.quality(each.life)
        return other if len(other.copies) == copies else None

    def _by_draw(self, member: Member[Value], other: Member[Value] | None) -> Member[Value] | None:
        import numpy as np

        if other is None:
            return None
        posterior = self._rated()
        draw = posterior.samples(1, np.random.default_rng([self._said.seed, member.number, member.steps]))[0]
        place = {life: at for at, life in enumerate(posterior.items)}
        return other if draw[place[other.life]] > draw[place[member.life]] else None

    async def _match(self, pair: tuple[Member[Value], Member[Value]], at: str) -> None:
        judge = self._said.judge
        if judge is None or at in self._met:
            return
        first, second = pair
        shown = [copy.deepcopy(each.value) for each in pair]
        match = Match(len(self._met) + 1, self._said.goal, shown[0], shown[1])
        # Whom it plays depends on who was how far: a crash may change that, and then it is another match.
        key = f"match-{at}-{first.life}-{first.steps}-{second.life}-{second.steps}"

        async def ask(context: Context[object]) -> Verdict | None:
            return (await judged(judge, context, match)).verdict

        verdict = await self._asked(_Job("match", ask), key)
        steps = [first.steps, second.steps]
        self._change({"match": at, "lives": [first.life, second.life], "steps": steps, "verdict": verdict})

    def _rated(self) -> Posterior[str]:
        if self._known is None or self._known_at < self._seq:
            ready = self._said.ready
            half = _HALF * 2 * (10 if callable(ready) else ready)
            self._known = rated(self._members, self._encounters, self._copied_at, half=half)
            self._known_at = self._seq
        return self._known

    # Facts.

    def _restore(self) -> None:
        while (fact := self._context.ledger.find(f"change/{self._seq + 1}")) is not None:
            self._seq += 1
            change = cast("dict[str, object]", decode(fact.output))
            if "value" in change and "score" not in change:
                text = json.dumps(change["value"]).encode()
                change["value"] = decode(text, self._said.member_type)
            self._apply(change)

    def _change(self, change: Mapping[str, object]) -> None:
        """Put down what happened, and take it in: the two are one."""
        self._seq += 1
        if self._context.ledger.durable:
            self._context.ledger.put(f"change/{self._seq}", encode(change, "a member"))
        self._apply(change)
        kind = next(iter(change))
        if kind != "member":
            told = {name: data for name, data in change.items() if name != "value" or kind == "score"}
            self._context.emit("population", cast("Json", told))

    def _typed(self, value: Value) -> Value:
        """Return a member as its type: a run that goes on is given plain JSON."""
        if self._said.member_type is None or not isinstance(value, dict | list):
            return copy.deepcopy(value)
        return cast("Value", decode(encode(value, "a member"), self._said.member_type))

    def _apply(self, change: Mapping[str, object]) -> None:
        kind, of = next(iter(change.items()))
        value = cast("Value", change.get("value"))
        if kind == "member":
            self._members.append(Member(cast("int", of), value))
            self._last.append(self._seq)
            return
        if kind == "match":
            self._apply_match(str(of), change)
            return
        member = self._members[cast("int", of)]
        self._last[member.number] = self._seq
        if kind == "step":
            member.value = value
            member.steps += 1
            self._steps += 1
        elif kind == "failed":
            member.steps += 1
            self._steps += 1
            member.failed += 1
            member.fault = str(change["fault"])
            member.score, member.scored_at = None, member.steps
        elif kind == "score":
            member.score = cast("float | None", change["value"])
            member.scored_at = member.steps
            self._scores.append(Scored(member.number, member.steps, member.score))
            target = self._said.target
            if target is not None and member.score is not None and member.score >= target:
                self._reason = self._reason or "target"
        else:
            member.ready_at = member.steps
            if "from" in change:
                self._apply_copy(member, self._members[cast("int", change["from"])], value)

    def _apply_copy(self, member: Member[Value], source: Member[Value], value: Value) -> None:
        done = Copy(member.number, member.steps, source.number, source.steps, member.score, source.score)
        member.value, member.score, member.fault = value, source.score, None
        member.copies.append(done)
        self._copies.append(done)
        self._copied_at[member.life] = (source.life, self._seq)

    def _apply_match(self, at: str, change: Mapping[str, object]) -> None:
        self._met.add(at)
        first, second = cast("list[str]", change["lives"])
        steps = cast("list[int]", change["steps"])
        verdict = cast("Verdict | None", change["verdict"])
        if verdict is None:
            self._void += 1
        else:
            self._encounters.append(Encounter(first, second, steps[0], steps[1], verdict, self._seq))

    def _report(self) -> PopulationReport[Value]:
        ranked = self._ranked()
        bias: tuple[float, float] | None = None
        if self._said.judge is not None:
            posterior = self._rated()
            bias = (posterior.bias.mean, posterior.bias.deviation)
            for each in ranked:
                each.quality = posterior.quality(each.life)
        unknown = [each for each in self._members if each not in ranked]
        return PopulationReport(
            [*ranked, *unknown],
            self._reason or "steps",
            self._steps,
            self._copies,
            self._scores,
            len(self._encounters),
            self._void,
            bias,
        )


def rated(
    members: Sequence[Member[Value]],
    encounters: Sequence[Encounter],
    copied_at: Mapping[str, tuple[str, int]],
    *,
    half: float,
) -> Posterior[str]:
    """Return what matches say of the members' newest values, by their lives.

    A match tells less the further the two have been trained since: half, after `half` steps of both
    together. What it tells of a life that was copied is shared out among those that come from it.
    """
    posterior: Posterior[str] = Posterior(each.life for each in members)
    lines = [_line(each.life, copied_at) for each in members]
    for met in encounters[-_WINDOW * len(members) :]:
        sides = [
            [each for each, line in zip(members, lines, strict=True) if line.get(life, -1) >= met.order]
            for life in (met.first, met.second)
        ]
        share = 1 / max(1, len(sides[0]) * len(sides[1]))
        for first in sides[0]:
            for second in sides[1]:
                age = max(0, first.steps - met.first_steps) + max(0, second.steps - met.second_steps)
                weight = share * 0.5 ** (age / half)
                if first is second or weight < _LEAST:
                    continue
                sharp = math.sqrt(weight)
                if met.verdict == "tie":
                    posterior.take_tie(first.life, second.life, sharpness=sharp)
                else:
                    won = met.verdict == "first"
                    posterior.take(first.life, second.life, first_won=won, sharpness=sharp)
    return posterior


def _line(life: str, copied_at: Mapping[str, tuple[str, int]]) -> dict[str, float]:
    """Return the lives that one comes from, itself among them, and until when each of them was its own."""
    line: dict[str, float] = {life: math.inf}
    until = math.inf
    while life in copied_at:
        life, at = copied_at[life]
        until = min(until, at)
        line[life] = until
    return line
