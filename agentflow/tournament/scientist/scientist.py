"""CoScientist: agents that find, review, compare and improve hypotheses for a research goal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from agentflow.errors import ContextOverflow, LimitExceeded, RemoteProtocolError, UserError
from agentflow.runtime.context import Context
from agentflow.tournament.agents import Agents, Board, Look, Make, Reject, Study
from agentflow.tournament.entry import Task
from agentflow.tournament.play import Play, until
from agentflow.tournament.report import Standing
from agentflow.tournament.scientist.evolution import OPERATORS, Evolution
from agentflow.tournament.scientist.generation import Generation
from agentflow.tournament.scientist.hypothesis import Hypothesis, Overview, ResearchPlan
from agentflow.tournament.scientist.lab import CRITIQUE, OVERVIEW, PLAN, ROLES, Lab, plan_of
from agentflow.tournament.scientist.meta import MetaReview, SafetyReview
from agentflow.tournament.scientist.proximity import Proximity
from agentflow.tournament.scientist.ranking import Ranking
from agentflow.tournament.scientist.reflection import Reflection
from agentflow.tournament.scientist.research import ResearchReport
from agentflow.tournament.supervisor import Supervisor
from agentflow.tournament.tournament import Tournament

if TYPE_CHECKING:
    from agentflow.endpoints import Endpoint
    from agentflow.session import Carrier
    from agentflow.tools import Tool

__all__ = ["CoScientist"]

Chosen: TypeAlias = "Mapping[str, Make[Hypothesis] | Look[Hypothesis] | Study[Hypothesis] | None]"

_AT_ONCE = 2  # calls of one maker at the same time
_CRITIQUE_EVERY, _OVERVIEW_EVERY = 12, 40  # matches
_ENDING = 0.1  # the share of a limit of time that is kept for the last reviews and the overview
_KNOWN = 4  # matches after which a hypothesis is reviewed by them, and again after twice as many


class CoScientist:
    """Research a goal in plain words; run it with None, or hypotheses of your own. Gives a `ResearchReport`.

    The whole of the AI co-scientist (J. Gottweis et al., arXiv 2502.18864) as a `Tournament`: hypotheses
    are generated (`literature`, `debate`, `assumptions`, `expansion`), reviewed (`initial`, `full`, `deep`,
    `observation`, `simulation`, `recurrent`), compared in matches, of the best `k` by debates of up to
    `turns` turns, and evolved (`ground`, `feasible`, `inspire`, `combine`, `simplify`, `outside`); the
    `critique` and `overview` of it all go back to everybody. Goal, hypotheses and direction pass reviews of
    safety. A supervisor draws who works next by what has come of their work.

    `model` answers in all roles, `models` in some (`safety`, `planning`, `generation`, `reflection`,
    `ranking`, `evolution`, `meta`). `documents` are text files that agents may search, `search` further
    tools; `embed` makes vectors that say how alike two hypotheses are, instead of their words, and from
    `same` they are one. `agents` adds agents of your own, replaces some by name, or leaves out those that
    are None. `formats` says in which further forms the overview is wanted. `LiveTournament.of(run)` is all
    of it in an expert's hands. See `Tournament` for the rest.
    """

    kind = "scientist"
    output_type = ResearchReport

    def __init__(
        self,
        goal: str,
        *,
        model: Endpoint | Carrier,
        models: Mapping[str, Endpoint | Carrier] | None = None,
        plan: ResearchPlan | None = None,
        hypotheses: Sequence[Hypothesis] = (),
        documents: Sequence[str | Path] = (),
        search: Sequence[Tool[..., object] | Callable[..., object]] = (),
        embed: Endpoint | None = None,
        same: float = 0.92,
        agents: Chosen | None = None,
        supervisor: Supervisor | None = None,
        weights: Mapping[str, float] | None = None,
        debates: bool = True,
        turns: int = 3,
        each_time: int = 3,
        k: int = 5,
        most_hypotheses: int = 48,
        max_matches: int | None = None,
        stop_overlap: float | None = 0.85,
        concurrency: int = 16,
        match_timeout: float | None = 600.0,
        formats: Sequence[str] = (),
        seed: int = 0,
        name: str = "scientist",
    ) -> None:
        _check(name, goal, same, models or {}, {"turns": turns, "each_time": each_time})
        self.goal = goal
        self.model = model
        self.models = dict(models or {})
        self.plan = plan
        self.hypotheses = tuple(hypotheses)
        self.documents = tuple(documents)
        self.search = tuple(search)
        self.embed, self.same = embed, same
        self.formats = tuple(formats)
        self.debates, self.turns, self.each_time = debates, turns, each_time
        self.k = k
        self.name = name
        self._chosen = dict(agents or {})
        self._lab = Lab(self)
        self._options: _Options = {
            "supervisor": supervisor,
            "weights": weights,
            "k": k,
            "concurrency": concurrency,
            "max_matches": max_matches,
            "stop_overlap": stop_overlap,
            "match_timeout": match_timeout,
            "most_items": most_hypotheses,
            "seed": seed,
            "name": name,
        }
        self._tournament(Proximity(embed, same))  # so that what is wrong is told now

    def _tournament(self, proximity: Proximity) -> Tournament[Hypothesis]:
        ranking = Ranking(self._lab, self.turns)
        return Tournament(
            self.goal,
            judge=ranking.single,
            debate=ranking.debate if self.debates else None,
            items=self.hypotheses,
            agents=self._agents(proximity),
            id=lambda hypothesis: hypothesis.id,
            near=proximity.near,
            item_type=Hypothesis,
            **self._options,
        )

    def _agents(self, proximity: Proximity) -> Agents[Hypothesis]:
        """Return the agents: those that this class knows, with what was added, replaced and left out."""
        generation = Generation(self._lab, self.each_time, self.turns)
        safety, meta = SafetyReview(self._lab), MetaReview(self._lab, self.plan)
        found: dict[str, Make[Hypothesis] | Look[Hypothesis] | Study[Hypothesis]] = {
            "goal_safety": Study(safety.goal, on_goal=True, gate=True),
            PLAN: Study(meta.plan, on_goal=True, gate=True),
            "proximity": Look(proximity.look, gate=True, memo=True),
            "safety": Look(safety.hypothesis, gate=True, memo=True),
            **self._reviews(),
            "literature": Make(generation.literature, at_once=_AT_ONCE),
            "debate": Make(generation.debate, at_once=_AT_ONCE),
            "assumptions": Make(generation.assumptions, at_once=_AT_ONCE),
            "expansion": Make(generation.expansion, 2, _AT_ONCE),
        }
        for name, operator in OPERATORS.items():
            found[name] = Make(Evolution(self._lab, name), max(2, operator.parents), _AT_ONCE)
        found[CRITIQUE] = Study(meta.critique, every=_CRITIQUE_EVERY)
        found[OVERVIEW] = Study(meta.overview, every=_OVERVIEW_EVERY)
        found["monitor"] = Study(safety.monitor, every=_OVERVIEW_EVERY)
        for name, agent in self._chosen.items():
            if agent is not None:
                found[name] = agent
            elif found.pop(name, None) is None:
                raise UserError(f"{self.name}: no agent is called {name!r}: there are {', '.join(found)}")
        return found

    def _reviews(self) -> dict[str, Look[Hypothesis]]:
        reflection, k = Reflection(self._lab), self.k

        def best(one: Standing[Hypothesis]) -> bool:
            return one.rank <= k and ("full" in self._chosen or one.note("full") is not None)

        def played(one: Standing[Hypothesis]) -> bool:
            return one.rank <= 2 * k and one.matches >= _KNOWN

        safety = SafetyReview(self._lab)
        return {
            "recheck": Look(safety.hypothesis, due=played, memo=True),
            "initial": Look(reflection.initial, gate=True),
            "full": Look(reflection.full),
            "deep": Look(reflection.deep, due=best),
            "observation": Look(reflection.observation, due=best),
            "simulation": Look(reflection.simulation, due=best),
            "recurrent": Look(reflection.recurrent, due=played, again=2 * _KNOWN),
        }

    async def __run__(
        self, context: Context[object], input: Sequence[Hypothesis] | None = None, /
    ) -> ResearchReport:
        """Research until it ends, and report. Raises what a model's endpoint raises, and goes on later."""

        def known() -> list[Standing[Hypothesis]]:
            return [play.book.standing(entry) for entry in play.book.entries.values()]

        proximity = Proximity(self.embed, self.same, known)
        tournament = self._tournament(proximity)
        play: Play[Hypothesis] = Play(tournament, context, _ENDING)
        context.state.live = play
        try:
            play.restore([*self.hypotheses, *(_own(self.name, each) for each in input or ())])
            await play.work()
            final = await self._final(context, play)
        finally:
            play.close()
        report = play.report()
        plan = report.advice.get(PLAN)
        return ResearchReport(
            report.goal,
            plan_of(plan) if plan else None,
            final.overview,
            replace(report, faults={**report.faults, **final.faults}),
            proximity.groups(report.ranking),
            self.k,
            final.forms,
            final.withheld,
        )

    async def _final(self, context: Context[object], play: Play[Hypothesis]) -> _Final:
        """Review the best anew, and sum up; where nothing more may be spent, with the overview before."""
        final = _Final()
        try:
            async with asyncio.timeout_at(until(context)) as own:
                await self._rechecked(context, play, final)
                if play.book.posterior.playing and play.book.halted is None:
                    await self._sum_up(context, play.book.board(Task(0, "report")), final)
        except LimitExceeded:
            pass
        except TimeoutError:
            if not own.expired():
                raise
        said = play.book.advice().get(OVERVIEW)
        if said and final.overview is None and final.withheld is None and play.book.halted is None:
            final.overview = Overview(summary=said, directions=[])
        return final

    async def _rechecked(self, context: Context[object], play: Play[Hypothesis], final: _Final) -> None:
        """Review the safety of the best anew, unless that was done meanwhile; take out what is unsafe."""
        look = self._agents(Proximity(None, self.same)).get("recheck")
        if not isinstance(look, Look):
            return
        board = play.book.board(Task(0, "report"))
        goal = len(play.book.goals) - 1
        checked: set[str] = set()

        async def recheck(standing: Standing[Hypothesis]) -> None:
            async def check(context: Context[object], input: None) -> str | None:
                said = await look.work(context, standing, board)
                return said.why if isinstance(said, Reject) else None

            try:
                why = (await context.run(check, None, key=f"recheck-{standing.id}")).output
            except LimitExceeded:
                return
            except RemoteProtocolError as error:  # it has passed such a review before
                final.faults["recheck"] = f"{type(error).__name__}: {error}"
                return
            if why is not None:
                play.book.withdraw(standing.id, why)

        def left() -> list[Standing[Hypothesis]]:
            best = [each for each in play.book.ranking()[: self.k] if each.id not in checked]
            return [each for each in best if (note := each.note("recheck")) is None or note.goal != goal]

        while best := left():
            checked |= {each.id for each in best}
            async with asyncio.TaskGroup() as group:
                for each in best:
                    group.create_task(recheck(each))

    async def _sum_up(self, context: Context[object], board: Board[Hypothesis], final: _Final) -> None:
        """Put down the last overview and its forms, or why it is withheld, or what went wrong."""
        meta, safety = MetaReview(self._lab, self.plan), SafetyReview(self._lab)

        async def overview(context: Context[object], input: None) -> Overview:
            return await meta.final(context, board)

        async def checked(context: Context[object], input: str) -> str | None:
            try:
                return await safety.text(context, input)
            except RemoteProtocolError:
                return "its safety could not be reviewed"

        try:
            said = (await context.run(overview, None, key="overview")).output
            final.withheld = (await context.run(checked, said.in_full(), key="overview-safety")).output
            if final.withheld is not None:
                return
            final.overview = said
            for number, form in enumerate(self.formats, 1):
                final.forms[form] = await meta.formatted(context, said.as_text(), form, f"form-{number}")
        except (RemoteProtocolError, ContextOverflow) as error:
            final.faults[OVERVIEW] = f"{type(error).__name__}: {error}"


