"""Population: members that are trained side by side, where who lags copies who leads.

Population based training (M. Jaderberg et al., arXiv 1711.09846) of whatever has a JSON form: weights with
their hyperparameters, prompts, programs. No generation waits for its slowest: each member goes on by itself,
and one that is ready compares itself with the newest of all others.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

from agentflow.errors import UserError
from agentflow.runtime.context import Context, output_type
from agentflow.tournament.judging import Judge
from agentflow.tournament.posterior import Quality

__all__ = ["Copy", "Exploit", "Explore", "Inherit", "Member", "Population", "PopulationReport", "Scored"]

Value = TypeVar("Value")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Copy:
    """A member gave up what it was for a copy of `source`; steps and scores of both, as they were then."""

    member: int
    steps: int
    source: int
    source_steps: int
    score: float | None = None
    source_score: float | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A member's score after so many steps; None where it was no finite number."""

    member: int
    steps: int
    score: float | None


@dataclass(slots=True, eq=False)
class Member(Generic[Value]):
    """A member: its number, from 0, its newest value, and how far it is.

    `score` is that of its value at `scored_at` steps, a copy's that of its source until it has its own;
    None is none yet, or none that is finite. `ready_at` is when it last compared itself. `quality` is what
    its matches say, in the report of a population with a judge. `fault` is why its last step failed.
    """

    number: int
    value: Value
    steps: int = 0
    score: float | None = None
    scored_at: int = 0
    ready_at: int = 0
    failed: int = 0
    fault: str | None = None
    copies: list[Copy] = field(default_factory=list)
    quality: Quality | None = None

    @property
    def life(self) -> str:
        """What it is called between two copies: `3.1` is member 3 since its first."""
        return f"{self.number}.{len(self.copies)}"


Exploit: TypeAlias = Callable[[random.Random, Member[Value], Sequence[Member[Value]]], int | None]
Explore: TypeAlias = Callable[[random.Random, Value], Value]
Inherit: TypeAlias = Callable[[Value, Value], Value]
EndReason: TypeAlias = Literal["steps", "total_steps", "target", "budget"]


@dataclass(frozen=True, slots=True)
class PopulationReport(Generic[Value]):
    """What came of a population: its members, best first, every copy and every score in their order.

    `matches` have a verdict, `void` ones have none. `stop_reason` says why it ended: all members have
    done their `steps`, or together their `total_steps`, one reached the `target`, or a limit was reached.
    """

    members: list[Member[Value]]
    stop_reason: EndReason
    steps: int
    copies: list[Copy]
    scores: list[Scored]
    matches: int = 0
    void: int = 0
    order_bias: tuple[float, float] | None = None

    @property
    def best(self) -> Member[Value]:
        """The best member; IndexError when there is none."""
        return self.members[0]

    def curve(self, member: int | None = None) -> list[tuple[int, float]]:
        """Return scores by step: those of a member, or the best of all members at each step."""
        best: dict[int, float] = {}
        for each in self.scores:
            if each.score is not None and member in (None, each.member):
                best[each.steps] = max(each.score, best.get(each.steps, each.score))
        return sorted(best.items())

    def lineage(self, member: int) -> list[tuple[int, int]]:
        """Return where a member comes from: pairs of a member and its steps when the next copied it.

        The first was there at the beginning; the last is the member itself, with the steps it has done.
        """
        found = next(each for each in self.members if each.number == member)
        line = [(member, found.steps)]
        at = len(self.copies)
        while True:
            now = line[0][0]
            copies = [n for n, copy in enumerate(self.copies[:at]) if copy.member == now]
            if not copies:
                return line
            at = copies[-1]
            line.insert(0, (self.copies[at].source, self.copies[at].source_steps))

    def as_text(self) -> str:
        """Return it as lines to be read: members with their lineage, best first."""
        failed = sum(each.failed for each in self.members)
        head = f"{len(self.members)} members, {self.steps} steps, {len(self.copies)} copies"
        if self.matches or self.void:
            head += f", {self.matches} matches, {self.void} void"
        lines = [f"{head}{f', {failed} steps failed' if failed else ''}; ended by {self.stop_reason}"]
        for each in self.members:
            if each.quality is not None:
                low, high = each.quality.interval()
                worth = f"quality {each.quality.mean:.2f} ({low:.2f} to {high:.2f})"
            else:
                worth = "no score" if each.score is None else f"score {each.score:.6g}"
            came = " > ".join(f"{number} at {steps}" for number, steps in self.lineage(each.number))
            lines.append(f"  member {each.number}: {worth}, steps {each.steps}, from {came}")
        return "\n".join(lines)


