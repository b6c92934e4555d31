"""What a person does to a tournament at the worst time, and how it ends: by a person, by time, for good."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from scripted_lab import ScriptedLab
from virtual import virtual

from agentflow import Context, Limits, Runtime
from agentflow.errors import LimitExceeded, RemoteProtocolError, RunError, UserError
from agentflow.testing import FakeEndpoint
from agentflow.tournament import Board, LiveTournament, Make, Match, Population, Tournament
from agentflow.tournament.scientist import CoScientist, Hypothesis
from agentflow_protocols.chat import ChatRequest


async def longer(context: Context[object], match: Match[str]) -> str:
    await asyncio.sleep(1)
    return "first" if len(match.first) > len(match.second) else "second"


LEEKS = ["leek" * n for n in range(1, 9)]


@virtual
async def test_a_person_may_do_anything_at_any_time(tmp_path: Path) -> None:
    tried: list[str] = []

    async def judge(context: Context[object], match: Match[str]) -> str:
        live: LiveTournament[str] = LiveTournament.of(context)
        ids = [live.add(item) for item in LEEKS]  # all of them there already
        if match.number == 2:
            live.withdraw(live.add(match.first), "in its own match")
            live.withdraw(live.add(match.first), "twice")
        if match.number == 3:
            live.restrict(["nowhere.txt"])
            live.advise("Be brief.")
            live.review(ids[-1], "It is long.")
            gone = next(name for name in ids if name not in [each.id for each in live.ranking])
            for better, worse in ((gone, ids[-1]), (ids[-1], ids[-1]), ("none", ids[-1])):
                try:
                    live.prefer(better, worse)
                except UserError as error:
                    tried.append(str(error))
            for text in (" ", "\ud800"):
                try:
                    live.set_goal(text)
                except UserError as error:
                    tried.append(str(error))
            live.set_goal("a long soup")
        return await longer(context, match)

    tournament = Tournament(
        "soup", judge=judge, items=LEEKS, k=2, max_matches=30, stop_overlap=None, concurrency=4
    )
    async with Runtime(tmp_path / "runs.db") as runtime:
        async with runtime.start(tournament, key="soup") as run:
            live: LiveTournament[str] = LiveTournament.of(run)
            live.advise("before anything plays")
            report = (await run.result()).output
            for late in (lambda: live.add("late"), live.stop, lambda: live.advise("late")):
                with pytest.raises(RunError, match="tournament has ended"):
                    late()
            with pytest.raises(RunError, match="runs no tournament"):
                LiveTournament.of(run)
    for message, told in zip(
        tried,
        ("does not play", "better than itself", "no item has the id 'none'", "goal is empty", "the journal"),
        strict=True,
    ):
        assert told in message
    assert report.judged == 30
    assert [each.withdrawn for each in report.withdrawn] == ["twice"]
    assert (report.goal, report.advice["sources"]) == ("a long soup", "nowhere.txt")
    async with Runtime(tmp_path / "runs.db") as runtime:
        assert (await runtime.run(tournament, key="soup")).output.as_markdown() == report.as_markdown()


@virtual
async def test_what_a_person_said_wrong_loses_nothing_that_was_said_after_it(tmp_path: Path) -> None:
    began = 0

    async def judge(context: Context[object], match: Match[str]) -> str:
        if began == 1 and match.number == 1:
            live: LiveTournament[str] = LiveTournament.of(context)
            with pytest.raises(UserError, match="can't be put into the journal"):
                live.advise("\ud800")
            live.set_goal("a long soup")
            await asyncio.sleep(2)
            raise OSError("the kitchen is on fire")
        return await longer(context, match)

    tournament = Tournament("soup", judge=judge, items=LEEKS, max_matches=5)
    async with Runtime(tmp_path / "runs.db") as runtime:
        began = 1
        with pytest.raises(OSError, match="fire"):
            await runtime.run(tournament, key="soup")
        began = 2
        report = (await runtime.run(tournament, key="soup")).output
    assert report.goal == "a long soup"


@virtual
async def test_a_stop_stands_after_a_crash_while_the_overview_is_written(tmp_path: Path) -> None:
    lab = ScriptedLab()
    down = True

    def meta(request: ChatRequest) -> str:
        if down and "What has the research come to?" in request.messages[-1].text:
            raise OSError("the lamp went out")
        return lab._answer(request)

    scientist = CoScientist(
        "Find leeks.", model=lab.model, models={"meta": FakeEndpoint(meta)}, most_hypotheses=8, k=2
    )
    async with Runtime(tmp_path / "runs.db") as runtime:
        async with runtime.start(scientist, key="leeks") as run:
            live: LiveTournament[Hypothesis] = LiveTournament.of(run)
            async for event in run:
                if getattr(event, "name", "") == "match" and live.statistics.judged >= 5:
                    judged = live.statistics.judged
                    live.stop()
                    live.stop()
                    break
            with pytest.raises(OSError, match="lamp"):
                await run.result()
        down = False
        report = (await runtime.run(scientist, key="leeks")).output
    assert (report.tournament.stop_reason, report.tournament.judged) == ("stopped", judged)
    assert report.overview is not None


@virtual
async def test_a_limit_of_time_ends_with_a_report_as_any_limit_does() -> None:
    tournament = Tournament("soup", judge=longer, items=LEEKS, concurrency=2, stop_overlap=None)
    async with Runtime() as runtime:
        report = (await runtime.run(tournament, limits=Limits(time=20.0))).output
        assert (report.stop_reason, report.judged) == ("budget", 38)
        scientist = CoScientist(
            "Find leeks.", model=ScriptedLab().model, stop_overlap=None, formats=["a grant's aims"]
        )
        told = (await runtime.run(scientist, limits=Limits(time=60.0))).output
        assert told.tournament.stop_reason == "budget"
        assert told.overview is not None  # a tenth of the time is kept for it
        assert told.formats
        brief = (await runtime.run(scientist, limits=Limits(time=20.0))).output
        assert (brief.tournament.stop_reason, brief.overview) == ("budget", None)
        assert brief.as_markdown()

        async def patient(context: Context[object], input: None) -> None:
            await context.run(tournament, key="soup", limits=Limits(time=0.0))

        with pytest.raises(LimitExceeded):
            await runtime.run(patient)


@virtual
async def test_no_more_items_come_in_than_are_wanted() -> None:
    async def many(context: Context[object], board: Board[str]) -> list[str]:
        await asyncio.sleep(1)
        return ["leek"] + [f"leek {board.number} {number}" for number in range(10_000)]

    agents = {"one": Make(many, at_once=3), "other": Make(many)}
    tournament = Tournament(
        "soup", judge=longer, items=LEEKS, agents=agents, most_items=20, max_matches=3, k=1
    )
    async with Runtime() as runtime:
        report = (await runtime.run(tournament)).output
    assert len(report.ranking) == 20
    assert report.duplicates == 1


@virtual
async def test_a_judge_whose_form_of_answer_fails_is_void() -> None:
    async def judge(context: Context[object], match: Match[str]) -> str:
        raise RemoteProtocolError("agent judge: no valid answer in 3 tries")

    async with Runtime() as runtime:
        report = (await runtime.run(Tournament("soup", judge=judge, items=LEEKS, max_matches=3))).output
    assert (report.judged, report.void, report.stop_reason) == (0, 3, "max_matches")


@virtual
async def test_an_overview_that_no_model_can_write_costs_only_itself() -> None:
    lab = ScriptedLab()

    def prose(request: ChatRequest) -> str:
        return "Leeks are nice."

    for role, fault, withheld in (
        ("meta", True, None),
        ("safety", False, "its safety could not be reviewed"),
    ):

        def answer(request: ChatRequest, role: str = role) -> str:
            last = request.messages[-1].text
            asked = last if len(request.messages) == 2 else request.messages[1].text
            return prose(request) if role == "meta" or "A research report:" in asked else lab._answer(request)

        scientist = CoScientist(
            "Find leeks.",
            model=lab.model,
            models={role: FakeEndpoint(answer)},
            most_hypotheses=4,
            max_matches=6,
            k=2,
        )
        async with Runtime() as runtime:
            report = (await runtime.run(scientist)).output
        assert (report.overview, report.withheld) == (None, withheld)
        assert ("overview" in report.tournament.faults) == fault
        assert report.best


@virtual
async def test_a_limit_holds_over_a_crash(tmp_path: Path) -> None:
    lab = ScriptedLab()
    scientist = CoScientist(
        "Find leeks.", model=lab.model, most_hypotheses=12, max_matches=300, stop_overlap=None, concurrency=4
    )
    limits = Limits(turns=90)
    async with Runtime(tmp_path / "runs.db") as runtime:
        async with runtime.start(scientist, key="leeks", limits=limits) as run:
            async for _ in run:
                if sum(lab.asked.values()) >= 70:
                    break
    async with Runtime(tmp_path / "runs.db") as runtime:
        result = await runtime.run(scientist, key="leeks", limits=limits)
    assert result.output.tournament.stop_reason == "budget"
    assert 90 <= sum(lab.asked.values()) <= 90 + 2 * 4
    assert result.usage.requests >= 90


@virtual
async def test_a_population_whose_time_is_up_gives_its_report_too() -> None:
    async def step(context: Context[object], member: int) -> int:
        await asyncio.sleep(1)
        return member + 1

    async def score(context: Context[object], member: int) -> float:
        return float(member)

    population = Population([0, 10], step=step, score=score, ready=5, steps=1_000)
    async with Runtime() as runtime:
        report = (await runtime.run(population, limits=Limits(time=20.0))).output
    assert (report.stop_reason, report.best.steps) == ("budget", 19)


@virtual
async def test_a_limit_that_a_judge_or_an_agent_has_for_itself_ends_no_more_than_its_own_work() -> None:
    async def think(context: Context[object], input: None) -> str:
        await asyncio.sleep(10)
        return "first"

    async def judge(context: Context[object], match: Match[str]) -> str:
        limits = Limits(time=1.0) if match.number == 1 else None
        return (await context.run(think, None, key="think", limits=limits)).output

    async def make(context: Context[object], board: Board[str]) -> list[str]:
        await context.run(think, None, key="think", limits=Limits(time=1.0))
        return []

    tournament = Tournament("soup", judge=judge, items=LEEKS, generate=make, max_matches=5, concurrency=2)
    async with Runtime() as runtime:
        report = (await runtime.run(tournament)).output
    assert (report.judged, report.void, report.stop_reason) == (4, 1, "max_matches")
    assert report.faults["generate"].startswith("LimitExceeded: ")
