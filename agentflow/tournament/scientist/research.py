"""ResearchReport: what a co-scientist found, how sure that is, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agentflow.tournament.pages import cell, line, prose
from agentflow.tournament.report import EXPERT, Standing, TournamentReport
from agentflow.tournament.scientist.hypothesis import Direction, Hypothesis, Overview, ResearchPlan

__all__ = ["ResearchReport", "shown"]

_WHY = {
    "settled": "the best are known well enough, and no more hypotheses were to come",
    "max_matches": "the number of matches was reached",
    "budget": "a limit of the run was reached",
    "no pairs": "there was nothing left to compare",
    "stopped": "an expert stopped it",
    "unsafe": "it was halted as unsafe",
}


@dataclass(frozen=True, slots=True)
class ResearchReport:
    """What came of research: the tournament's report, the overview, and groups of like hypotheses (ids).

    `formats` has the overview in the further forms that were wanted. `withheld` says why there is no
    overview, where the safety review refused it; `tournament.halted` why all of it was ended.
    """

    goal: str
    plan: ResearchPlan | None
    overview: Overview | None
    tournament: TournamentReport[Hypothesis]
    groups: Sequence[Sequence[str]]
    k: int = 5
    formats: Mapping[str, str] = field(default_factory=dict)
    withheld: str | None = None

    @property
    def best(self) -> Sequence[Standing[Hypothesis]]:
        """The best `k`."""
        return self.tournament.ranking[: self.k]

    def named(self, direction: Direction) -> list[str]:
        """Return the titles of a direction's hypotheses that are in the ranking."""
        titles = {each.id: each.item.title for each in self.tournament.ranking}
        return [titles[name.strip("[]` ")] for name in direction.hypotheses if name.strip("[]` ") in titles]

    @property
    def ended(self) -> str:
        """Why it ended, in words."""
        halted = self.tournament.halted
        return _WHY[self.tournament.stop_reason] + (f": {halted}" if halted else "")

    def as_markdown(self) -> str:
        """Return it as a Markdown page, with figures but no pictures; `as_html` has both."""
        return "\n".join(self._markdown()).rstrip() + "\n"

    def as_html(self) -> str:
        """Return it as one HTML page that needs nothing beside it."""
        from agentflow.tournament.scientist.page import page

        return page(self)

    def _markdown(self) -> Iterator[str]:
        yield f"# {line(self.goal)}\n"
        if self.plan is not None:
            yield prose(self.plan.as_text()).replace("\n", "\n\n") + "\n"
        yield from self._told_overview()
        yield "## The best hypotheses\n"
        for standing in self.best:
            yield from self._hypothesis(standing)
        if not self.best:
            yield f"There are none: {line(self.ended)}.\n"
        for form, text in self.formats.items():
            yield f"## {line(form)}\n\n{prose(text, blocks=True)}\n"
        yield from self._ranking()
        yield from self._course()

    def _told_overview(self) -> Iterator[str]:
        if self.withheld is not None:
            yield f"The overview is withheld: {line(self.withheld)}\n"
        if self.overview is None:
            return
        yield f"## Overview\n\n{prose(self.overview.summary)}\n"
        for direction in self.overview.directions:
            yield f"### {line(direction.title)}\n\n{prose(direction.why)}\n"
            yield from (f"- {line(experiment)}" for experiment in direction.experiments)
            if named := self.named(direction):
                yield f"\nHypotheses: {line('; '.join(named))}"
            yield ""
        if self.overview.contacts:
            yield "Who should judge it:\n"
            yield from (f"- {line(each.expertise)}: {line(each.why)}" for each in self.overview.contacts)
            yield ""

    def _hypothesis(self, standing: Standing[Hypothesis]) -> Iterator[str]:
        item = standing.item
        interval = f"{standing.quality:.2f} (80% between {standing.low:.2f} and {standing.high:.2f})"
        yield f"### {standing.rank}. {line(item.title)}\n"
        yield f"{prose(item.statement)}\n"
        for name, text in (("Mechanism", item.mechanism), ("Test", item.test)):
            if text:
                yield f"**{name}.** {prose(text)}\n"
        if item.sources:
            yield "\n".join(f"- {line(source)}" for source in item.sources) + "\n"
        made = f"`{standing.id}`, {line(item.method)}" + (
            f" of {', '.join(item.parents)}" if item.parents else ""
        )
        yield f"Quality {interval} after {standing.matches} matches; {made}.\n"
        for note in shown(standing):
            yield f"> **{note[0]}.** " + prose(note[1]).replace("\n", "\n> ") + "\n"

    def _ranking(self) -> Iterator[str]:
        yield "## Ranking\n"
        yield "| | hypothesis | quality | 80% | matches | made by |\n|---|---|---|---|---|---|"
        for each in self.tournament.ranking:
            low, high = f"{each.low:.2f}", f"{each.high:.2f}"
            title = cell(each.item.title)
            yield (
                f"| {each.rank} | {title} | {each.quality:.2f} | {low} to {high} | {each.matches} |"
                f" {cell(each.item.method)} |"
            )
        yield ""
        if self.tournament.withdrawn:
            yield "Taken out:\n"
            for each in self.tournament.withdrawn:
                yield f"- {line(each.item.title)} (`{each.id}`): {line(each.withdrawn or '')}"
            yield ""
        alike = [group for group in self.groups if len(group) > 1]
        if alike:
            yield "Alike:\n"
            yield from ("- " + ", ".join(f"`{name}`" for name in group) for group in alike)
            yield ""

    def _course(self) -> Iterator[str]:
        told = self.tournament
        yield "## How it went\n"
        sure = f"; {told.settled:.0%} of the best {self.k} are expected to be right"
        yield f"It ended because {line(self.ended)}{sure if len(told.ranking) > 1 else ''}.\n"
        bias, deviation = told.order_bias
        yield (
            f"{told.judged} matches had a verdict, {told.void} none, {told.timed_out} timed out,"
            f" {told.failed} failed. Being shown first is worth {bias:.2f} ± {deviation:.2f}.\n"
        )
        yield "| agent | calls | tokens | hypotheses | of them among the best |\n|---|---|---|---|---|"
        for name, calls, tokens, made, best in self.agents():
            yield f"| {name} | {calls} | {tokens} | {made} | {best} |"
        yield ""
        for name, fault in told.faults.items():
            yield f"- {name} failed: {line(fault)}"

    def agents(self) -> Iterator[tuple[str, int, int, str, str]]:
        """Yield each agent that worked, its calls and tokens, what it made, and how much of that is best."""
        best = {each.source.partition("/")[0] for each in self.best}
        for name, work in self.tournament.work.items():
            if work.calls:
                leading = sum(each.source.partition("/")[0] == name for each in self.best)
                makes = work.kind == "make"
                made = str(len(work.made)) if makes else ""
                yield name, work.calls, work.tokens, made, str(leading) if makes or name in best else ""


def shown(standing: Standing[Hypothesis]) -> list[tuple[str, str]]:
    """Return the last review of each kind, and all by experts, with their names."""
    from agentflow.tournament.scientist.lab import HIDDEN

    last = {note.by: note for note in standing.notes if note.by not in HIDDEN}
    return [(note.by, note.text) for note in standing.notes if note.by == EXPERT or last.get(note.by) is note]