class Population(Generic[Value]):
    """Train `members` side by side; run it with None, or further members. The output is a `PopulationReport`.

    `step` trains a member and returns it. `score`, higher is better, is asked every `score_every` steps
    and when a member is ready; one that isn't finite counts as the worst. Or a `judge` compares two
    members for the `goal`, as in a `Tournament`: who is ready plays `matches` against one other.

    Every `ready` steps, or when that function of a `Member` says so, a member compares itself with the
    newest of all others. `exploit` says whom it copies, if anyone: with `truncation` one of the worst
    `share` copies one of the best `share`; with `posterior`, a judge's, a member copies the one it has
    played when that is better in a draw of what is known; or it is a function of chance, the member and
    all others, that returns a number or None. What it takes is all, or what `inherit` makes of its own
    value and the other's; `explore`, a function of chance and a value, changes that.

    Up to `concurrency` members are at work. It ends after `steps` of each member, `total_steps` of all, a
    score of `target`, or a limit of the run. A step whose endpoint fails is done anew, twice at most.
    What a step raises ends the run; with `on_error="replace"` the member copies one of the best instead.
    """

    kind = "population"
    output_type: object = PopulationReport

    def __init__(
        self,
        members: Sequence[Value] = (),
        *,
        step: Callable[[Context[object], Value], Awaitable[Value]],
        score: Callable[[Context[object], Value], Awaitable[float]] | None = None,
        judge: Judge[Value] | None = None,
        goal: str = "",
        ready: int | Callable[[Member[Value]], bool] = 10,
        exploit: Literal["truncation", "posterior"] | Exploit[Value] | None = None,
        explore: Explore[Value] | None = None,
        inherit: Inherit[Value] | None = None,
        share: float = 0.2,
        matches: int = 3,
        score_every: int = 1,
        steps: int | None = 100,
        total_steps: int | None = None,
        target: float | None = None,
        concurrency: int = 16,
        on_error: Literal["fail", "replace"] = "fail",
        member_type: object = None,
        seed: int = 0,
        name: str = "population",
    ) -> None:
        self.members = tuple(members)
        self.step = step
        self.score = score
        self.judge = judge
        self.goal = goal
        self.ready = ready
        self.exploit = exploit or ("truncation" if judge is None else "posterior")
        self.explore = explore
        self.inherit = inherit
        self.share = share
        self.matches = matches
        self.score_every = score_every
        self.steps = steps
        self.total_steps = total_steps
        self.target = target
        self.concurrency = concurrency
        self.on_error = on_error
        self.member_type = member_type
        self.seed = seed
        self.name = name
        _check(self)
        if self.member_type is None:
            self.member_type = output_type(step)
        if self.member_type is not None:
            self.output_type = PopulationReport[self.member_type]  # type: ignore[name-defined]

    async def __run__(
        self, context: Context[object], input: Sequence[Value] | None = None, /
    ) -> PopulationReport[Value]:
        """Train until it ends. Raises what a function of its own raises, once nothing of it runs any more."""
        from agentflow.tournament.training import Training

        return await Training(self, context).work([*self.members, *(input or ())])


def _check(said: Population[Other]) -> None:
    """Raise `UserError` for what can't be run."""
    name = said.name
    if (said.score is None) == (said.judge is None):
        raise UserError(f"{name}: members are told apart by score= or by judge=: give one of them")
    for what, who in (
        ("step", said.step),
        ("score", said.score),
        ("explore", said.explore),
        ("inherit", said.inherit),
    ):
        if who is not None and not callable(who):
            raise UserError(f"{name}: {what} is a function, not {str(who)[:60]!r}")
    if said.judge is not None and not callable(said.judge) and not hasattr(said.judge, "__run__"):
        raise UserError(f"{name}: judge is an async function or an agent, not {str(said.judge)[:60]!r}")
    if not callable(said.exploit) and said.exploit not in ("truncation", "posterior"):
        raise UserError(f"{name}: exploit is truncation, posterior or a function, not {said.exploit!r}")
    if said.exploit == "posterior" and said.judge is None:
        raise UserError(f"{name}: exploit='posterior' goes by matches: give a judge= instead of a score=")
    if said.judge is not None and said.target is not None:
        raise UserError(f"{name}: target is a score, and a judge gives none")
    if said.on_error not in ("fail", "replace"):
        raise UserError(f"{name}: on_error is fail or replace, not {said.on_error!r}")
    numbers = [
        ("ready", None if callable(said.ready) else said.ready),
        ("matches", said.matches),
        ("score_every", said.score_every),
        ("steps", said.steps),
        ("total_steps", said.total_steps),
        ("concurrency", said.concurrency),
    ]
    for what, number in numbers:
        if number is not None and number < 1:
            raise UserError(f"{name}: {what} must be 1 or more, not {number}")
    if not 0 < said.share <= 0.5:
        raise UserError(f"{name}: share lies above 0 and at most at 0.5, not {said.share:g}")
    if said.steps is None and said.total_steps is None and said.target is None:
        raise UserError(f"{name}: it has no end: give steps=, total_steps= or target=")