@dataclass(slots=True)
class _Final:
    """What is said in the end: the overview, in which forms, or why it is withheld; and what failed."""

    overview: Overview | None = None
    withheld: str | None = None
    forms: dict[str, str] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def _own(name: str, value: object) -> Hypothesis:
    try:
        return Hypothesis.model_validate(value)
    except ValueError:
        raise UserError(
            f"{name}: the input is hypotheses, with title and statement, not {str(value)[:60]!r}"
        ) from None


class _Options(TypedDict):
    supervisor: Supervisor | None
    weights: Mapping[str, float] | None
    k: int
    concurrency: int
    max_matches: int | None
    stop_overlap: float | None
    match_timeout: float | None
    most_items: int
    seed: int
    name: str


def _check(
    name: str, goal: str, same: float, models: Mapping[str, object], numbers: Mapping[str, int]
) -> None:
    for what, number in numbers.items():
        if number < 1:
            raise UserError(f"{name}: {what} must be 1 or more, not {number}")
    if not goal.strip():
        raise UserError(f"{name}: the goal is empty: say what is to be found")
    if not 0 < same <= 1:
        raise UserError(f"{name}: same lies above 0 and at most at 1, not {same:g}")
    if unknown := sorted(set(models) - set(ROLES)):
        raise UserError(f"{name}: no role is called {unknown[0]!r}: roles are {', '.join(ROLES)}")
